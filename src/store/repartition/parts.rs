//! The keys of a partition: what each holds, and by what its fields find their new partition.

use std::collections::{BTreeSet, HashMap};

use crate::domain::{ChannelId, Partition};

use super::super::{Store, StoreError, keys::Keys};

/// Windows of records and ended holds that may be left over from before those that are alive.
const OLD_WINDOWS: i64 = 64;

/// One of the keys every partition has, but for its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Stock,
    Records(i64),
    Ended(i64),
    SoldOut,
    Poison,
    Due(ChannelId),
    Lease(ChannelId),
    Dirty(ChannelId),
    Work(ChannelId),
    Sync(ChannelId),
    Dead(ChannelId),
}

/// By what a field or member finds its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Sku,
    /// `<client> <home SKU> <key>`.
    Record,
    /// The home SKU in a hold's id.
    Hold,
    /// An entry that does not parse: nothing in it can be trusted.
    Nothing,
}

impl Part {
    /// All there are: those of the windows in which anybody may look by the clock of Redis, and those of the channels.
    pub(super) fn all(window: i64, channels: &[ChannelId]) -> Vec<Self> {
        let mut all = vec![Self::Stock, Self::SoldOut, Self::Poison];
        // The one after: a clock that stepped back over a boundary stays in the newer window.
        for window in window - 1..=window + 1 {
            all.extend([Self::Records(window), Self::Ended(window)]);
        }
        for channel in channels {
            let of = [Self::Due, Self::Lease, Self::Dirty, Self::Work, Self::Sync, Self::Dead];
            all.extend(of.map(|part| part(channel.clone())));
        }
        all
    }

    pub(super) fn key(&self, keys: &Keys, partition: Partition) -> String {
        match self {
            Self::Stock => keys.stock(partition),
            Self::Records(window) => keys.records(partition, *window),
            Self::Ended(window) => keys.ended(partition, *window),
            Self::SoldOut => keys.sold_out(partition),
            Self::Poison => keys.poison(partition),
            Self::Due(channel) => keys.channel(partition, channel).due,
            Self::Lease(channel) => keys.channel(partition, channel).lease,
            Self::Dirty(channel) => keys.channel(partition, channel).dirty,
            Self::Work(channel) => keys.channel(partition, channel).work,
            Self::Sync(channel) => keys.channel(partition, channel).sync,
            Self::Dead(channel) => keys.channel(partition, channel).dead,
        }
    }

    pub(super) fn by(&self) -> By {
        match self {
            Self::Records(_) => By::Record,
            Self::Ended(_) => By::Hold,
            Self::Poison => By::Nothing,
            Self::Stock | Self::SoldOut => By::Sku,
            Self::Due(_) | Self::Lease(_) | Self::Dirty(_) => By::Sku,
            Self::Work(_) | Self::Sync(_) | Self::Dead(_) => By::Sku,
        }
    }

    pub(super) fn is_sorted_set(&self) -> bool {
        matches!(self, Self::Due(_) | Self::Lease(_) | Self::Dirty(_) | Self::Dead(_))
    }

    /// What it is, for people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Records(_) => "records",
            Self::Ended(_) => "ended holds",
            Self::SoldOut => "sold out",
            Self::Poison => "poison",
            Self::Due(_) => "due",
            Self::Lease(_) => "leased",
            Self::Dirty(_) => "unconfirmed",
            Self::Work(_) => "work",
            Self::Sync(_) => "confirmed",
            Self::Dead(_) => "dead letters",
        }
    }
}

/// Every key of a partition that a change of partitions makes anew.
pub(super) fn made(keys: &Keys, partition: Partition, parts: &[Part]) -> Vec<String> {
    let mut all = vec![keys.events(partition)];
    all.extend(parts.iter().map(|part| part.key(keys, partition)));
    all
}

/// Removes a partition, with windows nobody looks into any more.
pub(super) async fn drop(
    store: &Store,
    partition: Partition,
    window: i64,
    parts: &[Part],
) -> Result<(), StoreError> {
    let keys = &store.inner.keys;
    let mut all = made(keys, partition, parts);
    all.extend([keys.holds(partition), keys.deadlines(partition), keys.nudge(partition)]);
    for old in window - OLD_WINDOWS..window - 1 {
        all.extend([keys.records(partition, old), keys.ended(partition, old)]);
    }
    let mut command = redis::cmd("UNLINK");
    command.arg(&all);
    let _: i64 = store.query_at(&all[0], &command).await?;
    Ok(())
}

/// Gives a partition of the new layout its names; what has them already stays. Both names of a key are in one slot.
pub(super) async fn place(
    store: &Store,
    staged: &Keys,
    partition: Partition,
    parts: &[Part],
) -> Result<(), StoreError> {
    let names = made(&store.inner.keys, partition, parts);
    for (from, to) in made(staged, partition, parts).into_iter().zip(names) {
        if store.query_at(&from, redis::cmd("EXISTS").arg(&from)).await? {
            let _: String = store.query_at(&from, redis::cmd("RENAME").arg(&from).arg(&to)).await?;
        }
    }
    Ok(())
}

/// Every channel that may have keys: configured here, ever served, or ever told all stock.
pub(super) async fn channels(store: &Store) -> Result<Vec<ChannelId>, StoreError> {
    let mut all: BTreeSet<ChannelId> = store.channels().iter().cloned().collect();
    for key in [store.inner.keys.channels(), store.inner.keys.policies()] {
        let found: HashMap<String, String> = store.query_at(&key, redis::cmd("HGETALL").arg(&key)).await?;
        // Requests for a resync carry a sign behind the channel's name.
        all.extend(found.keys().filter_map(|name| ChannelId::parse(name.trim_end_matches(['?', '!'])).ok()));
    }
    Ok(all.into_iter().collect())
}
