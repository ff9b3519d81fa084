//! Telling a channel about the stock that is there already: events only carry what changes. A new channel needs it, and one
//! whose policy or address is another than when it was told.

use std::collections::BTreeMap;

use crate::domain::{ChannelId, Level, Partition, Sku};

use super::{Store, StoreError, StoredLevel, WalkPosition, propagation::Marked};

/// SKUs marked by one script.
const PAGE: usize = 500;

/// A channel that must be told about all stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeding {
    /// Its name.
    pub channel: ChannelId,
    /// Why.
    pub cause: SeedingCause,
}

/// Why a channel must be told about all stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedingCause {
    /// It was never told; what it has confirmed meanwhile is left out.
    New,
    /// It was told under another policy or at another address, or was away for long: it is told even what it has confirmed.
    Outdated,
}

impl Store {
    /// Whether a channel must be told about all stock, given the fingerprint of its policy and address. Without one only a
    /// channel that was never told, or was forgotten, must be.
    pub async fn seeding(
        &self,
        channel: &ChannelId,
        fingerprint: Option<&str>,
    ) -> Result<Option<Seeding>, StoreError> {
        let mut command = redis::cmd("HGET");
        command.arg(self.inner.keys.policies()).arg(channel.as_str());
        let told: Option<String> = self.query(&command).await?;
        let cause = match (told.as_deref(), fingerprint) {
            (None, _) => SeedingCause::New,
            (Some(""), _) => SeedingCause::Outdated,
            (Some(told), Some(fingerprint)) if told != fingerprint => SeedingCause::Outdated,
            _ => return Ok(None),
        };
        Ok(Some(Seeding { channel: channel.clone(), cause }))
    }

    /// Marks one page of SKUs due on a channel; where to go on, or None at the end. Repeating a page is harmless.
    pub async fn seed_channel(
        &self,
        seeding: &Seeding,
        from: WalkPosition,
    ) -> Result<Option<WalkPosition>, StoreError> {
        let now_ms = self.now_ms().await?;
        let (page, next) = self.walk_levels(from, PAGE).await?;
        let mut by_partition: BTreeMap<Partition, Vec<(Sku, Level)>> = BTreeMap::new();
        for (sku, level) in page {
            if let (Ok(sku), StoredLevel::Known { level, .. }) = (Sku::parse(&sku), level) {
                by_partition.entry(self.partitions().of(&sku)).or_default().push((sku, level));
            }
        }
        let force = seeding.cause == SeedingCause::Outdated;
        for (partition, levels) in &by_partition {
            let marked: Vec<Marked<'_>> =
                levels.iter().map(|(sku, level)| Marked::untold(sku, level, now_ms, force)).collect();
            self.fan_out_script(*partition, std::slice::from_ref(&seeding.channel), &[], &marked).await?;
        }
        Ok(next)
    }

    /// Writes down under which policy a channel was told about all stock.
    pub async fn mark_seeded(&self, channel: &ChannelId, fingerprint: &str) -> Result<(), StoreError> {
        let mut command = redis::cmd("HSET");
        command.arg(self.inner.keys.policies()).arg(channel.as_str()).arg(fingerprint);
        let _: i64 = self.query(&command).await?;
        Ok(())
    }

    /// A channel that was told once is to be told about all stock again.
    pub(super) async fn forget_policy(&self, channel: &ChannelId) -> Result<(), StoreError> {
        let mut command = redis::cmd("HEXISTS");
        command.arg(self.inner.keys.policies()).arg(channel.as_str());
        if self.query(&command).await? {
            self.mark_seeded(channel, "").await?;
        }
        Ok(())
    }
}
