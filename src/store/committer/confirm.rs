//! The wait behind a batch until it is as durable as its calls ask, on the connection that carried it.
//!
//! That connection is its own: Redis answers nothing else on it while a wait hangs. The wait is sent when the script has answered:
//! a script that must go again, or was not carried out, is not waited for.
//!
//! WAIT and WAITAOF wait for what their own connection wrote last (since 7.2; 7.0 is kinder). A batch of repeats writes nothing,
//! and what it repeats may have come a moment ago by another gateway. So a tiny write, the nudge, goes between the script and
//! the wait: replication and the append-only file keep the order of writes, and whoever has the nudge has all that was
//! written before it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use metrics::{Counter, Histogram, counter, histogram};
use redis::{RedisError, RedisResult, Value};

use crate::{
    domain::{Achieved, Durability},
    store::{StoreError, link::Connection},
    telemetry,
};

use super::{
    Call,
    ability::{Abilities, AppendOnly, FsyncWay},
    refuse_all,
};

/// How often it is logged that answers fall short: while a replica is away each of them does.
const SHORT_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Level names as metrics have them; every other level asks for nothing.
const WAITED_FOR: [&str; 2] = ["replicated", "fsync"];

/// Confirms batches on a connection of its own.
pub(in crate::store) struct Confirming {
    wait_timeout: Duration,
    abilities: Abilities,
    short_log: Mutex<ShortLog>,
    seconds: [Histogram; WAITED_FOR.len()],
    short: [Counter; WAITED_FOR.len()],
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
    /// Waits on connections whose response timeout leaves room for two waits, each at most `wait_timeout`.
    pub(in crate::store) fn new(wait_timeout: Duration) -> Self {
        Self {
            abilities: Abilities::default(),
            wait_timeout,
            short_log: Mutex::default(),
            seconds: WAITED_FOR.map(|level| histogram!(telemetry::DURABILITY_SECONDS, "level" => level)),
            short: WAITED_FOR.map(|level| counter!(telemetry::DURABILITY_SHORT, "level" => level)),
        }
    }

    /// Whether a server can confirm a level at all.
    pub(in crate::store) async fn check(
        &self,
        connection: &Connection,
        level: Durability,
    ) -> Result<(), StoreError> {
        self.abilities.check(connection, level).await
    }

    /// Refuses the calls of a batch that this server cannot serve as they ask, before anything is changed; returns the others.
    pub(super) async fn refuse_unconfirmable(&self, connection: &Connection, batch: Vec<Call>) -> Vec<Call> {
        let mut left = batch;
        for level in WAITED_FOR {
            let Some(asked) = left.iter().map(|call| call.durability).find(|asked| asked.name() == level)
            else {
                continue;
            };
            if let Err(fault) = self.abilities.check(connection, asked).await {
                let (refused, others) =
                    left.into_iter().partition(|call| call.durability.name() == asked.name());
                refuse_all(refused, &fault);
                left = others;
            }
        }
        left
    }

    async fn fault(&self, connection: &Connection, error: RedisError) -> StoreError {
        self.abilities.forget(connection);
        connection.fault(error).await
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
                if matches!(connection.classify(error.clone()), StoreError::OutOfMemory) =>
            {
                Confirmed::default()
            }
            Waited { nudge: Err(error), .. } | Waited { confirmed: Err(error), .. } => {
                // Demoted meanwhile, for one: whether the change stays is decided elsewhere. The repeat finds out.
                self.abilities.forget(connection);
                connection.discard().await;
                return Err(StoreError::Unconfirmed { source: error });
            }
        };
        if wanted.fsync && !confirmed.is_on_disk {
            // Somebody may have changed the settings since they were asked.
            self.abilities.forget(connection);
        }
        Ok(confirmed)
    }

    async fn wait(&self, connection: &Connection, nudge: &str, wanted: Wanted) -> Result<Waited, StoreError> {
        // None too when what this server can was forgotten since it was asked: then nothing is claimed.
        let way = self.abilities.fsync_way(connection).filter(|_| wanted.fsync);
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
                pipeline.add_command(AppendOnly::question());
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
