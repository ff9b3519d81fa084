//! Telling a new channel about the stock that is there already: events only carry what changes after it came.

use std::collections::BTreeMap;

use crate::domain::{ChannelId, Partition, Sku};

use super::{Store, StoreError, StoredLevel, WalkPosition, propagation::Marked};

/// SKUs marked by one script.
const PAGE: usize = 500;

impl Store {
    /// The configured channels that were not told about all stock yet. A channel that is no longer configured is forgotten,
    /// so that it is told about all again should it come back.
    pub async fn unseeded_channels(&self) -> Result<Vec<ChannelId>, StoreError> {
        let key = self.inner.keys.seeded();
        let seeded: Vec<String> = self.query(redis::cmd("SMEMBERS").arg(&key)).await?;
        let is_configured = |name: &String| self.channels().iter().any(|channel| channel.as_str() == name);
        for gone in seeded.iter().filter(|name| !is_configured(name)) {
            let _: i64 = self.query(redis::cmd("SREM").arg(&key).arg(gone)).await?;
        }
        let is_seeded = |channel: &&ChannelId| seeded.iter().any(|name| name == channel.as_str());
        Ok(self.channels().iter().filter(|channel| !is_seeded(channel)).cloned().collect())
    }

    /// Marks one page of SKUs due on a channel, where it has not confirmed them; where to go on, or None at the end, and then
    /// the channel counts as told. Repeating a page is harmless.
    pub async fn seed_channel(
        &self,
        channel: &ChannelId,
        from: WalkPosition,
    ) -> Result<Option<WalkPosition>, StoreError> {
        let now_ms = self.now_ms().await?;
        let (page, next) = self.walk_levels(from, PAGE).await?;
        let mut by_partition: BTreeMap<Partition, Vec<(Sku, i64)>> = BTreeMap::new();
        for (sku, level) in page {
            if let (Ok(sku), StoredLevel::Known { level, .. }) = (Sku::parse(&sku), level) {
                by_partition.entry(self.partitions().of(&sku)).or_default().push((sku, level.version));
            }
        }
        for (partition, levels) in &by_partition {
            let marked: Vec<Marked<'_>> =
                levels.iter().map(|(sku, version)| Marked::untold(sku, *version, now_ms)).collect();
            self.fan_out_script(*partition, std::slice::from_ref(channel), &[], &marked).await?;
        }
        if next.is_none() {
            let key = self.inner.keys.seeded();
            let _: i64 = self.query(redis::cmd("SADD").arg(key).arg(channel.as_str())).await?;
        }
        Ok(next)
    }
}
