//! Facts about the whole namespace: the clock, the number of partitions, whether Redis is there.

use redis::aio::MultiplexedConnection;

use crate::domain::{Partition, Partitions};

use super::{AtomicDomain, Clock, RepartitionError, Store, StoreError, repartition::Facts, scripts};

/// The number of partitions is fixed at the first start; another one later would look for stock in the wrong place.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The namespace has another number of partitions.
    #[error(
        "this namespace was made with {stored} partitions, the settings say {configured}: set redis.partitions = {stored}, \
         or choose another redis.namespace"
    )]
    OtherPartitions {
        /// As stored.
        stored: u16,
        /// As configured.
        configured: u16,
    },
    /// The namespace keeps records by windows of another length; under this one they would not be found.
    #[error(
        "this namespace keeps records for {stored_ms} ms, the settings say {configured_ms} ms: set holds.retention back; to \
         change it, stop all gateways, wait until no caller repeats an old key any more, and run `redis-cli HSET {key} \
         retention_ms {configured_ms}`"
    )]
    OtherRetention {
        /// As stored.
        stored_ms: i64,
        /// As configured.
        configured_ms: i64,
        /// The key that holds it.
        key: String,
    },
    /// The number of partitions is being changed, or the run that changed it was killed.
    #[error(
        "this shop is on its way from {from} to {to} partitions, and nobody may serve it meanwhile: wait for the end of \
         `stockgate repartition`; when it was killed, run `stockgate repartition --to {to}` again"
    )]
    Repartitioning {
        /// From how many.
        from: u16,
        /// To how many.
        to: u16,
    },
    /// The layout of the namespace cannot be read.
    #[error("cannot read the layout of this shop")]
    Layout(#[source] RepartitionError),
    /// Redis could not be asked.
    #[error("cannot prepare redis")]
    Store(#[from] StoreError),
}

impl From<RepartitionError> for PrepareError {
    fn from(error: RepartitionError) -> Self {
        match error {
            RepartitionError::Store(fault) => Self::Store(fault),
            other => Self::Layout(other),
        }
    }
}

impl Store {
    /// Loads the scripts, fixes the number of partitions, makes the consumer groups.
    pub async fn prepare(&self) -> Result<(), PrepareError> {
        for mut connection in self.inner.nodes.all().await? {
            if let Err(error) = scripts::load_all(&mut connection.redis).await {
                return Err(connection.fault(error).await.into());
            }
        }
        // Before the number of partitions is looked at: on the way it is still the old one.
        let facts = Facts::read(self).await?;
        if let Some(halfway) = facts.as_ref().and_then(|facts| facts.halfway) {
            let (from, to) = (halfway.from.count(), halfway.to.count());
            return Err(PrepareError::Repartitioning { from, to });
        }
        let configured = self.partitions();
        let key = self.inner.keys.meta();
        let _: i64 = self
            .query_at(&key, redis::cmd("HSETNX").arg(&key).arg("partitions").arg(configured.count()))
            .await?;
        let stored: u16 = self.query_at(&key, redis::cmd("HGET").arg(&key).arg("partitions")).await?;
        if Partitions::new(stored) != Some(configured) {
            return Err(PrepareError::OtherPartitions { stored, configured: configured.count() });
        }
        let configured_ms = self.retention_ms();
        let _: i64 = self
            .query_at(&key, redis::cmd("HSETNX").arg(&key).arg("retention_ms").arg(configured_ms))
            .await?;
        let stored_ms: i64 = self.query_at(&key, redis::cmd("HGET").arg(&key).arg("retention_ms")).await?;
        if stored_ms != configured_ms {
            return Err(PrepareError::OtherRetention { stored_ms, configured_ms, key });
        }
        // Whoever prepares twice read the same before: while a gateway runs, nobody changes it.
        let _ = self.inner.earlier.set(facts.map(|facts| facts.earlier).unwrap_or_default());
        self.ensure_group().await?;
        Ok(())
    }

    /// The clock of what belongs to no partition, in ms; without cluster the one scripts go by.
    pub async fn now_ms(&self) -> Result<i64, StoreError> {
        self.clock_at(&self.inner.keys.meta()).await
    }

    /// The clock scripts of a partition go by, in ms: the one of its server.
    pub async fn now_ms_at(&self, partition: Partition) -> Result<i64, StoreError> {
        self.clock_at(&self.inner.keys.stock(partition)).await
    }

    /// The clock of the server that has a key, in ms.
    pub(super) async fn clock_at(&self, key: &str) -> Result<i64, StoreError> {
        match self.moved_ms() {
            Some(now_ms) => Ok(now_ms),
            None => self.time_of(self.query_at(key, &redis::cmd("TIME")).await?),
        }
    }

    /// The clock that is moved by hand, if scripts go by one.
    pub(super) fn moved_ms(&self) -> Option<i64> {
        match &self.inner.settings.clock {
            Clock::Moved(now_ms) => Some(now_ms.load(std::sync::atomic::Ordering::SeqCst)),
            Clock::Redis => None,
        }
    }

    /// What a server answers to TIME, in ms.
    pub(super) fn time_of(&self, answer: redis::Value) -> Result<i64, StoreError> {
        let (seconds, micros): (i64, i64) = self.inner.nodes.read(answer)?;
        Ok(seconds * 1000 + micros / 1000)
    }

    /// Asks Redis, of a cluster any server, for a sign of life: a tiny write, since a demoted or lonely Redis answers reads all the same.
    pub async fn pulse(&self) -> Result<(), StoreError> {
        // HSET is a right the gateway needs anyway.
        let beat = |key: String| {
            let mut beat = redis::cmd("HSET");
            beat.arg(&key).arg("beat").arg(1);
            (key, beat)
        };
        // On a cluster also beside a partition of each server: one of them that is gone is no reason to serve nobody.
        let mut beats = vec![beat(self.inner.keys.pulse())];
        if self.atomic_domain() == AtomicDomain::Partition {
            let all: Vec<_> = self.partitions().all().collect();
            let servers = self.by_server(&all).await;
            let firsts = servers.iter().filter_map(|beside| beside.first());
            beats.extend(firsts.map(|partition| beat(self.inner.keys.nudge(*partition))));
        }
        let mut fault = None;
        for answer in self.query_each(&beats).await {
            match answer {
                // Full, but releases and everything else that gives back still works.
                Ok(_) | Err(StoreError::OutOfMemory) => return Ok(()),
                Err(one) => fault = fault.or(Some(one)),
            }
        }
        fault.map_or(Ok(()), Err)
    }

    /// A copy of the shared connection to each server, for the checks at start.
    pub async fn connections(&self) -> Result<Vec<MultiplexedConnection>, StoreError> {
        let all = self.inner.nodes.all().await?;
        Ok(all.into_iter().map(|connection| connection.redis.into_plain()).collect())
    }
}
