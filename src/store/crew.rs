//! Which workers are there: each says so again and again, and who is silent for a while is gone. Who believes something else for a
//! moment reads a stream twice, which is harmless.

use super::{Store, StoreError};

/// Who was not heard of for so long is gone.
const GONE_AFTER_MS: i64 = 3000;
/// The most that are counted.
const WORKERS_MAX: isize = 4096;

impl Store {
    /// Says that this worker is there; all that are, itself included. Two round trips.
    pub async fn announce(&self, worker: &str) -> Result<Vec<String>, StoreError> {
        let key = self.inner.keys.workers();
        let now_ms = self.clock_at(&key).await?;
        let mut pipeline = redis::pipe();
        pipeline.zadd(&key, worker, now_ms).ignore();
        pipeline.zrembyscore(&key, "-inf", now_ms - GONE_AFTER_MS).ignore();
        // Of a server whose clock was ahead: whoever is there says so again.
        pipeline.zrembyscore(&key, now_ms + GONE_AFTER_MS, "+inf").ignore();
        pipeline.zrange(&key, 0, WORKERS_MAX - 1);
        let (workers,): (Vec<String>,) = self.pipeline_at(&key, &pipeline).await?;
        Ok(workers)
    }

    /// Says that this worker goes, to those that are there too.
    pub async fn retire(&self, worker: &str) -> Result<(), StoreError> {
        let key = self.inner.keys.workers();
        let _: i64 = self.query_at(&key, redis::cmd("ZREM").arg(&key).arg(worker)).await?;
        self.ring_crew().await
    }
}
