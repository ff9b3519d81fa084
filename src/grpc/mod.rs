//! The contract, served: layers around every call, and conversions between the messages and the domain.
//!
//! `wire` has the connections, `threads` those that serve them, `doors` the services. Layers from the outside in: [`observe`] sees every status, [`size`] mends the one tonic gets wrong, [`deadline`]
//! stands closest to the services so that it gives up their work and nothing else.

pub mod convert;
pub mod deadline;
pub mod drain;
pub mod method;
pub mod observe;
pub mod size;

mod busy;
mod carrier;
mod channel;
mod decide;
mod doors;
mod ending;
mod inventory;
mod lingering;
mod reads;
mod stock;
mod threads;
mod token;
mod transact;
mod watch;
mod wire;

use std::{io, net, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::join, stream::FuturesUnordered};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::ServiceBuilder;

use crate::{
    proto::{
        DESCRIPTORS,
        carrier_service_server::{CarrierServiceServer, SERVICE_NAME as CARRIER_SERVICE},
        channel_service_server::{ChannelServiceServer, SERVICE_NAME as CHANNEL_SERVICE},
        inventory_service_server::{InventoryServiceServer, SERVICE_NAME as INVENTORY_SERVICE},
        stock_service_server::{SERVICE_NAME as STOCK_SERVICE, StockServiceServer},
    },
    store::{LevelCopy, Store, Tail},
};

use busy::Busy;
use carrier::{CarrierLabels, CarrierServer};
pub use carrier::{CarrierSettings, CarrierSource, CarrierWay, LiveSource};
pub use channel::ChannelInfo;
use channel::ChannelServer;
use decide::Decider;
use doors::Doors;
use drain::UnderWay;
use ending::AgeTerms;
use inventory::InventoryServer;
use reads::Reads;
use stock::StockServer;
use threads::Thread;
use transact::Transacts;
use watch::Watches;

/// After the last call has ended: for what its callers gave up and is still queued, and for tasks that end at once.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// What the server must be told.
#[derive(Debug, Clone)]
pub struct GrpcSettings {
    /// Threads that serve calls; 1: none of their own.
    pub threads: usize,
    /// The largest message in either direction.
    pub message_bytes_max: usize,
    /// Calls at the same time on one connection.
    pub concurrent_streams_max: u32,
    /// Watches at the same time.
    pub watches_max: usize,
    /// Operations of one Transact stream under way at the same time.
    pub transact_in_flight_max: usize,
    /// SKUs of which a copy is kept for reads that may be a little old; 0: none is.
    pub copied_skus_max: usize,
    /// How often the copy is made fresh.
    pub copy_refresh: Duration,
    /// The deadline of a call whose caller sets none.
    pub default_deadline: Duration,
    /// How long calls may take to finish at shutdown.
    pub drain_timeout: Duration,
    /// The age at which a connection says goodbye, a tenth more or less; zero: never.
    pub connection_age_max: Duration,
    /// How long after that the streams of the connection are told to end.
    pub connection_age_grace: Duration,
    /// Bounds and defaults of holds.
    pub limits: convert::ContractLimits,
    /// The configured channels.
    pub channels: Vec<ChannelInfo>,
    /// How carriers are chosen.
    pub carriers: CarrierSettings,
}

/// What was not finished when the server had to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CutOff {
    /// Calls that got no answer.
    pub calls: usize,
    /// Threads whose committer still had something for Redis.
    pub committers: usize,
}

impl CutOff {
    fn and(self, other: Self) -> Self {
        Self { calls: self.calls + other.calls, committers: self.committers + other.committers }
    }
}

/// Why the server ended otherwise than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// Reflection could not be built: the compiled descriptors are broken.
    #[error("cannot serve reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A thread could not be started.
    #[error("cannot start a thread that serves calls")]
    Start(#[from] io::Error),
    /// A thread broke off.
    #[error("a thread that serves calls broke off")]
    Thread,
}

/// Tells callers and load balancers whether this gateway serves.
#[derive(Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Sets the whole server and each service.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", STOCK_SERVICE, INVENTORY_SERVICE, CHANNEL_SERVICE, CARRIER_SERVICE] {
            self.0.set_service_status(service, status).await;
        }
    }
}

/// Builds health before the server runs, so that readiness can drive it.
pub fn health() -> Health {
    Health(HealthReporter::new())
}

/// What the threads that serve have in common.
#[derive(Clone)]
struct Shared {
    settings: GrpcSettings,
    health: Health,
    /// One for each watch there may be.
    watch_places: Arc<Semaphore>,
    copy: Option<LevelCopy>,
    carrier_labels: Arc<CarrierLabels>,
}

/// Serves on `listener` until told to stop, then lets calls finish for at most the drain timeout; says what did not.
/// One thread: on this runtime, with `store` itself. More: each on a runtime of its own, with a sibling of `store`.
pub async fn serve(
    listener: TcpListener,
    store: Store,
    settings: GrpcSettings,
    health: Health,
    stop: CancellationToken,
) -> Result<CutOff, GrpcError> {
    let count = settings.threads.max(1);
    let watch_places = Arc::new(Semaphore::new(settings.watches_max));
    let copy = reads::copy_of(settings.copied_skus_max);
    let refresh = settings.copy_refresh;
    let carrier_labels = Arc::<CarrierLabels>::default();
    let shared = Shared { settings, health, watch_places, copy: copy.clone(), carrier_labels };
    let (senders, mut receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(wire::BACKLOG)).unzip();
    // Falls with the first thread that ends, so that the others do not serve on alone.
    let stop = stop.child_token();
    let keeper = store.clone();
    let kept = async {
        if let Some(copy) = copy {
            keeper.keep_copy(copy, refresh, stop.clone()).await;
        }
    };
    // Falls when nobody listens any more: who hears a goodbye and connects anew must not come back here.
    let goodbye = CancellationToken::new();
    let accepted = async {
        wire::accept(listener, senders, stop.clone()).await;
        goodbye.cancel();
    };
    let accepted = join(accepted, kept);
    if count == 1 {
        let connections = receivers.pop().expect("there is one for each thread");
        let served = async {
            let ended = serve_here(connections, store, shared, goodbye.clone()).await;
            stop.cancel();
            ended
        };
        return join(accepted, served).await.1;
    }
    let mut threads = FuturesUnordered::new();
    for (number, connections) in receivers.into_iter().enumerate() {
        let thread = Thread::start(number, connections, store.clone(), shared.clone(), goodbye.clone())?;
        threads.push(thread.ended());
    }
    let ended = async {
        let mut all = Ok(CutOff::default());
        while let Some(ended) = threads.next().await {
            stop.cancel();
            all = all.and_then(|all| Ok(all.and(ended?)));
        }
        all
    };
    join(accepted, ended).await.1
}

/// Serves the connections that come on this runtime.
async fn serve_here(
    connections: mpsc::Receiver<net::TcpStream>,
    store: Store,
    shared: Shared,
    stop: CancellationToken,
) -> Result<CutOff, GrpcError> {
    let Shared { settings, health, watch_places, copy, carrier_labels } = shared;
    let tasks = TaskTracker::new();
    // Falls when the last call has ended.
    let over = CancellationToken::new();
    let tail = Tail::default();
    tasks.spawn(store.clone().follow(tail.clone(), stop.clone()));
    let watches = Watches {
        store: store.clone(),
        tail,
        places: watch_places,
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
    let busy = Busy { decider: decider.clone(), limits: settings.limits, message_bytes_max: bytes_max };
    let reads = Reads::new(store.clone(), copy);
    let stock = StockServer { decider: decider.clone(), reads, limits: settings.limits, watches, transacts };
    let carrier =
        CarrierServer::new(store.clone(), settings.carriers, carrier_labels, tasks.clone(), over.clone());
    let channel = ChannelServer { store, channels: settings.channels };
    let reflection = || {
        // The details of a problem are Any: a client that prints them asks what they are.
        let descriptors =
            [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET];
        let builder = tonic_reflection::server::Builder::configure();
        descriptors
            .into_iter()
            .fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set))
    };
    let others = Routes::default()
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
        .add_service(reflection().build_v1alpha()?)
        .prepare();
    // Its answers are bounded by the lines of a request. A limit that cut one off would do so after the change was made.
    let stock = StockServiceServer::new(stock).max_decoding_message_size(bytes_max);
    let carrier = CarrierServiceServer::new(carrier)
        .max_decoding_message_size(bytes_max)
        .max_encoding_message_size(bytes_max);
    let calls = UnderWay::default();
    let service = ServiceBuilder::new()
        .layer(observe::ObserveLayer::new(calls.clone()))
        .layer(size::SizeLayer::new(bytes_max))
        .layer(deadline::DeadlineLayer::new(settings.default_deadline))
        .service(Doors { busy: Arc::new(busy), stock, carrier, others });
    let age = AgeTerms {
        max: settings.connection_age_max,
        grace: settings.connection_age_grace,
        last: settings.default_deadline,
    };
    let served = wire::serve(connections, service, settings.concurrent_streams_max, age, stop.clone());
    let drained = async {
        stop.cancelled().await;
        calls.end(settings.drain_timeout).await
    };
    // Callers of health and reflection may keep their streams for ever: only our own calls are waited for.
    let calls = tokio::select! {
        () = served => 0,
        calls = drained => calls,
    };
    over.cancel();
    tasks.close();
    // Watches, the tail and calls nobody waits for end at once when told to stop.
    let _ = timeout(FLUSH_PATIENCE, tasks.wait()).await;
    Ok(CutOff { calls, committers: 0 })
}
