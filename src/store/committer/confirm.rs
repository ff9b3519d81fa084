//! The wait behind a batch until it is as durable as its calls ask, on the connection that carried it.
//!
//! That connection is its own: Redis answers nothing else on it while a wait hangs. The wait is sent when the script has answered:
//! a script that must go again, or was not carried out, is not waited for.
//!
//! WAIT and WAITAOF wait for what their own connection wrote last (since 7.2; 7.0 is kinder). A batch of repeats writes nothing, and what it repeats may
//! have come a moment ago by another gateway. So a tiny write, the nudge, goes between the script and the wait: replication
//! and the append-only file keep the order of writes, and whoever has the nudge has all that was written before it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use metrics::{Counter, Histogram, counter, histogram};
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use crate::{
    domain::{Achieved, Durability},
    store::{
        StoreError,
        error::Lack,
        link::{Connection, Link},
    },
    telemetry,
};

use super::{Call, refuse_all};

/// How often it is logged that answers fall short: while a replica is away each of them does.
const SHORT_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Level names as metrics have them; every other level asks for nothing.
const WAITED_FOR: [&str; 2] = ["replicated", "fsync"];

/// Confirms batches on a connection of its own.
pub(in crate::store) struct Confirming {
    pub(in crate::store) link: Arc<Link>,
    wait_timeout: Duration,
    /// What the connection last used can confirm.
    known: Mutex<Known>,
    short_log: Mutex<ShortLog>,
    seconds: [Histogram; WAITED_FOR.len()],
    short: [Counter; WAITED_FOR.len()],
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The connection this is about.
    generation: u64,
    can_wait: bool,
    fsync: Option<FsyncWay>,
}

/// How a server shows that a change is on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FsyncWay {
    /// It can be waited for.
    WaitAof,
    /// Nothing is answered before it is on disk.
    Always,
}

#[derive(Default)]
struct ShortLog {
    logged_at: Option<Instant>,
    unlogged: u64,
}

/// The most that the calls of a batch ask for.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    replicas: u32,
    fsync: bool,
}

/// What was confirmed of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Confirmed {
    replicas: u32,
    is_on_disk: bool,
}

impl Confirmed {
    /// What that is to a call that asked for `asked`.
    pub(super) fn of(self, asked: Durability) -> Achieved {
        Achieved { asked, replicas: self.replicas, is_on_disk: self.is_on_disk }
    }
}

impl Wanted {
    fn of(batch: &[Call]) -> Self {
        let mut wanted = Self::default();
        for call in batch {
            match call.durability {
                Durability::Memory => {}
                Durability::Replicated(replicas) => wanted.replicas = wanted.replicas.max(replicas.count()),
                Durability::Fsync => wanted.fsync = true,
            }
        }
        wanted
    }
}

impl Confirming {
    /// Waits on a connection of `link`, whose response timeout must leave room for two waits, each at most `wait_timeout`.
    pub(in crate::store) fn new(link: Arc<Link>, wait_timeout: Duration) -> Self {
        Self {
            link,
            wait_timeout,
            known: Mutex::default(),
            short_log: Mutex::default(),
            seconds: WAITED_FOR.map(|level| histogram!(telemetry::DURABILITY_SECONDS, "level" => level)),
            short: WAITED_FOR.map(|level| counter!(telemetry::DURABILITY_SHORT, "level" => level)),
        }
    }

    /// Whether this server can confirm a level at all.
    pub(in crate::store) async fn check(&self, level: Durability) -> Result<(), StoreError> {
        if level == Durability::Memory {
            return Ok(());
        }
        let connection = self.link.connection().await?;
        self.can(&connection, level).await
    }

    /// Refuses the calls of a batch that this server cannot serve as they ask, before anything is changed; returns the others.
    pub(super) async fn refuse_unconfirmable(&self, connection: &Connection, batch: Vec<Call>) -> Vec<Call> {
        let mut left = batch;
        for level in WAITED_FOR {
            let Some(asked) = left.iter().map(|call| call.durability).find(|asked| asked.name() == level)
            else {
                continue;
            };
            if let Err(fault) = self.can(connection, asked).await {
                let (refused, others) =
                    left.into_iter().partition(|call| call.durability.name() == asked.name());
                refuse_all(refused, &fault);
                left = others;
            }
        }
        left
    }

    async fn can(&self, connection: &Connection, level: Durability) -> Result<(), StoreError> {
        let mut known = self.known_of(connection);
        match level {
            Durability::Memory => return Ok(()),
            Durability::Replicated(_) if known.can_wait => return Ok(()),
            Durability::Fsync if known.fsync.is_some() => return Ok(()),
            Durability::Replicated(_) => self.try_wait(connection).await.map(|()| known.can_wait = true)?,
            Durability::Fsync => known.fsync = Some(self.fsync_way(connection).await?),
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    fn known_of(&self, connection: &Connection) -> Known {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = connection.generation;
        if known.generation == generation { known } else { Known { generation, ..Known::default() } }
    }

    /// What could be confirmed is asked again by the next batch.
    fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Known::default();
    }

    async fn try_wait(&self, connection: &Connection) -> Result<(), StoreError> {
        // No replica is enough: answered at once.
        match self.ask(connection, redis::cmd("WAIT").arg(0).arg(1)).await? {
            Some(_) => Ok(()),
            None => Err(StoreError::DurabilityUnavailable { level: "replicated", lack: Lack::WaitWithheld }),
        }
    }

    async fn fsync_way(&self, connection: &Connection) -> Result<FsyncWay, StoreError> {
        // An error without an append-only file, and before 7.2.
        if self.ask(connection, redis::cmd("WAITAOF").arg(1).arg(0).arg(1)).await?.is_some() {
            return Ok(FsyncWay::WaitAof);
        }
        let lack = match self.ask(connection, &config_get()).await? {
            Some(config) => match AppendOnly::read(config) {
                AppendOnly { is_on: true, fsync } if fsync == ALWAYS => return Ok(FsyncWay::Always),
                AppendOnly { is_on: true, fsync } => Lack::NotAlways { appendfsync: fsync },
                AppendOnly { is_on: false, .. } => Lack::NoAppendOnly,
            },
            None => Lack::ConfigWithheld,
        };
        Err(StoreError::DurabilityUnavailable { level: "fsync", lack })
    }

    /// None when the server answers that it does not know the command, or that this user may not run it.
    async fn ask(&self, connection: &Connection, command: &redis::Cmd) -> Result<Option<Value>, StoreError> {
        use ServerErrorKind::{NoPerm, ResponseError};
        match command.query_async(&mut connection.redis.clone()).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if matches!(error.kind(), ErrorKind::Server(NoPerm | ResponseError)) => Ok(None),
            Err(error) => Err(self.fault(connection, error).await),
        }
    }

    async fn fault(&self, connection: &Connection, error: RedisError) -> StoreError {
        self.forget();
        self.link.fault(connection, error).await
    }

    /// Waits until what the script of a batch wrote, or found written, is as durable as its calls ask, or the time is over.
    /// `nudge` is a key of one of its partitions.
    pub(super) async fn confirm(
        &self,
        connection: &Connection,
        nudge: &str,
        batch: &[Call],
    ) -> Result<Confirmed, StoreError> {
        let wanted = Wanted::of(batch);
        let started = Instant::now();
        let waited = self.wait(connection, nudge, wanted).await;
        let elapsed = started.elapsed();
        for (is_wanted, seconds) in [wanted.replicas > 0, wanted.fsync].into_iter().zip(&self.seconds) {
            if is_wanted {
                seconds.record(elapsed);
            }
        }
        let confirmed = match waited? {
            Waited { nudge: Ok(_), confirmed: Ok(confirmed) } => confirmed,
            // Over maxmemory: what gives back is written, and the nudge is not.
            Waited { nudge: Err(error), .. }
                if matches!(self.link.classify(error.clone()), StoreError::OutOfMemory) =>
            {
                Confirmed::default()
            }
            Waited { nudge: Err(error), .. } | Waited { confirmed: Err(error), .. } => {
                // Demoted meanwhile, for one: whether the change stays is decided elsewhere. The repeat finds out.
                self.forget();
                self.link.discard(connection).await;
                return Err(StoreError::Unconfirmed { source: error });
            }
        };
        if wanted.fsync && !confirmed.is_on_disk {
            // Somebody may have changed the settings since they were asked.
            self.forget();
        }
        Ok(confirmed)
    }

    async fn wait(&self, connection: &Connection, nudge: &str, wanted: Wanted) -> Result<Waited, StoreError> {
        let way = self.known_of(connection).fsync.filter(|_| wanted.fsync);
        let timeout_ms = u64::try_from(self.wait_timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors().cmd("HSET").arg(nudge).arg("at").arg(1);
        if wanted.replicas > 0 {
            pipeline.cmd("WAIT").arg(wanted.replicas).arg(timeout_ms);
        }
        match way {
            Some(FsyncWay::WaitAof) => {
                pipeline.cmd("WAITAOF").arg(1).arg(0).arg(timeout_ms);
            }
            Some(FsyncWay::Always) => {
                pipeline.add_command(config_get());
            }
            None => {}
        }
        let replies: RedisResult<Vec<RedisResult<Value>>> =
            pipeline.query_async(&mut connection.redis.clone()).await;
        let mut replies = match replies {
            Ok(replies) => replies.into_iter(),
            Err(error) => return Err(self.fault(connection, error).await),
        };
        let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
        let nudge = next();
        let mut read = || {
            let mut confirmed = Confirmed::default();
            if wanted.replicas > 0 {
                confirmed.replicas = redis::from_redis_value(next()?)?;
            }
            confirmed.is_on_disk = match way {
                Some(FsyncWay::WaitAof) => {
                    let (local, _replicas): (u32, u32) = redis::from_redis_value(next()?)?;
                    local > 0
                }
                Some(FsyncWay::Always) => AppendOnly::read(next()?).is_always(),
                None => false,
            };
            Ok(confirmed)
        };
        let confirmed = read();
        Ok(Waited { nudge, confirmed })
    }

    /// Counts an answer that falls short of what its call asked, and says so now and then.
    pub(super) fn note(&self, achieved: Achieved) {
        if achieved.is_enough() {
            return;
        }
        if let Some(level) = WAITED_FOR.iter().position(|name| *name == achieved.asked.name()) {
            self.short[level].increment(1);
        }
        let mut log = self.short_log.lock().unwrap_or_else(PoisonError::into_inner);
        log.unlogged += 1;
        if log.logged_at.is_none_or(|at| at.elapsed() >= SHORT_LOG_INTERVAL) {
            tracing::warn!(
                asked = %achieved.asked,
                replicas = achieved.replicas,
                on_disk = achieved.is_on_disk,
                answers = log.unlogged,
                "changes are made and less durable than asked"
            );
            *log = ShortLog { logged_at: Some(Instant::now()), unlogged: 0 };
        }
    }
}

struct Waited {
    nudge: RedisResult<Value>,
    confirmed: RedisResult<Confirmed>,
}

const ALWAYS: &str = "always";

/// What the settings say about the append-only file.
struct AppendOnly {
    is_on: bool,
    fsync: String,
}

impl AppendOnly {
    /// What does not parse says nothing: off.
    fn read(config: Value) -> Self {
        let mut config: HashMap<String, String> = redis::from_redis_value(config).unwrap_or_default();
        Self {
            is_on: config.get("appendonly").is_some_and(|value| value == "yes"),
            fsync: config.remove("appendfsync").unwrap_or_default(),
        }
    }

    fn is_always(&self) -> bool {
        self.is_on && self.fsync == ALWAYS
    }
}

fn config_get() -> redis::Cmd {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("appendonly").arg("appendfsync");
    command
}
