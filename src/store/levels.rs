//! Reading counts: plain reads of the stock hash, no script.

use std::collections::BTreeMap;

use crate::domain::{EventId, Level, Partition, Sku};

use super::{Store, StoreError};

/// What is stored for a SKU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredLevel {
    /// Nobody ever set it.
    Unknown,
    /// Its count, and the event that made it.
    Known {
        /// The count.
        level: Level,
        /// The event that made this version.
        event_id: EventId,
    },
    /// Its text does not parse.
    Broken,
}

impl StoredLevel {
    /// The same for bytes that may not even be text.
    pub(super) fn read_bytes(bytes: Option<&[u8]>) -> Self {
        match bytes.map(std::str::from_utf8) {
            Some(Err(_)) => Self::Broken,
            Some(Ok(text)) => Self::read(Some(text)),
            None => Self::Unknown,
        }
    }

    /// Reads the text `lua/include/level.lua` writes.
    pub(super) fn read(text: Option<&str>) -> Self {
        let Some(text) = text else { return Self::Unknown };
        let words: Vec<&str> = text.split(' ').collect();
        let [on_hand, held, version, updated_ms, refused, event] = words[..] else { return Self::Broken };
        let parsed = (|| {
            // As the script does: only on hand may be negative.
            let natural = |word: &str| i64::try_from(word.parse::<u64>().ok()?).ok();
            natural(refused)?;
            let level = Level {
                on_hand: on_hand.parse().ok()?,
                held: natural(held)?,
                version: natural(version)?,
                updated_ms: natural(updated_ms)?,
            };
            Some((level, event.parse().ok()?))
        })();
        match parsed {
            Some((level, event_id)) => Self::Known { level, event_id },
            None => Self::Broken,
        }
    }
}

/// Where a walk through all SKUs goes on: partition, HSCAN cursor, and the last SKU given of that step.
///
/// Only the smallest step is ever cut in two, in the order of its SKUs: one bucket, or a small hash that comes whole. The same cursor
/// then shows no SKU that was there before and was not shown with it, even while the hash grows; of longer steps that is not so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WalkPosition {
    /// The partition.
    pub partition: u16,
    /// The cursor HSCAN gave.
    pub cursor: u64,
    /// The last SKU of that step already given; empty at its beginning.
    pub after: String,
}

/// SKUs by which a step may be longer than asked for and still fit: buckets have some three SKUs, while a hash grows twice that.
const STEP_OVERSHOOT: usize = 16;

/// One field and its text, as HSCAN gives them.
pub(super) type Field = (Vec<u8>, Vec<u8>);

impl Store {
    /// Reads the counts of several SKUs, in their order. One HMGET per partition.
    pub async fn levels(&self, skus: &[Sku]) -> Result<Vec<StoredLevel>, StoreError> {
        Ok(self
            .level_texts(skus)
            .await?
            .iter()
            .map(|text| StoredLevel::read_bytes(text.as_deref()))
            .collect())
    }

    /// Reads the stored texts of several SKUs, in their order.
    pub(super) async fn level_texts(&self, skus: &[Sku]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut by_partition: BTreeMap<Partition, Vec<usize>> = BTreeMap::new();
        for (index, sku) in skus.iter().enumerate() {
            by_partition.entry(self.partitions().of(sku)).or_default().push(index);
        }
        let ask = |(partition, indexes): (&Partition, &Vec<usize>)| {
            let key = self.inner.keys.stock(*partition);
            let mut command = redis::cmd("HMGET");
            command.arg(&key);
            for index in indexes {
                command.arg(skus[*index].as_str());
            }
            (key, command)
        };
        let asks: Vec<_> = by_partition.iter().map(ask).collect();
        let mut all = vec![None; skus.len()];
        for (indexes, texts) in by_partition.into_values().zip(self.query_each(&asks).await) {
            let texts: Vec<Option<Vec<u8>>> = self.inner.nodes.read(texts?)?;
            for (index, text) in indexes.into_iter().zip(texts) {
                all[index] = text;
            }
        }
        Ok(all)
    }

    /// Walks through all SKUs: at most `count` (1 and up) at a time, in no order; None at the end. A SKU that is there all the time
    /// comes at least once.
    pub async fn walk_levels(
        &self,
        from: WalkPosition,
        count: usize,
    ) -> Result<(Vec<(String, StoredLevel)>, Option<WalkPosition>), StoreError> {
        let (mut position, mut page) = (from, Vec::new());
        // The step at the position is asked for as short as can be.
        let mut cut = !position.after.is_empty();
        while page.len() < count && position.partition < self.partitions().count() {
            let room = count - page.len();
            // A step ends with a whole bucket, so it may be longer than asked for.
            let asked = if cut { 1 } else { room.saturating_sub(STEP_OVERSHOOT).max(1) };
            let key = self.inner.keys.stock(Partition(position.partition));
            let mut command = redis::cmd("HSCAN");
            command.arg(&key).arg(position.cursor).arg("COUNT").arg(asked);
            let (cursor, mut fields): (u64, Vec<Field>) = self.query_at(&key, &command).await?;
            fields.retain(|(sku, _)| sku.as_slice() > position.after.as_bytes());
            if fields.len() > room && asked > 1 {
                cut = true;
                continue;
            }
            fields.sort();
            let left = fields.len().saturating_sub(room);
            fields.truncate(room);
            let last = fields.last().map(|(sku, _)| String::from_utf8_lossy(sku).into_owned());
            page.extend(fields.into_iter().map(|(sku, text)| {
                let level = StoredLevel::read_bytes(Some(&text));
                (String::from_utf8_lossy(&sku).into_owned(), level)
            }));
            position = match (left, last, cursor) {
                (1.., Some(after), _) => WalkPosition { after, ..position },
                (_, _, 0) => WalkPosition { partition: position.partition + 1, ..WalkPosition::default() },
                (_, _, cursor) => WalkPosition { cursor, after: String::new(), ..position },
            };
            cut = false;
        }
        let more = position.partition < self.partitions().count();
        Ok((page, more.then_some(position)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_script_writes_and_nothing_else() {
        let read = StoredLevel::read(Some("-3 2 7 1763700000000 0 0-1763700000000-0-1"));
        let StoredLevel::Known { level, event_id } = read else { panic!("{read:?}") };
        assert_eq!((level.on_hand, level.held, level.version, level.available()), (-3, 2, 7, -5));
        assert_eq!(event_id.to_string(), "0-1763700000000-0-1");
        assert_eq!(StoredLevel::read(None), StoredLevel::Unknown);
        for bad in [
            "",
            "1 2 3",
            "1 2 3 4 5 6 7",
            "5 -1 1 1 0 0-1-0-0",
            "x 0 1 1 0 -",
            "1 0 1 1 y 0-1-0-0",
            "1 0 1 1 0 -",
        ] {
            assert_eq!(StoredLevel::read(Some(bad)), StoredLevel::Broken, "{bad}");
        }
    }
}
