//! Reads of counts: now from Redis, or a little old from the copy this process keeps.

use std::{num::NonZeroUsize, time::Duration};

use metrics::{Counter, counter};

use crate::{
    domain::{Level, Sku},
    store::{LevelCopy, Store, StoreError, StoredLevel},
    telemetry,
};

/// What became of the read of one SKU.
pub(super) enum Read {
    /// Its count.
    Known(Level),
    /// Nobody ever set it.
    Unknown,
    /// Its text does not parse.
    Broken,
}

/// Where counts are read.
#[derive(Clone)]
pub(super) struct Reads {
    store: Store,
    copy: Option<LevelCopy>,
    from_copy: Counter,
    from_redis: Counter,
}

/// A copy of so many SKUs, if any.
pub(super) fn copy_of(skus_max: usize) -> Option<LevelCopy> {
    NonZeroUsize::new(skus_max).map(LevelCopy::new)
}

impl Reads {
    pub(super) fn new(store: Store, copy: Option<LevelCopy>) -> Self {
        let read = |source| counter!(telemetry::READS, "source" => source);
        Self { store, copy, from_copy: read("copy"), from_redis: read("redis") }
    }

    /// The counts of these SKUs in their order, and how old the oldest may be: at most `max_staleness`, or read now.
    pub(super) async fn levels(
        &self,
        skus: &[Sku],
        max_staleness: Option<Duration>,
    ) -> Result<(Vec<Read>, Duration), StoreError> {
        let (Some(copy), Some(age_max)) = (&self.copy, max_staleness) else {
            let read = self.now_from_redis(skus).await?;
            return Ok((read.into_iter().map(Read::from).collect(), Duration::ZERO));
        };
        let copied: Vec<Option<(Level, Duration)>> =
            skus.iter().map(|sku| copy.level(sku, age_max)).collect();
        let absent: Vec<Sku> = skus
            .iter()
            .zip(&copied)
            .filter(|(_, level)| level.is_none())
            .map(|(sku, _)| sku.clone())
            .collect();
        self.from_copy.increment(count(skus.len() - absent.len()));
        let mark = copy.mark();
        let mut read = Vec::new();
        if !absent.is_empty() {
            read = self.now_from_redis(&absent).await?;
            for (sku, level) in absent.iter().zip(&read) {
                if let StoredLevel::Known { level, .. } = level {
                    copy.keep(mark, sku, level.clone());
                }
            }
        }
        let oldest = copied.iter().flatten().map(|(_, age)| *age).max().unwrap_or_default();
        let mut read = read.into_iter();
        let levels = copied.into_iter().map(|level| match level {
            Some((level, _)) => Read::Known(level),
            None => read.next().map_or(Read::Unknown, Read::from),
        });
        Ok((levels.collect(), oldest))
    }

    async fn now_from_redis(&self, skus: &[Sku]) -> Result<Vec<StoredLevel>, StoreError> {
        self.from_redis.increment(count(skus.len()));
        self.store.levels(skus).await
    }
}

impl From<StoredLevel> for Read {
    fn from(stored: StoredLevel) -> Self {
        match stored {
            StoredLevel::Known { level, .. } => Self::Known(level),
            StoredLevel::Unknown => Self::Unknown,
            StoredLevel::Broken => Self::Broken,
        }
    }
}

fn count(skus: usize) -> u64 {
    u64::try_from(skus).unwrap_or(u64::MAX)
}
