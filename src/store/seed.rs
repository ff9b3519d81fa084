//! Telling a channel about the stock that is there already: events only carry what changes. A new channel needs it, one whose
//! policy or address is another than when it was told, and one an operator wants told again. One worker at a time walks the
//! stock for a channel; what it marks is told behind everything live.

use std::collections::BTreeMap;

use crate::domain::{ChannelId, Level, Partition, Sku};

use super::{
    Store, StoreError, StoredLevel, WalkPosition,
    propagation::{Marked, Tell},
};

/// SKUs marked by one script.
const PAGE: usize = 250;
/// A walk whose worker has not marked a page for so long is given to another.
const WALK_MS: u64 = 15_000;

/// A channel that must be told about all stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeding {
    /// Its name.
    pub channel: ChannelId,
    /// Why.
    pub cause: SeedingCause,
    /// The last resync that was asked for when this began; a later one is another seeding.
    asked: u64,
    /// Whether it was never told all stock.
    pub is_first: bool,
}

/// Why a channel must be told about all stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedingCause {
    /// It was never told; what it has confirmed meanwhile is left out.
    New,
    /// It was told under another policy: it is told where it should show another number now.
    Policy,
    /// It was told at another address, or was away for long: it is told even what it has confirmed.
    Outdated,
    /// An operator asked for it: it is told even what it has confirmed.
    Resync,
}

impl SeedingCause {
    fn tell(self) -> Tell {
        match self {
            Self::New => Tell::News,
            Self::Policy => Tell::Check,
            Self::Outdated | Self::Resync => Tell::Again,
        }
    }
}

/// What a channel was told under, by its fields in the hash of policies. A channel's name has no `?` and no `!`.
struct Fields {
    fingerprint: String,
    asked: String,
    walked: String,
}

impl Fields {
    fn of(channel: &ChannelId) -> Self {
        Self { fingerprint: channel.to_string(), asked: format!("{channel}?"), walked: format!("{channel}!") }
    }
}

impl Store {
    /// Whether a channel must be told about all stock, given the fingerprint of its address and policy. Without one only a
    /// channel that was never told, was forgotten, or is to be told again by an operator's wish.
    pub async fn seeding(
        &self,
        channel: &ChannelId,
        fingerprint: Option<&str>,
    ) -> Result<Option<Seeding>, StoreError> {
        let fields = Fields::of(channel);
        let key = self.inner.keys.policies();
        let mut command = redis::cmd("HMGET");
        command.arg(&key).arg(fields.fingerprint).arg(fields.asked).arg(fields.walked);
        let (told, asked, walked): (Option<String>, Option<u64>, Option<u64>) =
            self.query_at(&key, &command).await?;
        let (asked, walked) = (asked.unwrap_or(0), walked.unwrap_or(0));
        let cause = match (told.as_deref(), fingerprint) {
            // Also of one never told: of what it has confirmed meanwhile it is told again.
            (None, _) if asked > walked => SeedingCause::Resync,
            (None, _) => SeedingCause::New,
            (Some(""), _) => SeedingCause::Outdated,
            (Some(told), Some(now)) if address(told) != address(now) => SeedingCause::Outdated,
            _ if asked > walked => SeedingCause::Resync,
            (Some(told), Some(now)) if told != now => SeedingCause::Policy,
            _ => return Ok(None),
        };
        Ok(Some(Seeding { channel: channel.clone(), cause, asked, is_first: told.is_none() }))
    }

    /// Takes, or keeps, the walk of a channel for `worker`; false while another worker is at it.
    pub async fn hold_walk(&self, channel: &ChannelId, worker: &str) -> Result<bool, StoreError> {
        let key = self.inner.keys.walk(channel);
        let mut take = redis::cmd("SET");
        take.arg(&key).arg(worker).arg("NX").arg("PX").arg(WALK_MS);
        if self.query_at::<Option<String>>(&key, &take).await?.is_some() {
            return Ok(true);
        }
        let holder: Option<String> = self.query_at(&key, redis::cmd("GET").arg(&key)).await?;
        if holder.as_deref() != Some(worker) {
            return Ok(false);
        }
        self.query_at(&key, redis::cmd("PEXPIRE").arg(&key).arg(WALK_MS)).await
    }

    /// Gives a walk back. One that ran out meanwhile may be taken from its new holder: marking twice is harmless.
    pub async fn leave_walk(&self, channel: &ChannelId) -> Result<(), StoreError> {
        let key = self.inner.keys.walk(channel);
        let _: i64 = self.query_at(&key, redis::cmd("DEL").arg(&key)).await?;
        Ok(())
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
        let tell = seeding.cause.tell();
        for (partition, levels) in &by_partition {
            let marked: Vec<Marked<'_>> =
                levels.iter().map(|(sku, level)| Marked::behind(sku, level, now_ms, tell)).collect();
            self.mark(*partition, std::slice::from_ref(&seeding.channel), &[], &marked).await?;
        }
        Ok(next)
    }

    /// Writes down under which address and policy a channel was told about all stock.
    pub async fn mark_seeded(&self, seeding: &Seeding, fingerprint: &str) -> Result<(), StoreError> {
        let fields = Fields::of(&seeding.channel);
        let key = self.inner.keys.policies();
        let mut command = redis::cmd("HSET");
        command.arg(&key).arg(fields.fingerprint).arg(fingerprint);
        command.arg(fields.walked).arg(seeding.asked);
        let _: i64 = self.query_at(&key, &command).await?;
        Ok(())
    }

    /// Has these channels told again, whatever they have confirmed: about one SKU, or all stock. Behind everything live. False
    /// when there is no such SKU. All stock is walked by the workers, a page at a time.
    pub async fn resync(&self, channels: &[ChannelId], sku: Option<&Sku>) -> Result<bool, StoreError> {
        match sku {
            Some(sku) => {
                let level = self.levels(std::slice::from_ref(sku)).await?.into_iter().next();
                let Some(StoredLevel::Known { level, .. }) = level else { return Ok(false) };
                let marked = [Marked::behind(sku, &level, self.now_ms().await?, Tell::Again)];
                self.mark(self.partitions().of(sku), channels, &[], &marked).await?;
            }
            None => {
                for channel in channels {
                    let key = self.inner.keys.policies();
                    let mut command = redis::cmd("HINCRBY");
                    command.arg(&key).arg(Fields::of(channel).asked).arg(1);
                    let _: i64 = self.query_at(&key, &command).await?;
                }
            }
        }
        self.ring(channels).await?;
        Ok(true)
    }

    /// A channel that was told once is to be told about all stock again.
    pub(super) async fn forget_policy(&self, channel: &ChannelId) -> Result<(), StoreError> {
        let (key, field) = (self.inner.keys.policies(), Fields::of(channel).fingerprint);
        if self.query_at(&key, redis::cmd("HEXISTS").arg(&key).arg(&field)).await? {
            let _: i64 = self.query_at(&key, redis::cmd("HSET").arg(&key).arg(&field).arg("")).await?;
        }
        Ok(())
    }
}

/// The half of a fingerprint that stands for the address; the other stands for the policy.
fn address(fingerprint: &str) -> &str {
    fingerprint.split_once(':').map_or(fingerprint, |(address, _)| address)
}
