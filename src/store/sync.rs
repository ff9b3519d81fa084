//! How far behind channels are: counts per channel, and one SKU on one channel.

use crate::domain::{ChannelId, Sku};

use super::{
    Store, StoreError,
    propagation::{Confirmed, LATER, Work},
};

/// How far behind one channel is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelCounts {
    /// SKUs it must still be told about, leased ones not counted.
    pub due: u64,
    /// Of these, parked for a later moment.
    pub retrying: u64,
    /// Of these, told when nothing live is due.
    pub behind: u64,
    /// SKUs a worker is telling it about.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
    /// The oldest change it has not confirmed, in ms of the Redis clock; dead letters aside.
    pub oldest_unconfirmed_ms: Option<i64>,
}

/// What one channel knows about one SKU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncState {
    /// The version it confirmed last; 0: never told.
    pub confirmed_version: i64,
    /// The quantity it confirmed with it.
    pub confirmed_quantity: i64,
    /// Whether it confirmed that the listing is paused.
    pub confirmed_paused: bool,
    /// When, in ms of the Redis clock.
    pub confirmed_ms: i64,
    /// Failures since the last success.
    pub attempts: u32,
    /// When it is to be told next: 0 ahead of everything.
    pub due_ms: Option<i64>,
    /// Whether it is told only when nothing live is due.
    pub behind: bool,
    /// Until when a worker has it leased.
    pub lease_end_ms: Option<i64>,
    /// Since when it is a dead letter.
    pub dead_ms: Option<i64>,
    /// The oldest change it has not confirmed; of a dead letter too.
    pub oldest_unconfirmed_ms: Option<i64>,
    /// What went wrong last.
    pub last_error: String,
}

type Counted = (u64, u64, u64, u64, u64, Vec<(String, f64)>);

impl Store {
    /// Counts of one channel, summed over the partitions; O(partitions × log due).
    pub async fn channel_counts(&self, channel: &ChannelId) -> Result<ChannelCounts, StoreError> {
        let now_ms = self.now_ms().await?;
        let mut sum = ChannelCounts::default();
        for partition in self.partitions().all() {
            let keys = self.inner.keys.channel(partition, channel);
            let mut pipeline = redis::pipe();
            let parked = (format!("({now_ms}"), format!("({LATER}"));
            pipeline.zcard(&keys.due).zcount(&keys.due, parked.0, parked.1).zcount(&keys.due, LATER, "+inf");
            pipeline.zcard(&keys.lease).zcard(&keys.dead);
            pipeline.cmd("ZRANGE").arg(&keys.dirty).arg(0).arg(0).arg("WITHSCORES");
            let (due, retrying, behind, leased, dead, oldest): Counted =
                self.pipeline_at(&keys.due, &pipeline).await?;
            sum.due += due;
            sum.retrying += retrying;
            sum.behind += behind;
            sum.leased += leased;
            sum.dead += dead;
            // Scores are whole ms below 2^53.
            let oldest_ms = oldest.first().map(|(_, score)| *score as i64);
            sum.oldest_unconfirmed_ms = match (sum.oldest_unconfirmed_ms, oldest_ms) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(sum)
    }

    /// The configured channels a worker could tell something now: something is due, or a lease ran out. One command per
    /// partition while nothing waits anywhere; else O(channels × log due).
    pub async fn channels_with_work(&self) -> Result<Vec<ChannelId>, StoreError> {
        let mut with_work = Vec::new();
        if self.channels().is_empty() {
            return Ok(with_work);
        }
        let now_ms = self.now_ms().await?;
        for partition in self.partitions().all() {
            let keys: Vec<_> =
                self.channels().iter().map(|channel| self.inner.keys.channel(partition, channel)).collect();
            let mut exists = redis::cmd("EXISTS");
            for of in &keys {
                exists.arg(&of.due).arg(&of.lease);
            }
            if self.query_at::<u64>(&keys[0].due, &exists).await? == 0 {
                continue;
            }
            let mut pipeline = redis::pipe();
            for of in &keys {
                pipeline.zcount(&of.due, "-inf", now_ms).zcount(&of.due, LATER, "+inf");
                pipeline.zcount(&of.lease, "-inf", now_ms);
            }
            let counts: Vec<u64> = self.pipeline_at(&keys[0].due, &pipeline).await?;
            for (channel, counts) in self.channels().iter().zip(counts.chunks_exact(3)) {
                if counts.iter().any(|count| *count > 0) && !with_work.contains(channel) {
                    with_work.push(channel.clone());
                }
            }
        }
        Ok(with_work)
    }

    /// What one channel knows about one SKU.
    pub async fn sync_state(&self, channel: &ChannelId, sku: &Sku) -> Result<SyncState, StoreError> {
        let keys = self.inner.keys.channel(self.partitions().of(sku), channel);
        let member = sku.as_str();
        let mut pipeline = redis::pipe();
        pipeline.hget(&keys.sync, member).hget(&keys.work, member).zscore(&keys.due, member);
        pipeline.zscore(&keys.lease, member).zscore(&keys.dirty, member).zscore(&keys.dead, member);
        type Read = (Option<String>, Option<String>, Option<f64>, Option<f64>, Option<f64>, Option<f64>);
        let (sync, work, due, lease, dirty, dead): Read = self.pipeline_at(&keys.sync, &pipeline).await?;
        let broken = || StoreError::Broken { what: format!("sync state of {sku} on {channel}") };
        // Scores are whole ms below 2^53.
        let whole = |score: Option<f64>| score.map(|score| score as i64);
        let due_ms = whole(due);
        let mut state = SyncState {
            due_ms: due_ms.map(|due_ms| if due_ms >= LATER { due_ms - LATER } else { due_ms }),
            behind: due_ms.is_some_and(|due_ms| due_ms >= LATER),
            lease_end_ms: whole(lease),
            dead_ms: whole(dead),
            oldest_unconfirmed_ms: whole(dirty),
            ..SyncState::default()
        };
        if let Some(sync) = sync {
            let told = Confirmed::read(&sync).ok_or_else(broken)?;
            state.confirmed_version = told.version;
            state.confirmed_quantity = told.quantity;
            state.confirmed_paused = told.paused;
            state.confirmed_ms = told.confirmed_ms;
        }
        if let Some(work) = work {
            let work = Work::read(&work).ok_or_else(broken)?;
            state.attempts = work.attempts;
            state.last_error = work.last_error;
            if state.dead_ms.is_some() {
                state.oldest_unconfirmed_ms = state.oldest_unconfirmed_ms.or(work.since_ms);
            }
        }
        Ok(state)
    }
}
