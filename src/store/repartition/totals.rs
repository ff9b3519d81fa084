//! What a layout adds up to, so that the copy can be held against what was copied.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    super::{Store, StoreError, levels::Field, levels::StoredLevel},
    RepartitionError, fields,
    parts::Part,
    streams::Streams,
};

/// Fields read by one command, about.
const PAGE: usize = 1000;

/// What all partitions of a shop add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShopTotals {
    /// SKUs with a count.
    pub skus: u64,
    /// Their units on hand.
    pub on_hand: i128,
    /// Their units held.
    pub held: i128,
    /// Their versions.
    pub versions: i128,
    /// Mutations in the streams.
    pub events: u64,
    /// Those that are still to be carried to channels.
    pub uncarried: u64,
    /// Idempotency records.
    pub records: u64,
    /// Ended holds that are still known.
    pub ended_holds: u64,
    /// SKUs due on channels.
    pub due: u64,
    /// SKUs leased to workers that are gone.
    pub leased: u64,
    /// SKUs channels have confirmed.
    pub confirmed: u64,
    /// Dead letters.
    pub dead: u64,
    /// What else is kept of SKUs on channels, sold-out SKUs and entries set aside.
    pub others: u64,
}

impl ShopTotals {
    /// Reads everything once.
    pub(super) async fn of(store: &Store, parts: &[Part]) -> Result<Self, RepartitionError> {
        let mut totals = Self::default();
        for partition in store.partitions().all() {
            for part in parts {
                let key = part.key(&store.inner.keys, partition);
                match part {
                    Part::Stock | Part::Records(_) | Part::Ended(_) => {
                        totals.add_fields(store, &key, part).await?
                    }
                    _ => {
                        let command = if part.is_sorted_set() { "ZCARD" } else { "HLEN" };
                        *totals.count_of(part) +=
                            store.query_at::<u64>(&key, redis::cmd(command).arg(&key)).await?;
                    }
                }
            }
        }
        let mut streams = Streams::open(store).await?;
        while let Some(entry) = streams.next().await? {
            let mutations = entry.text.split('\n').filter(|line| !line.starts_with('{')).count();
            let mutations = u64::try_from(mutations).unwrap_or(u64::MAX);
            totals.events += mutations;
            totals.uncarried += if entry.is_carried { 0 } else { mutations };
        }
        Ok(totals)
    }

    fn count_of(&mut self, part: &Part) -> &mut u64 {
        match part {
            Part::Stock => &mut self.skus,
            Part::Records(_) => &mut self.records,
            Part::Ended(_) => &mut self.ended_holds,
            Part::Due(_) => &mut self.due,
            Part::Lease(_) => &mut self.leased,
            Part::Sync(_) => &mut self.confirmed,
            Part::Dead(_) => &mut self.dead,
            Part::SoldOut | Part::Poison | Part::Dirty(_) | Part::Work(_) => &mut self.others,
        }
    }

    /// Adds up what a hash holds, field by field.
    async fn add_fields(&mut self, store: &Store, key: &str, part: &Part) -> Result<(), StoreError> {
        // HSCAN may give a field twice. Hashes, since the names of millions of SKUs are more than their sums are worth.
        let mut seen: HashSet<u64> = HashSet::new();
        let mut cursor = 0_u64;
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(key).arg(cursor).arg("COUNT").arg(PAGE);
            let (next, mut fields): (u64, Vec<Field>) = store.query_at(key, &command).await?;
            fields.retain(|(name, _)| !fields::is_left_behind(part, name) && seen.insert(xxh3_64(name)));
            *self.count_of(part) += u64::try_from(fields.len()).unwrap_or(u64::MAX);
            for (_, text) in fields.iter().filter(|_| *part == Part::Stock) {
                if let StoredLevel::Known { level, .. } = StoredLevel::read_bytes(Some(text)) {
                    self.on_hand += i128::from(level.on_hand);
                    self.held += i128::from(level.held);
                    self.versions += i128::from(level.version);
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}
