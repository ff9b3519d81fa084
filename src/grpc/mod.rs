//! The contract, served: layers around every call, and conversions between the messages and the domain.
//!
//! Layers from the outside in: [`observe`] sees every status, [`size`] mends the one tonic gets wrong, [`deadline`]
//! stands closest to the services so that it gives up their work and nothing else.

pub mod convert;
pub mod deadline;
pub mod method;
pub mod observe;
pub mod size;

mod channel;
mod decide;
mod inventory;
mod stock;
mod token;
mod transact;
mod watch;

use std::{sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::{Server, server::TcpIncoming};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    proto::{
        DESCRIPTORS,
        channel_service_server::{ChannelServiceServer, SERVICE_NAME as CHANNEL_SERVICE},
        inventory_service_server::{InventoryServiceServer, SERVICE_NAME as INVENTORY_SERVICE},
        stock_service_server::{SERVICE_NAME as STOCK_SERVICE, StockServiceServer},
    },
    store::{Store, Tail},
};

pub use channel::ChannelInfo;
use channel::ChannelServer;
use decide::Decider;
use inventory::InventoryServer;
use stock::StockServer;
use transact::Transacts;
use watch::Watches;

/// Finds dead peers: the pair juspay's production write-up settles on.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// What a caller may send ahead on one stream, and on all of a connection: a Transact stream that is not read because its
/// caller does not read must not hold up the other calls beside it.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// After our last call has its answer: long enough for it to reach the socket, and for a call that crossed our goodbye.
const DRAIN_LULL: Duration = Duration::from_millis(200);

/// What the server must be told.
#[derive(Debug, Clone)]
pub struct GrpcSettings {
    /// The largest message in either direction.
    pub message_bytes_max: usize,
    /// Calls at the same time on one connection.
    pub concurrent_streams_max: u32,
    /// Watches at the same time.
    pub watches_max: usize,
    /// Operations of one Transact stream under way at the same time.
    pub transact_in_flight_max: usize,
    /// The deadline of a call whose caller sets none.
    pub default_deadline: Duration,
    /// How long calls may take to finish at shutdown.
    pub drain_timeout: Duration,
    /// Bounds and defaults of holds.
    pub limits: convert::ContractLimits,
    /// The configured channels.
    pub channels: Vec<ChannelInfo>,
}

/// Why the server ended otherwise than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// Reflection could not be built: the compiled descriptors are broken.
    #[error("cannot serve reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("the grpc server failed")]
    Transport(#[from] tonic::transport::Error),
}

/// Tells callers and load balancers whether this gateway serves.
#[derive(Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Sets the whole server and each service.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", STOCK_SERVICE, INVENTORY_SERVICE, CHANNEL_SERVICE] {
            self.0.set_service_status(service, status).await;
        }
    }
}

/// Builds health before the server runs, so that readiness can drive it.
pub fn health() -> Health {
    Health(HealthReporter::new())
}

/// Serves on `listener` until told to stop, then lets calls finish for at most the drain timeout.
pub async fn serve(
    listener: TcpListener,
    store: Store,
    settings: GrpcSettings,
    health: Health,
    stop: CancellationToken,
) -> Result<(), GrpcError> {
    let tasks = TaskTracker::new();
    let tail = Tail::default();
    tasks.spawn(store.clone().follow(tail.clone(), stop.clone()));
    let watches = Watches {
        store: store.clone(),
        tail,
        places: Arc::new(Semaphore::new(settings.watches_max)),
        places_max: settings.watches_max,
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let decider = Decider::new(store.clone());
    let bytes_max = settings.message_bytes_max;
    let transacts = Transacts {
        decider: decider.clone(),
        limits: settings.limits,
        in_flight_max: settings.transact_in_flight_max,
        patience: settings.default_deadline,
        stop: stop.clone(),
    };
    let stock = StockServer { decider: decider.clone(), limits: settings.limits, watches, transacts };
    let channel = ChannelServer { store, channels: settings.channels };
    let reflection = || {
        let descriptors = [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET];
        let builder = tonic_reflection::server::Builder::configure();
        descriptors
            .into_iter()
            .fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set))
    };
    let calls = TaskTracker::new();
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(Some(settings.concurrent_streams_max))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .layer(observe::ObserveLayer::new(calls.clone()))
        .layer(size::SizeLayer::new(bytes_max))
        .layer(deadline::DeadlineLayer::new(settings.default_deadline))
        .add_service(
            StockServiceServer::new(stock)
                .max_decoding_message_size(bytes_max)
                .max_encoding_message_size(bytes_max),
        )
        .add_service(
            InventoryServiceServer::new(InventoryServer { decider })
                .max_decoding_message_size(bytes_max)
                .max_encoding_message_size(bytes_max),
        )
        .add_service(
            ChannelServiceServer::new(channel)
                .max_decoding_message_size(bytes_max)
                .max_encoding_message_size(bytes_max),
        )
        .add_service(tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(health.0),
        ))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let draining = stop.clone();
    let served = server.serve_with_incoming_shutdown(incoming, async move { draining.cancelled().await });
    let drained = async {
        stop.cancelled().await;
        if timeout(settings.drain_timeout, last_call(&calls)).await.is_err() {
            tracing::warn!("calls did not finish in time and are cut off");
        }
    };
    // Callers of health and reflection may keep their streams for ever: only our own calls are waited for.
    tokio::select! {
        served = served => served?,
        () = drained => {}
    }
    tasks.close();
    // Watches and the tail end at once when told to stop.
    let _ = timeout(settings.drain_timeout, tasks.wait()).await;
    Ok(())
}

/// Returns when no call is under way any more, and none came in the lull after it.
async fn last_call(calls: &TaskTracker) {
    calls.close();
    loop {
        calls.wait().await;
        sleep(DRAIN_LULL).await; // why: nothing tells when the socket took the last answer
        if calls.is_empty() {
            return;
        }
    }
}
