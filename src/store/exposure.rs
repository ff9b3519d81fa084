//! What lag costs: units a channel shows and that are not there, and how long channels are late.

use crate::domain::{ChannelId, Partition, PublishPolicy, Sku};

use super::{Store, StoreError, StoredLevel};

/// SKUs one page looks at.
const PAGE: isize = 1000;

/// How far the walk over the unconfirmed SKUs of a channel has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExposurePlace {
    partition: u16,
    rank: isize,
}

/// How late a channel is, as it is told once over all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lateness {
    /// Beyond `propagation.lag_critical`.
    Critical,
    /// Beyond `propagation.lag_cost`.
    Costly,
}

impl Lateness {
    fn field(self) -> &'static str {
        match self {
            Self::Critical => "critical_ms",
            Self::Costly => "costly_ms",
        }
    }
}

impl Store {
    /// Whether any configured channel has something it has not confirmed, or a dead letter. One command per partition.
    pub async fn any_unconfirmed(&self) -> Result<bool, StoreError> {
        for partition in self.partitions().all().filter(|_| !self.channels().is_empty()) {
            let mut exists = redis::cmd("EXISTS");
            for channel in self.channels() {
                let of = self.inner.keys.channel(partition, channel);
                exists.arg(of.dirty).arg(of.dead);
            }
            if self.query::<u64>(&exists).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Of the next 1,000 SKUs a channel has not confirmed: units it shows beyond what it should show now; and where to go on, None
    /// at the end. A paused listing shows none.
    pub async fn exposure_page(
        &self,
        channel: &ChannelId,
        policy: &PublishPolicy,
        from: ExposurePlace,
    ) -> Result<(i64, Option<ExposurePlace>), StoreError> {
        let partition = Partition(from.partition);
        let of = self.inner.keys.channel(partition, channel);
        let mut range = redis::cmd("ZRANGE");
        range.arg(&of.dirty).arg(from.rank).arg(from.rank + PAGE - 1);
        let names: Vec<String> = self.query(&range).await?;
        let skus: Vec<Sku> = names.iter().filter_map(|name| Sku::parse(name).ok()).collect();
        let mut units = 0;
        if !skus.is_empty() {
            let mut read = redis::cmd("HMGET");
            read.arg(&of.sync);
            for sku in &skus {
                read.arg(sku.as_str());
            }
            let shown: Vec<Option<String>> = self.query(&read).await?;
            let levels = self.levels(&skus).await?;
            for (shown, level) in shown.iter().zip(levels) {
                if let (Some(shown), StoredLevel::Known { level, .. }) = (shown, level) {
                    units += (quantity_offered(shown) - policy.published(level.available())).max(0);
                }
            }
        }
        let is_full = names.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
        let next = match (is_full, from.partition + 1 < self.partitions().count()) {
            (true, _) => Some(ExposurePlace { rank: from.rank + PAGE, ..from }),
            (false, true) => Some(ExposurePlace { partition: from.partition + 1, rank: 0 }),
            (false, false) => None,
        };
        Ok((units, next))
    }

    /// Notes that a channel is late; true for the one worker that notes it first.
    pub async fn begin_lateness(&self, channel: &ChannelId, lateness: Lateness) -> Result<bool, StoreError> {
        let now_ms = self.now_ms().await?;
        let mut note = redis::cmd("HSETNX");
        note.arg(self.inner.keys.control(channel)).arg(lateness.field()).arg(now_ms);
        self.query(&note).await
    }

    /// Notes that a channel is late no more; true for the one worker that notes it first.
    pub async fn end_lateness(&self, channel: &ChannelId, lateness: Lateness) -> Result<bool, StoreError> {
        let mut forget = redis::cmd("HDEL");
        forget.arg(self.inner.keys.control(channel)).arg(lateness.field());
        Ok(self.query::<i64>(&forget).await? > 0)
    }
}

/// Reads `<version> <quantity> <paused> <ms>`; a text that is no such thing offers nothing.
fn quantity_offered(text: &str) -> i64 {
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        [_, quantity, "0", _] => quantity.parse().unwrap_or(0),
        _ => 0,
    }
}
