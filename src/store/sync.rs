//! How far behind channels are: counts per channel, and one SKU on one channel.

use redis::{Cmd, Value};

use crate::domain::{ChannelId, Partition, Sku};

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

/// Commands per partition that count a channel.
const COUNTS: usize = 6;

impl Store {
    /// Counts of one channel, summed over the partitions; O(partitions × log due).
    pub async fn channel_counts(&self, channel: &ChannelId) -> Result<ChannelCounts, StoreError> {
        self.channel_counts_in(channel, &self.partitions().all().collect::<Vec<_>>()).await
    }

    /// The same of some partitions; six commands each, all at once.
    pub async fn channel_counts_in(
        &self,
        channel: &ChannelId,
        partitions: &[Partition],
    ) -> Result<ChannelCounts, StoreError> {
        let now_ms = self.now_ms().await?;
        let mut asks: Vec<(String, Cmd)> = Vec::with_capacity(partitions.len() * COUNTS);
        for partition in partitions {
            let of = self.inner.keys.channel(*partition, channel);
            let asked = |key: &String, command: &str, arguments: &[String]| {
                let mut asked = redis::cmd(command);
                asked.arg(key).arg(arguments);
                (key.clone(), asked)
            };
            asks.extend([
                asked(&of.due, "ZCARD", &[]),
                asked(&of.due, "ZCOUNT", &[format!("({now_ms}"), format!("({LATER}")]),
                asked(&of.due, "ZCOUNT", &[LATER.to_string(), "+inf".to_owned()]),
                asked(&of.lease, "ZCARD", &[]),
                asked(&of.dead, "ZCARD", &[]),
                asked(&of.dirty, "ZRANGE", &["0", "0", "WITHSCORES"].map(str::to_owned)),
            ]);
        }
        let (nodes, mut sum) = (&self.inner.nodes, ChannelCounts::default());
        let mut answers = self.query_each(&asks).await.into_iter();
        let mut next = || answers.next().unwrap_or_else(|| Ok(Value::Nil));
        for _ in partitions {
            sum.due += nodes.read::<u64>(next()?)?;
            sum.retrying += nodes.read::<u64>(next()?)?;
            sum.behind += nodes.read::<u64>(next()?)?;
            sum.leased += nodes.read::<u64>(next()?)?;
            sum.dead += nodes.read::<u64>(next()?)?;
            let oldest: Vec<(String, f64)> = nodes.read(next()?)?;
            // Scores are whole ms below 2^53.
            let oldest_ms = oldest.first().map(|(_, score)| *score as i64);
            sum.oldest_unconfirmed_ms = [sum.oldest_unconfirmed_ms, oldest_ms].into_iter().flatten().min();
        }
        Ok(sum)
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
