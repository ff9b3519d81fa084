//! The ceiling: a tonic server with the same contract and transport as the gateway's, which answers Decrement at once.
//!
//! It runs in a process of its own, as the gateway does, and ends when its standard input ends.

use std::{io::stdin, os::fd::AsFd as _, process::Stdio, time::Duration};

use anyhow::{Context as _, Result};
use stockgate::proto::{
    self, LineResult,
    stock_service_server::{StockService, StockServiceServer},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::{TcpListener, unix::pipe},
    process::{Child, Command},
    time::timeout,
};
use tokio_stream::Pending;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

const START_TIMEOUT: Duration = Duration::from_secs(10);
/// As the gateway serves it; see `grpc::serve` and `config.default.toml`.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
const CONCURRENT_STREAMS_MAX: u32 = 1024;

/// The running ceiling.
pub(crate) struct Ceiling {
    process: Child,
    pub(crate) url: String,
}

impl Ceiling {
    /// Starts this program again as the ceiling.
    pub(crate) async fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--answer-at-once")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = timeout(START_TIMEOUT, lines.next_line()).await??;
        let address = first.context("the ceiling ended before it said where it is")?;
        Ok(Self { process, url: format!("http://{address}") })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }
}

/// Serves until standard input ends.
pub(crate) async fn serve() -> Result<()> {
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
        .add_service(StockServiceServer::new(AtOnce));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::select! {
        served = server.serve_with_incoming(incoming) => served?,
        () = caller_is_gone => {}
    }
    Ok(())
}

struct AtOnce;

fn not_measured<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the ceiling answers Decrement only"))
}

#[tonic::async_trait]
impl StockService for AtOnce {
    async fn decrement(
        &self,
        request: Request<proto::DecrementRequest>,
    ) -> Result<Response<proto::DecrementResponse>, Status> {
        let mut response = proto::DecrementResponse::default();
        for line in request.into_inner().lines {
            response.lines.push(LineResult {
                sku: line.sku,
                quantity: line.quantity,
                available: 999_999_999,
                on_hand: 999_999_999,
                held: 0,
                version: 2,
                event_id: "0-1700000000000-0-0".to_owned(),
            });
        }
        Ok(Response::new(response))
    }

    async fn reserve(
        &self,
        _: Request<proto::ReserveRequest>,
    ) -> Result<Response<proto::ReserveResponse>, Status> {
        not_measured()
    }

    async fn commit(
        &self,
        _: Request<proto::CommitRequest>,
    ) -> Result<Response<proto::CommitResponse>, Status> {
        not_measured()
    }

    async fn release(
        &self,
        _: Request<proto::ReleaseRequest>,
    ) -> Result<Response<proto::ReleaseResponse>, Status> {
        not_measured()
    }

    async fn extend_hold(
        &self,
        _: Request<proto::ExtendHoldRequest>,
    ) -> Result<Response<proto::ExtendHoldResponse>, Status> {
        not_measured()
    }

    async fn get_hold(
        &self,
        _: Request<proto::GetHoldRequest>,
    ) -> Result<Response<proto::GetHoldResponse>, Status> {
        not_measured()
    }

    async fn restock(
        &self,
        _: Request<proto::RestockRequest>,
    ) -> Result<Response<proto::RestockResponse>, Status> {
        not_measured()
    }

    async fn get_stock(
        &self,
        _: Request<proto::GetStockRequest>,
    ) -> Result<Response<proto::GetStockResponse>, Status> {
        not_measured()
    }

    async fn batch_get_stock(
        &self,
        _: Request<proto::BatchGetStockRequest>,
    ) -> Result<Response<proto::BatchGetStockResponse>, Status> {
        not_measured()
    }

    type WatchStockStream = Pending<Result<proto::WatchStockResponse, Status>>;

    async fn watch_stock(
        &self,
        _: Request<proto::WatchStockRequest>,
    ) -> Result<Response<Self::WatchStockStream>, Status> {
        not_measured()
    }

    async fn resolve_key(
        &self,
        _: Request<proto::ResolveKeyRequest>,
    ) -> Result<Response<proto::ResolveKeyResponse>, Status> {
        not_measured()
    }

    type TransactStream = Pending<Result<proto::TransactResponse, Status>>;

    async fn transact(
        &self,
        _: Request<Streaming<proto::TransactRequest>>,
    ) -> Result<Response<Self::TransactStream>, Status> {
        not_measured()
    }
}
