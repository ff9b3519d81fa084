//! Redis, and only Redis: keys, scripts, group commit, and what is read and written through them.
//!
//! A mutation goes straight down: [`Store::mutate`] packs it (`encode`), the `committer` sends it with its neighbours as one
//! `lua/transact.lua`, and `decode` reads its answer. Reads and propagation go beside the committer.

mod address;
mod bell;
mod blocking;
mod changes;
mod committer;
mod control;
mod copy;
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
mod pending;
mod poison;
mod propagation;
mod queue;
mod reader;
mod registry;
mod scripts;
mod seed;
mod settings;
mod stream_stats;
mod sync;
mod tail;
mod verify;

use std::sync::{Arc, atomic::AtomicI64};

use redis::FromRedisValue;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::domain::{
    Achieved, Answer, ChannelId, ClientId, Durability, IdempotencyKey, Mutation, Partitions, PublishPolicy,
    Refusal, Sku,
};

use blocking::Blocking;
use committer::{Backlog, BatchBounds, Committer, Confirming};
use keys::Keys;
use link::{Link, Route};
use queue::Queue;

pub use address::{Address, AddressError};
pub use bell::BellReader;
pub use changes::{Change, Delivery};
pub use control::{ChannelControl, ChannelPause, Permit, Report, Reported, Shut};
pub use copy::{LevelCopy, ReadMark};
pub use dead::{DeadLetter, DeadPage, DeadPosition, DeadRemedy, DeadScope, Treated};
pub use decode::Resolved;
pub use error::{Lack, StoreError};
pub use events::{Entry, EntryId};
pub use exposure::{ExposurePlace, Lateness};
pub use history::{EventPage, EventPosition, EventScope};
pub use holds::Swept;
pub use levels::{StoredLevel, WalkPosition};
pub use link::LinkSettings;
pub use login::{CertificateError, Certificates, Login};
pub use meta::PrepareError;
pub use pending::Pending;
pub use propagation::{Claim, Claimed, EventReader, SettleOutcome, Settled, Settlement, Shown, Told};
pub use seed::{Seeding, SeedingCause};
pub use settings::{Clock, DurabilitySettings, StoreSettings};
pub use stream_stats::StreamStats;
pub use sync::{ChannelCounts, SyncState};
pub use tail::Tail;
pub use verify::{Finding, FindingKind, VerifyReport};

/// A cheap handle to the stock in Redis.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    settings: StoreSettings,
    keys: Keys,
    link: Arc<Link>,
    blocking: Blocking,
    /// For calls that ask for memory only.
    quick: Queue,
    /// For calls that wait for more.
    confirmed: Queue,
    confirming: Arc<Confirming>,
}

impl Store {
    /// Opens the store: nothing is sent yet. Its committers run on `tasks` until `stop`, then answer what is queued.
    pub fn open(
        settings: StoreSettings,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, StoreError> {
        let route = Arc::new(Route::new(settings.link.clone())?);
        tasks.spawn(Arc::clone(&route).watch(stop.clone()));
        Ok(Self::open_on(route, settings, tasks, stop))
    }

    fn open_on(
        route: Arc<Route>,
        settings: StoreSettings,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let blocking = Blocking::new(Arc::clone(&route), settings.pool_max);
        let response_timeout = settings.link.response_timeout;
        let link = Arc::new(Link::new(Arc::clone(&route), response_timeout));
        let keys = Keys::new(&settings.namespace);
        let wait_timeout = settings.durability.wait_timeout;
        // A batch waits for replicas and then for the disk.
        let patient = Link::new(route, response_timeout + wait_timeout * 2);
        let confirming = Arc::new(Confirming::new(Arc::new(patient), wait_timeout));
        let start = |link, confirming, scripts_max| {
            let (calls, queued) = mpsc::channel(settings.queue_max);
            let backlog = Backlog::new(settings.queue_max);
            let committer = Committer {
                link,
                confirming,
                keys: keys.clone(),
                partitions: settings.partitions,
                retention_ms: retention_ms(&settings),
                clock: settings.clock.clone(),
                bounds: BatchBounds { calls_max: settings.batch_max, lines_max: settings.lines_max },
                scripts_max,
                overlap_calls_min: settings.overlap_calls_min,
                backlog: backlog.clone(),
                window: AtomicI64::new(0),
                meters: committer::Meters::new(),
            };
            tasks.spawn(committer.run(queued, stop.clone()));
            Queue { calls, backlog }
        };
        let quick = start(Arc::clone(&link), None, settings.scripts_in_flight_max);
        // One at a time: a second one would stand behind the wait of the first, and time out with it.
        let confirmed = start(Arc::clone(&confirming.link), Some(Arc::clone(&confirming)), 1);
        Self { inner: Arc::new(Inner { settings, keys, link, blocking, quick, confirmed, confirming }) }
    }

    /// The same store, with a committer and a connection of its own: for another thread, whose calls then never wait for
    /// this one. Its committer runs on `tasks`, on the runtime of the caller, until `stop`.
    pub fn sibling(&self, tasks: &TaskTracker, stop: CancellationToken) -> Result<Self, StoreError> {
        let route = Arc::clone(self.inner.link.route());
        Ok(Self::open_on(route, self.inner.settings.clone(), tasks, stop))
    }

    /// Asks for a mutation. Past `deadline` the outcome is unknown: repeat with the same key.
    pub async fn mutate(&self, mutation: &Mutation, deadline: Option<Instant>) -> Result<Answer, StoreError> {
        if let Some(answer) = self.foreign(mutation) {
            return Ok(answer);
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

    /// Whether Redis can confirm the level this gateway is set to.
    pub async fn check_durability(&self) -> Result<(), StoreError> {
        self.inner.confirming.check(self.inner.settings.durability.level).await
    }

    /// The answer to a request for a hold that no gateway of this store can have made.
    fn foreign(&self, mutation: &Mutation) -> Option<Answer> {
        let is_foreign = mutation.hold().is_some_and(|hold| !hold.fits(self.partitions()));
        is_foreign.then(|| Answer {
            result: Err(Refusal::UnknownHold),
            replayed: false,
            durability: Achieved::default(),
        })
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
        let reply = self.execute(operation, self.durability(durability), deadline).await?;
        Ok((decode::resolved(&reply.text)?, reply.achieved))
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> Partitions {
        self.inner.settings.partitions
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

    /// Runs one plain command on the shared connection; the connection's response timeout bounds it.
    async fn query<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        let mut connection = self.inner.link.connection().await?;
        match command.query_async(&mut connection.redis).await {
            Ok(value) => Ok(value),
            Err(error) => Err(self.inner.link.fault(&connection, error).await),
        }
    }
}

fn retention_ms(settings: &StoreSettings) -> i64 {
    i64::try_from(settings.retention.as_millis()).unwrap_or(i64::MAX).max(1)
}
