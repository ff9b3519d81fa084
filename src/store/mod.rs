//! Redis, and only Redis: keys, scripts, group commit, and what is read and written through them.
//!
//! A mutation goes straight down: [`Store::mutate`] packs it (`encode`), the `committer` sends it with its neighbours as one
//! `lua/transact.lua`, and `decode` reads its answer. Reads and propagation go beside the committer.

mod bell;
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

use deadpool_redis::{Manager, Pool, Runtime};
use redis::{AsyncConnectionConfig, FromRedisValue};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::domain::{
    Achieved, Answer, ChannelId, ClientId, Durability, IdempotencyKey, Mutation, Partitions, PublishPolicy,
    Refusal, Sku,
};

use committer::{Backlog, BatchBounds, Committer, Confirming};
use keys::Keys;
use link::Link;
use queue::Queue;

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
    blocking: Pool,
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
        let link = Arc::new(Link::new(settings.link.clone())?);
        let keys = Keys::new(&settings.namespace);
        let wait_timeout = settings.durability.wait_timeout;
        let mut patient = settings.link.clone();
        // A batch waits for replicas and then for the disk.
        patient.response_timeout += wait_timeout * 2;
        let confirming = Arc::new(Confirming::new(Arc::new(Link::new(patient)?), wait_timeout));
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
        let blocking = blocking_pool(&settings)?;
        Ok(Self { inner: Arc::new(Inner { settings, keys, link, blocking, quick, confirmed, confirming }) })
    }

    /// The same store, with a committer and a connection of its own: for another thread, whose calls then never wait for
    /// this one. Its committer runs on `tasks`, on the runtime of the caller, until `stop`.
    pub fn sibling(&self, tasks: &TaskTracker, stop: CancellationToken) -> Result<Self, StoreError> {
        Self::open(self.inner.settings.clone(), tasks, stop)
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

fn blocking_pool(settings: &StoreSettings) -> Result<Pool, StoreError> {
    let refused = |source| StoreError::Refused { source };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.link.connect_timeout))
        // Each blocking read has its own deadline, longer than its BLOCK.
        .set_response_timeout(None);
    let info = link::connection_info(&settings.link.url).map_err(refused)?;
    let manager = Manager::new_with_config(info, config).map_err(refused)?;
    let wait = Some(settings.link.connect_timeout);
    Pool::builder(manager)
        .max_size(settings.pool_max)
        .runtime(Runtime::Tokio1)
        .wait_timeout(wait)
        .create_timeout(wait)
        .recycle_timeout(wait)
        .build()
        .map_err(|_| StoreError::Unavailable { source: None })
}
