//! What lag costs: units a channel shows and that are not there, and how long channels are late.

use crate::domain::{ChannelId, Partition, PublishPolicy, Sku};

use super::{Store, StoreError, StoredLevel, propagation::Confirmed};

/// SKUs one page looks at.
const PAGE: isize = 1000;

/// How far the walk over the unconfirmed SKUs of a channel has come: in each partition those on their way, then dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExposurePlace {
    partition: u16,
    is_among_dead: bool,
    rank: isize,
}

impl ExposurePlace {
    /// This place, or the next that is in one of these partitions, which are in order; None behind the last of them.
    pub fn within(self, partitions: &[Partition]) -> Option<Self> {
        let partition = partitions.iter().find(|partition| partition.0 >= self.partition)?.0;
        if partition == self.partition { Some(self) } else { Some(Self { partition, ..Self::default() }) }
    }

    /// Whether it is the first of its partition.
    pub fn is_first(self) -> bool {
        !self.is_among_dead && self.rank == 0
    }
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
    /// The partitions where a configured channel has something it has not confirmed, or a dead letter. One command per partition, all
    /// at once.
    pub async fn partitions_unconfirmed(&self) -> Result<Vec<Partition>, StoreError> {
        self.partitions_holding(|of| [of.dirty, of.dead]).await
    }

    /// Of the next 1,000 SKUs a channel has not confirmed, and the next 1,000 dead letters after the last of them: units it shows
    /// beyond what it should show now; and where to go on, None at the end. A paused listing shows none.
    pub async fn exposure_page(
        &self,
        channel: &ChannelId,
        policy: &PublishPolicy,
        from: ExposurePlace,
    ) -> Result<(i64, Option<ExposurePlace>), StoreError> {
        let of = self.inner.keys.channel(Partition(from.partition), channel);
        let (mut units, mut place) = (0, from);
        if !place.is_among_dead {
            let names = self.page(&of.dirty, place.rank).await?;
            units += self.units_exposed(&of.sync, policy, &skus(&names)).await?;
            if is_full(&names) {
                return Ok((units, Some(ExposurePlace { rank: place.rank + PAGE, ..place })));
            }
            place = ExposurePlace { is_among_dead: true, rank: 0, ..place };
        }
        let names = self.page(&of.dead, place.rank).await?;
        let dead = self.not_in(&of.dirty, skus(&names)).await?;
        units += self.units_exposed(&of.sync, policy, &dead).await?;
        if is_full(&names) {
            return Ok((units, Some(ExposurePlace { rank: place.rank + PAGE, ..place })));
        }
        let partition = place.partition + 1;
        let has_more = partition < self.partitions().count();
        Ok((units, has_more.then(|| ExposurePlace { partition, ..ExposurePlace::default() })))
    }

    async fn page(&self, key: &str, rank: isize) -> Result<Vec<String>, StoreError> {
        self.query_at(key, redis::cmd("ZRANGE").arg(key).arg(rank).arg(rank + PAGE - 1)).await
    }

    /// A dead letter that is tried once more is met among those on their way.
    async fn not_in(&self, dirty: &str, mut skus: Vec<Sku>) -> Result<Vec<Sku>, StoreError> {
        if skus.is_empty() {
            return Ok(skus);
        }
        let mut read = redis::cmd("ZMSCORE");
        read.arg(dirty);
        for sku in &skus {
            read.arg(sku.as_str());
        }
        let scores: Vec<Option<f64>> = self.query_at(dirty, &read).await?;
        let mut scores = scores.into_iter();
        skus.retain(|_| scores.next().flatten().is_none());
        Ok(skus)
    }

    async fn units_exposed(
        &self,
        sync: &str,
        policy: &PublishPolicy,
        skus: &[Sku],
    ) -> Result<i64, StoreError> {
        if skus.is_empty() {
            return Ok(0);
        }
        let mut read = redis::cmd("HMGET");
        read.arg(sync);
        for sku in skus {
            read.arg(sku.as_str());
        }
        let shown: Vec<Option<String>> = self.query_at(sync, &read).await?;
        let levels = self.levels(skus).await?;
        let mut units = 0;
        for (shown, level) in shown.iter().zip(levels) {
            if let (Some(shown), StoredLevel::Known { level, .. }) = (shown, level) {
                units += (quantity_offered(shown) - policy.published(level.available())).max(0);
            }
        }
        Ok(units)
    }

    /// Notes that a channel is late; true for the one worker that notes it first.
    pub async fn begin_lateness(&self, channel: &ChannelId, lateness: Lateness) -> Result<bool, StoreError> {
        let now_ms = self.now_ms().await?;
        let key = self.inner.keys.control(channel);
        self.query_at(&key, redis::cmd("HSETNX").arg(&key).arg(lateness.field()).arg(now_ms)).await
    }

    /// Notes that a channel is late no more; true for the one worker that notes it first.
    pub async fn end_lateness(&self, channel: &ChannelId, lateness: Lateness) -> Result<bool, StoreError> {
        let key = self.inner.keys.control(channel);
        let gone: i64 = self.query_at(&key, redis::cmd("HDEL").arg(&key).arg(lateness.field())).await?;
        Ok(gone > 0)
    }
}

fn skus(names: &[String]) -> Vec<Sku> {
    names.iter().filter_map(|name| Sku::parse(name).ok()).collect()
}

fn is_full(names: &[String]) -> bool {
    names.len() == usize::try_from(PAGE).unwrap_or(usize::MAX)
}

/// Units a channel offers, as it confirmed it; a text that does not parse offers none.
fn quantity_offered(text: &str) -> i64 {
    Confirmed::read(text).filter(|told| !told.paused).map_or(0, |told| told.quantity)
}
