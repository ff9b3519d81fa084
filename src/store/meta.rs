//! Facts about the whole namespace: the clock, the number of partitions, whether Redis is there.

use redis::aio::MultiplexedConnection;

use crate::domain::Partitions;

use super::{Clock, Store, StoreError, scripts};

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
    /// Redis could not be asked.
    #[error("cannot prepare redis")]
    Store(#[from] StoreError),
}

impl Store {
    /// Loads the scripts, fixes the number of partitions, makes the consumer groups.
    pub async fn prepare(&self) -> Result<(), PrepareError> {
        let mut connection = self.inner.link.connection().await?;
        if let Err(error) = scripts::load_all(&mut connection.redis).await {
            return Err(self.inner.link.fault(&connection, error).await.into());
        }
        let configured = self.partitions();
        let key = self.inner.keys.meta();
        let _: i64 =
            self.query(redis::cmd("HSETNX").arg(&key).arg("partitions").arg(configured.count())).await?;
        let stored: u16 = self.query(redis::cmd("HGET").arg(&key).arg("partitions")).await?;
        if Partitions::new(stored) != Some(configured) {
            return Err(PrepareError::OtherPartitions { stored, configured: configured.count() });
        }
        let configured_ms = self.retention_ms();
        let _: i64 =
            self.query(redis::cmd("HSETNX").arg(&key).arg("retention_ms").arg(configured_ms)).await?;
        let stored_ms: i64 = self.query(redis::cmd("HGET").arg(&key).arg("retention_ms")).await?;
        if stored_ms != configured_ms {
            return Err(PrepareError::OtherRetention { stored_ms, configured_ms, key });
        }
        self.ensure_group().await?;
        Ok(())
    }

    /// The clock scripts go by, in ms.
    pub async fn now_ms(&self) -> Result<i64, StoreError> {
        if let Clock::Moved(now_ms) = &self.inner.settings.clock {
            return Ok(now_ms.load(std::sync::atomic::Ordering::SeqCst));
        }
        let (seconds, micros): (i64, i64) = self.query(&redis::cmd("TIME")).await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    /// Asks Redis for a sign of life: a tiny write, since a demoted or lonely Redis answers reads all the same.
    pub async fn pulse(&self) -> Result<(), StoreError> {
        // HSET is a right the gateway needs anyway.
        let mut beat = redis::cmd("HSET");
        beat.arg(self.inner.keys.pulse()).arg("beat").arg(1);
        match self.query::<i64>(&beat).await {
            // Full, but releases and everything else that gives back still works.
            Ok(_) | Err(StoreError::OutOfMemory) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// A copy of the shared connection, for the checks at start.
    pub async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        Ok(self.inner.link.connection().await?.redis.into_plain())
    }
}
