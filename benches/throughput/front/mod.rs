//! The front of every rival: tonic's own server with the contract and the HTTP/2 settings of the gateway, on one thread, which
//! knows Decrement, how to count, and a SelectCarrier that is answered at once. What decides is an [`Engine`].
//!
//! It runs in a process of its own, as the gateway does, with what it needs below it, and ends when its standard input ends.

mod at_once;
mod carrier_at_once;
mod optimistic;
mod pool;
mod postgres;
mod postgres_server;
mod process;
mod service;

use std::{io::stdin, os::fd::AsFd as _, time::Duration};

use anyhow::Result;
use stockgate::proto::{
    DecrementRequest, DecrementResponse, Line, LineResult, carrier_service_server::CarrierServiceServer,
};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, unix::pipe},
};
use tonic::{
    Status,
    transport::{Server, server::TcpIncoming},
};

use crate::plan::Rival;

pub(crate) use {postgres_server::version as postgres_version, process::Front};

/// As the gateway serves it; see `grpc::wire` and `config.default.toml`.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
const CONCURRENT_STREAMS_MAX: u32 = 1024;
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// What decides behind a front.
pub(crate) trait Engine: Send + Sync + 'static {
    /// Sells one line, once for each key. Refused: `FAILED_PRECONDITION`. Given up, with nothing sold: `ABORTED`.
    fn decrement(
        &self,
        request: DecrementRequest,
    ) -> impl Future<Output = Result<DecrementResponse, Status>> + Send;

    /// How many units are left of each.
    fn count(&self, skus: Vec<String>) -> impl Future<Output = Result<Vec<i64>, Status>> + Send;
}

/// What the shelves hold at first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shelves {
    pub(crate) skus: usize,
    /// Of each SKU.
    pub(crate) units: i64,
}

/// Serves until standard input ends; then what runs below is ended too.
pub(crate) async fn serve(rival: Rival, shelves: Shelves) -> Result<()> {
    match rival {
        Rival::AtOnce => serve_engine(at_once::AtOnce).await,
        Rival::Optimistic => {
            let (engine, redis) = optimistic::start(shelves).await?;
            let served = serve_engine(engine).await;
            redis.stop().await;
            served
        }
        Rival::Postgres => serve_postgres(shelves, postgres::Commit::OnDisk).await,
        Rival::PostgresAsync => serve_postgres(shelves, postgres::Commit::Later).await,
    }
}

async fn serve_postgres(shelves: Shelves, commit: postgres::Commit) -> Result<()> {
    let server = postgres_server::PostgresServer::start().await?;
    let served = match postgres::start(server.socket_dir(), shelves, commit).await {
        Ok(engine) => serve_engine(engine).await,
        Err(error) => Err(error),
    };
    server.stop().await?;
    served
}

async fn serve_engine<E: Engine>(engine: E) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut lifeline = pipe::Receiver::from_owned_fd(stdin().as_fd().try_clone_to_owned()?)?;
    let caller_is_gone = async {
        let mut nothing = Vec::new();
        // However it ends, nobody is left to answer.
        let _ = lifeline.read_to_end(&mut nothing).await;
    };
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(Some(CONCURRENT_STREAMS_MAX))
        .initial_stream_window_size(Some(STREAM_WINDOW_BYTES))
        .initial_connection_window_size(Some(CONNECTION_WINDOW_BYTES))
        .add_service(service::Service::new(engine))
        // No rival chooses carriers: only who answers at once is asked.
        .add_service(CarrierServiceServer::new(at_once::AtOnce));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::select! {
        served = server.serve_with_incoming(incoming) => served?,
        () = caller_is_gone => {}
    }
    Ok(())
}

/// The one line a rival sells: carts are measured on the gateway only.
fn one_line(lines: Vec<Line>) -> Result<Line, Status> {
    match <[Line; 1]>::try_from(lines) {
        Ok([line]) => Ok(line),
        Err(lines) => Err(Status::invalid_argument(format!("{} lines: rivals sell one", lines.len()))),
    }
}

/// Sold, with what is left now.
fn sold(line: &Line, on_hand: i64, version: i64, event_id: String, replayed: bool) -> DecrementResponse {
    let line = LineResult {
        sku: line.sku.clone(),
        quantity: line.quantity,
        available: on_hand,
        on_hand,
        held: 0,
        version,
        event_id,
    };
    DecrementResponse { lines: vec![line], replayed, ..Default::default() }
}

fn refused(line: &Line) -> Status {
    Status::failed_precondition(format!("{}: fewer than {} are left", line.sku, line.quantity))
}

/// What went wrong behind the front, for a person who runs the bench.
fn fault(error: impl std::error::Error) -> Status {
    Status::internal(format!("{error}: {:?}", error.source().map(ToString::to_string)))
}
