//! Redis, and only Redis: keys, scripts, group commit, and what is read and written through them.
//!
//! A mutation goes straight down: [`Store::mutate`] packs it (`encode`), the `committer` sends it with its neighbours as one
//! `lua/transact.lua`, and `decode` reads its answer. Reads and propagation go beside the committer.

mod address;
mod bell;
mod blocking;
mod carriers;
mod cart;
mod changes;
mod committer;
mod control;
mod copy;
mod crew;
mod dead;
mod decode;
pub mod embedded;
mod encode;
mod error;
mod events;
mod exposure;
mod history;
mod holds;
pub mod inspect;
mod keys;
mod levels;
mod link;
mod login;
mod meta;
mod nodes;
mod pending;
mod poison;
mod propagation;
mod queue;
mod reader;
mod registry;
mod repartition;
mod scripts;
mod seed;
mod settings;
mod stream_stats;
mod sync;
mod tail;
mod verify;
mod work;

use std::sync::{Arc, OnceLock, atomic::AtomicI64};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::domain::{
    Achieved, Answer, ChannelId, ClientId, Durability, HoldId, IdempotencyKey, Mutation, Partitions,
    PublishPolicy, Refusal, Sku,
};

use blocking::Pools;
use cart::Carts;
use committer::{Backlog, BatchBounds, Committer, Confirming};
use keys::Keys;
use link::Layout;
use nodes::Nodes;
use queue::Queue;

pub use address::{Address, AddressError};
pub use bell::{BellReader, Ring};
pub use carriers::{
    CarrierEntry, CarrierEventKind, CarrierEventPage, CarrierEvidence, DeliveriesPage, DeliveriesPosition,
    DeliveriesRow, DeliveryOutcome, DeliveryToRecord, ForgettingTerms, KeptCarrierEvent, RecordedDelivery,
};
pub use changes::{Change, Delivery};
pub use control::{ChannelControl, ChannelPause, Permit, Report, Reported, Shut};
pub use copy::{LevelCopy, ReadMark};
pub use dead::{DeadLetter, DeadPage, DeadPosition, DeadRemedy, DeadScope, Treated};
pub use decode::Resolved;
pub use error::{Lack, StoreError};
pub use events::{Entry, EntryId};
pub use exposure::{ExposurePlace, Lateness};
pub use history::{EventPage, EventPosition, EventScope};
pub use holds::{DroppedWindows, Swept};
pub use levels::{StoredLevel, WalkPosition};
pub use link::LinkSettings;
pub use login::{CertificateError, Certificates, Login};
pub use meta::PrepareError;
pub use pending::Pending;
pub use propagation::{
    Claim, Claimed, EventReader, ReadPlace, SettleOutcome, Settled, Settlement, Shown, Standing, Told,
};
pub use repartition::{
    Repartition, RepartitionError, RepartitionStep, Repartitioned, ShopTotals, Teller, abandon_repartition,
    repartition,
};
pub use seed::{Seeding, SeedingCause};
pub use settings::{AtomicDomain, Clock, DurabilitySettings, StoreSettings};
pub use stream_stats::StreamStats;
pub use sync::{ChannelCounts, SyncState};
pub use tail::{Growth, Tail};
pub use verify::{Finding, FindingKind, Unreadable, VerifyReport};

/// Connections of each thread that serves, to each server of a cluster, on which batches wait to be more durable than memory: each
/// carries one at a time.
const CONFIRMING_WAYS: usize = 8;

/// A cheap handle to the stock in Redis.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    settings: StoreSettings,
    keys: Keys,
    nodes: Arc<Nodes>,
    blocking: Pools,
    /// For calls that ask for memory only.
    quick: Queue,
    /// For calls that wait for more.
    confirmed: Queue,
    /// What confirms, and on which connections that is looked into.
    confirming: (Arc<Nodes>, Arc<Confirming>),
    /// Partition counts this namespace had before; known once it is prepared.
    earlier: Arc<OnceLock<Vec<Partitions>>>,
    carts: Carts,
}

impl Store {
    /// Opens the store: nothing is sent yet. Its committers run on `tasks` until `stop`, then answer what is queued.
    pub fn open(
        settings: StoreSettings,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, StoreError> {
        let layout = Layout::open(&settings.link)?;
        tasks.spawn(layout.clone().watch(stop.clone()));
        Ok(Self::open_on(layout, settings, Arc::default(), tasks, stop))
    }

    fn open_on(
        layout: Layout,
        settings: StoreSettings,
        earlier: Arc<OnceLock<Vec<Partitions>>>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let blocking = Pools::new(&layout, settings.pool_max);
        let (response_timeout, cluster_wait) = (settings.link.response_timeout, settings.cluster_wait);
        let nodes = Arc::new(Nodes::new(layout.clone(), response_timeout, cluster_wait));
        let keys = Keys::new(&settings.namespace);
        let wait_timeout = settings.durability.wait_timeout;
        let confirming = Arc::new(Confirming::new(wait_timeout));
        let domains = committer::domains_of(&settings);
        let start = |ways, confirming, scripts_max| {
            let (calls, queued) = mpsc::channel(settings.queue_max);
            let backlog = Backlog::new(settings.queue_max);
            let committer = Committer {
                ways,
                confirming,
                keys: keys.clone(),
                partitions: settings.partitions,
                domain: settings.domain,
                retention_ms: retention_ms(&settings),
                clock: settings.clock.clone(),
                bounds: BatchBounds { calls_max: settings.batch_max, lines_max: settings.lines_max },
                scripts_max,
                overlap_calls_min: settings.overlap_calls_min,
                backlog: backlog.clone(),
                windows: (0..domains).map(|_| AtomicI64::new(0)).collect(),
                places: settings.partitions.all().take(domains).map(|first| keys.stock(first)).collect(),
                meters: committer::Meters::new(),
            };
            tasks.spawn(committer.run(queued, stop.clone()));
            Queue { calls, backlog }
        };
        let quick = start(vec![Arc::clone(&nodes)], None, settings.scripts_in_flight_max);
        // A batch waits for replicas and then for the disk, and nothing else is answered on its connection meanwhile.
        let waiting = response_timeout + wait_timeout * 2;
        let ways = match settings.domain {
            AtomicDomain::Node => 1,
            AtomicDomain::Partition => CONFIRMING_WAYS,
        };
        let ways = (0..ways)
            .map(|_| Arc::new(Nodes::new(layout.clone(), waiting, cluster_wait)))
            .collect::<Vec<_>>();
        let first_way = Arc::clone(&ways[0]);
        // One at a time: a second one would stand behind the wait of the first, and time out with it.
        let confirmed = start(ways, Some(Arc::clone(&confirming)), 1);
        let confirming = (first_way, confirming);
        let carts = Carts::new(tasks, settings.queue_max);
        let inner = Inner { settings, keys, nodes, blocking, quick, confirmed, confirming, earlier, carts };
        Self { inner: Arc::new(inner) }
    }

    /// The same store, with a committer and a connection of its own: for another thread, whose calls then never wait for
    /// this one. Its committer runs on `tasks`, on the runtime of the caller, until `stop`.
    pub fn sibling(&self, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let layout = self.inner.nodes.layout().clone();
        let (settings, earlier) = (self.inner.settings.clone(), Arc::clone(&self.inner.earlier));
        Self::open_on(layout, settings, earlier, tasks, stop)
    }

    /// Asks for a mutation. Past `deadline` the outcome is unknown: repeat with the same key.
    pub async fn mutate(&self, mutation: &Mutation, deadline: Option<Instant>) -> Result<Answer, StoreError> {
        if let Some(answer) = self.foreign(mutation) {
            return Ok(answer);
        }
        if self.atomic_domain() == AtomicDomain::Partition {
            return self.mutate_apart(mutation, deadline).await;
        }
        let operation = encode::mutation(mutation, self.partitions());
        let durability = self.durability(mutation.durability);
        let reply = self.execute(operation, durability, deadline).await?;
        decode::mutation(&reply, mutation)
    }

    /// What a call asks for, or what this gateway is set to.
    fn durability(&self, asked: Option<Durability>) -> Durability {
        asked.unwrap_or(self.inner.settings.durability.level)
    }

    /// Whether Redis, on a cluster every master, can confirm the level this gateway is set to.
    pub async fn check_durability(&self) -> Result<(), StoreError> {
        let level = self.inner.settings.durability.level;
        let (nodes, confirming) = &self.inner.confirming;
        if level != Durability::Memory {
            for connection in nodes.all().await? {
                confirming.check(&connection, level).await?;
            }
        }
        Ok(())
    }

    /// The answer to a request for a hold that no gateway of this store can have made.
    fn foreign(&self, mutation: &Mutation) -> Option<Answer> {
        let is_foreign = mutation.hold().is_some_and(|hold| !self.knows(hold));
        is_foreign.then(|| Answer {
            result: Err(Refusal::UnknownHold),
            replayed: false,
            durability: Achieved::default(),
        })
    }

    /// Whether a gateway of this store can have made a hold: under this number of partitions, or one there was before.
    fn knows(&self, hold: &HoldId) -> bool {
        let earlier = self.inner.earlier.get().map_or(&[][..], Vec::as_slice);
        hold.fits(self.partitions()) || earlier.iter().any(|count| hold.fits(*count))
    }

    /// Says what a key was answered; burns it when it was never used. Also says how durable that is now.
    pub async fn resolve_key(
        &self,
        client: &ClientId,
        home: &Sku,
        key: &IdempotencyKey,
        durability: Option<Durability>,
        deadline: Option<Instant>,
    ) -> Result<(Resolved, Achieved), StoreError> {
        let operation = encode::resolve(client.as_str(), home, key.as_str(), self.partitions());
        let durability = self.durability(durability);
        let reply = self.execute(operation, durability, deadline).await?;
        self.resolved(reply, durability).await
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> Partitions {
        self.inner.settings.partitions
    }

    /// What one script may touch.
    pub fn atomic_domain(&self) -> AtomicDomain {
        self.inner.settings.domain
    }

    /// The configured channels, in order.
    pub fn channels(&self) -> &[ChannelId] {
        &self.inner.settings.channels
    }

    /// How much of the stock a configured channel shows.
    fn policy(&self, channel: &ChannelId) -> Option<&PublishPolicy> {
        self.inner.settings.policies.get(channel)
    }

    fn retention_ms(&self) -> i64 {
        retention_ms(&self.inner.settings)
    }

    fn lease_ms(&self) -> u64 {
        u64::try_from(self.inner.settings.lease.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long a claim keeps others away.
    pub fn lease(&self) -> std::time::Duration {
        self.inner.settings.lease
    }

    fn clock_argument(&self) -> String {
        self.inner.settings.clock.argument()
    }
}

fn retention_ms(settings: &StoreSettings) -> i64 {
    i64::try_from(settings.retention.as_millis()).unwrap_or(i64::MAX).max(1)
}
