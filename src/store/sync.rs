//! How far behind channels are: counts per channel, and one SKU on one channel.

use crate::domain::{ChannelId, Sku};

use super::{Store, StoreError};

/// How far behind one channel is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelCounts {
    /// SKUs it must still be told about, leased ones not counted.
    pub due: u64,
    /// Of these, parked for a later moment.
    pub retrying: u64,
    /// SKUs a worker is telling it about.
    pub leased: u64,
    /// The oldest change it has not confirmed, in ms of the Redis clock.
    pub oldest_unconfirmed_ms: Option<i64>,
}

/// What one channel knows about one SKU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncState {
    /// The version it confirmed last; 0: never told.
    pub confirmed_version: i64,
    /// The quantity it confirmed with it.
    pub confirmed_quantity: i64,
    /// When, in ms of the Redis clock.
    pub confirmed_ms: i64,
    /// Failures since the last success.
    pub attempts: u32,
    /// When it is to be told next.
    pub due_ms: Option<i64>,
    /// Until when a worker has it leased.
    pub lease_end_ms: Option<i64>,
    /// Since when it is a dead letter.
    pub dead_ms: Option<i64>,
    /// The oldest change it has not confirmed.
    pub oldest_unconfirmed_ms: Option<i64>,
    /// What went wrong last.
    pub last_error: String,
}

impl Store {
    /// Counts of one channel, summed over the partitions; O(partitions × log due).
    pub async fn channel_counts(&self, channel: &ChannelId) -> Result<ChannelCounts, StoreError> {
        let now_ms = self.now_ms().await?;
        let mut sum = ChannelCounts::default();
        for partition in self.partitions().all() {
            let keys = self.inner.keys.channel(partition, channel);
            let mut pipeline = redis::pipe();
            pipeline.zcard(&keys.due).zcount(&keys.due, format!("({now_ms}"), "+inf").zcard(&keys.lease);
            pipeline.cmd("ZRANGE").arg(&keys.dirty).arg(0).arg(0).arg("WITHSCORES");
            let (due, retrying, leased, oldest): (u64, u64, u64, Vec<(String, f64)>) =
                self.query_pipeline(&pipeline).await?;
            sum.due += due;
            sum.retrying += retrying;
            sum.leased += leased;
            // Scores are whole ms below 2^53.
            let oldest_ms = oldest.first().map(|(_, score)| *score as i64);
            sum.oldest_unconfirmed_ms = match (sum.oldest_unconfirmed_ms, oldest_ms) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(sum)
    }

    /// What one channel knows about one SKU.
    pub async fn sync_state(&self, channel: &ChannelId, sku: &Sku) -> Result<SyncState, StoreError> {
        let keys = self.inner.keys.channel(self.partitions().of(sku), channel);
        let member = sku.as_str();
        let mut pipeline = redis::pipe();
        pipeline.hget(&keys.sync, member).hget(&keys.work, member);
        pipeline.zscore(&keys.due, member).zscore(&keys.lease, member).zscore(&keys.dirty, member);
        pipeline.zscore(&keys.dead, member);
        type Read = (Option<String>, Option<String>, Option<f64>, Option<f64>, Option<f64>, Option<f64>);
        let (sync, work, due, lease, dirty, dead): Read = self.query_pipeline(&pipeline).await?;
        let broken = || StoreError::Broken { what: format!("sync state of {sku} on {channel}") };
        // Scores are whole ms below 2^53.
        let whole = |score: Option<f64>| score.map(|score| score as i64);
        let mut state = SyncState {
            due_ms: whole(due),
            lease_end_ms: whole(lease),
            dead_ms: whole(dead),
            oldest_unconfirmed_ms: whole(dirty),
            ..SyncState::default()
        };
        if let Some(sync) = sync {
            let numbers: Vec<i64> =
                sync.split(' ').map(str::parse).collect::<Result<_, _>>().map_err(|_| broken())?;
            let [version, quantity, confirmed_ms] = numbers[..] else { return Err(broken()) };
            state.confirmed_version = version;
            state.confirmed_quantity = quantity;
            state.confirmed_ms = confirmed_ms;
        }
        if let Some(work) = work {
            let words: Vec<&str> = work.splitn(5, ' ').collect();
            let [attempts, _token, _claimed, _since, last_error] = words[..] else { return Err(broken()) };
            state.attempts = attempts.parse().map_err(|_| broken())?;
            state.last_error = last_error.to_owned();
        }
        Ok(state)
    }

    pub(super) async fn query_pipeline<T: redis::FromRedisValue>(
        &self,
        pipeline: &redis::Pipeline,
    ) -> Result<T, StoreError> {
        let mut connection = self.inner.link.connection().await?;
        match pipeline.query_async(&mut connection.redis).await {
            Ok(value) => Ok(value),
            Err(error) => Err(self.inner.link.fault(&connection, error).await),
        }
    }
}
