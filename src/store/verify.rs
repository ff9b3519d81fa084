//! Verifying counters against what they must add up to: on hand = sum of all event deltas, held = sum of live holds.
//!
//! Cost: the whole stream of the SKUs' partitions and all live holds are read once per try. Nothing is locked: a SKU that
//! changes while it is read is tried again, a few times. A hold or an entry that does not parse is named, and nothing is
//! repaired then: the sums are not whole.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::domain::{EventKind, HoldId, Partition, Sku};

use super::{
    Store, StoreError, WalkPosition,
    cart::ChildId,
    decode, encode,
    events::EntryId,
    levels::{Field, StoredLevel},
};

/// Tries per SKU before it is called busy.
const TRIES_MAX: u32 = 5;
/// Entries, holds or SKUs read by one command.
const PAGE: usize = 1000;
/// SKUs one verification takes at most.
const SKUS_MAX: usize = 1_000_000;

/// What verifying one SKU found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// Counter and sum differ.
    Mismatch,
    /// The stored text does not parse, or is missing although there are events.
    Broken,
    /// It was wrong and is right now.
    Repaired,
    /// It changed too often while it was read.
    Busy,
}

/// A SKU that is not simply right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The SKU.
    pub sku: Sku,
    /// What was found.
    pub kind: FindingKind,
    /// On hand as stored.
    pub on_hand_stored: i64,
    /// On hand as the events add up.
    pub on_hand_computed: i64,
    /// Held as stored.
    pub held_stored: i64,
    /// Held as the live holds add up.
    pub held_computed: i64,
}

/// Something that does not parse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unreadable {
    /// An entry of a stream.
    #[error("event entry {id} of {key}")]
    Entry {
        /// The stream.
        key: String,
        /// Which.
        id: EntryId,
    },
    /// A live hold.
    #[error("hold {id} of {key}")]
    Hold {
        /// The hash it is in.
        key: String,
        /// Its field, as far as it is text.
        id: String,
    },
}

/// What a verification found.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Everything that is not simply right.
    pub findings: Vec<Finding>,
    /// SKUs asked for that nobody ever set.
    pub unknown: Vec<Sku>,
    /// Holds and event entries that do not parse; while there are any, nothing is repaired.
    pub unreadable: BTreeSet<Unreadable>,
    /// SKUs read.
    pub verified: u64,
    /// Events read.
    pub events: u64,
}

/// The sums of one SKU's events.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    on_hand: i64,
    held: i64,
    last_version: i64,
}

impl Store {
    /// Verifies the given SKUs, or all when none are given; `repair` writes what was found to be right.
    pub async fn verify(&self, skus: &[Sku], repair: bool) -> Result<VerifyReport, StoreError> {
        let mut report = VerifyReport::default();
        let mut pending = if skus.is_empty() { self.every_sku().await? } else { skus.to_vec() };
        report.verified = u64::try_from(pending.len()).unwrap_or(u64::MAX);
        for round in 0..TRIES_MAX {
            // All SKUs: also those that have events and no stock record any more.
            let and_others = skus.is_empty() && round == 0;
            if pending.is_empty() && !and_others {
                return Ok(report);
            }
            let texts = self.texts(&pending).await?;
            let versions =
                pending.iter().zip(&texts).map(|(sku, text)| (sku.clone(), version_of(text.as_deref())));
            let sums = self.fold_events(versions.collect(), and_others, &mut report).await?;
            let held = self.held_by_holds(&mut report).await?;
            let texts_after = self.texts(&pending).await?;
            let mut changed = Vec::new();
            for ((sku, text), text_after) in pending.iter().zip(&texts).zip(&texts_after) {
                if !is_same(text.as_deref(), text_after.as_deref()) {
                    changed.push(sku.clone());
                    continue;
                }
                let (sum, held) = (sums.get(sku).copied(), held.get(sku).copied().unwrap_or(0));
                self.judge(sku, text_after.as_deref(), sum, held, repair, &mut report).await?;
            }
            if and_others {
                self.judge_vanished(&sums, &pending, &held, repair, &mut report).await?;
            }
            pending = changed;
        }
        report.findings.extend(pending.into_iter().map(|sku| finding(sku, FindingKind::Busy, None, None, 0)));
        Ok(report)
    }

    /// Compares one SKU, and mends it when asked.
    async fn judge(
        &self,
        sku: &Sku,
        text: Option<&[u8]>,
        sums: Option<Sums>,
        held: i64,
        repair: bool,
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let stored = match (StoredLevel::read_bytes(text), sums) {
            (StoredLevel::Unknown, None) => {
                report.unknown.push(sku.clone());
                return Ok(());
            }
            (StoredLevel::Known { level, .. }, _) => Some(level),
            (StoredLevel::Unknown | StoredLevel::Broken, _) => None,
        };
        let sums = sums.unwrap_or_default();
        let right = stored.as_ref().is_some_and(|level| level.on_hand == sums.on_hand && level.held == held);
        if right {
            return Ok(());
        }
        let kind = if stored.is_some() { FindingKind::Mismatch } else { FindingKind::Broken };
        let mut found = finding(sku.clone(), kind, stored.as_ref(), Some(sums), held);
        let whole = report.unreadable.is_empty();
        if repair && whole && self.mend(sku, text.unwrap_or_default(), stored.as_ref(), sums, held).await? {
            found.kind = FindingKind::Repaired;
        }
        report.findings.push(found);
        Ok(())
    }

    /// SKUs with events and without a stock record: their field was lost.
    async fn judge_vanished(
        &self,
        sums: &HashMap<Sku, Sums>,
        read: &[Sku],
        held: &HashMap<Sku, i64>,
        repair: bool,
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let known: HashSet<&Sku> = read.iter().collect();
        let vanished: Vec<Sku> = sums.keys().filter(|sku| !known.contains(sku)).cloned().collect();
        let texts = self.texts(&vanished).await?;
        for (sku, text) in vanished.iter().zip(texts) {
            // One that is there now was made while we read: the next verification sees it.
            if text.is_none() {
                let held = held.get(sku).copied().unwrap_or(0);
                self.judge(sku, None, sums.get(sku).copied(), held, repair, report).await?;
            }
        }
        Ok(())
    }

    /// Writes the computed level, if the stored text is still the one that was read.
    async fn mend(
        &self,
        sku: &Sku,
        seen: &[u8],
        stored: Option<&crate::domain::Level>,
        sums: Sums,
        held: i64,
    ) -> Result<bool, StoreError> {
        let version = stored.map_or(0, |level| level.version).max(sums.last_version) + 1;
        let reason = format!("verify: stored {:?}", String::from_utf8_lossy(seen));
        let repair = encode::Repair {
            sku,
            seen,
            on_hand: sums.on_hand,
            held,
            held_delta: held - sums.held,
            version,
            reason: &reason,
        };
        let answer = self.execute_quick(encode::repair(&repair, self.partitions())).await?;
        match decode::Words::new(&answer).word("word")? {
            "ok" => Ok(true),
            "busy" => Ok(false),
            _ => Err(StoreError::Corrupt { script: "transact", detail: answer }),
        }
    }

    async fn every_sku(&self) -> Result<Vec<Sku>, StoreError> {
        let mut found = HashSet::new();
        let mut at = Some(WalkPosition::default());
        while let Some(position) = at {
            let (page, next) = self.walk_levels(position, PAGE).await?;
            found.extend(page.into_iter().filter_map(|(sku, _)| Sku::parse(&sku).ok()));
            at = next.filter(|_| found.len() < SKUS_MAX);
        }
        Ok(found.into_iter().collect())
    }

    async fn texts(&self, skus: &[Sku]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut all = Vec::with_capacity(skus.len());
        for chunk in skus.chunks(PAGE) {
            all.extend(self.level_texts(chunk).await?);
        }
        Ok(all)
    }

    /// Adds up the events of the given SKUs, each up to the version it was read at; `and_others` adds up all others too.
    async fn fold_events(
        &self,
        versions: HashMap<Sku, i64>,
        and_others: bool,
        report: &mut VerifyReport,
    ) -> Result<HashMap<Sku, Sums>, StoreError> {
        let mut sums: HashMap<Sku, Sums> = HashMap::new();
        let partitions: HashSet<Partition> = match and_others {
            true => self.partitions().all().collect(),
            false => versions.keys().map(|sku| self.partitions().of(sku)).collect(),
        };
        for partition in partitions {
            let mut from = Some(EntryId::default());
            while let Some(start) = from {
                let page = self.entries(partition, start, EntryId::END, PAGE, false).await?;
                from = page.last().filter(|_| page.len() == PAGE).and_then(|last| last.id.next());
                for entry in page {
                    let Some(events) = &entry.events else {
                        let key = self.inner.keys.events(partition);
                        report.unreadable.insert(Unreadable::Entry { key, id: entry.id });
                        continue;
                    };
                    for event in events {
                        report.events += 1;
                        let last = versions.get(&event.sku).copied().or(and_others.then_some(i64::MAX));
                        if last.is_some_and(|last| event.version <= last) {
                            let sum = sums.entry(event.sku.clone()).or_default();
                            sum.on_hand += event.on_hand_delta;
                            sum.held += event.held_delta;
                            sum.last_version = sum.last_version.max(event.version);
                            debug_assert!(event.kind != EventKind::Refused || event.on_hand_delta == 0);
                        }
                    }
                }
            }
        }
        Ok(sums)
    }

    /// Units promised to live holds, per SKU.
    async fn held_by_holds(&self, report: &mut VerifyReport) -> Result<HashMap<Sku, i64>, StoreError> {
        let mut held: HashMap<Sku, i64> = HashMap::new();
        for partition in self.partitions().all() {
            // Children of one cart have the same name in each of its partitions.
            let mut seen: HashSet<String> = HashSet::new();
            let mut cursor = 0_u64;
            loop {
                let key = self.inner.keys.holds(partition);
                let mut command = redis::cmd("HSCAN");
                command.arg(&key).arg(cursor).arg("COUNT").arg(PAGE);
                let (next, pairs): (u64, Vec<Field>) = self.query_at(&key, &command).await?;
                for (id, text) in pairs {
                    let id = String::from_utf8_lossy(&id).into_owned();
                    let child: Option<ChildId> = id.parse().ok();
                    let parsed: Option<HoldId> = child.map(|child| child.hold).or_else(|| id.parse().ok());
                    let text = String::from_utf8_lossy(&text);
                    let Some(hold) = parsed.and_then(|parsed| decode::stored_hold(&text, &parsed)) else {
                        report.unreadable.insert(Unreadable::Hold { key: key.clone(), id });
                        continue;
                    };
                    // HSCAN may give a field twice.
                    if seen.insert(id) {
                        // What a cart holds elsewhere, its children there hold.
                        let is_here = |sku: &Sku| self.partitions().of(sku) == partition;
                        let lines = hold.lines.into_iter();
                        for line in lines.filter(|line| !decode::is_cart(&text) || is_here(&line.sku)) {
                            *held.entry(line.sku).or_default() += line.held;
                        }
                    }
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(held)
    }
}

/// Whether a stored text says the same as before of what is verified: refused sales and claims write on its mark all the time.
fn is_same(before: Option<&[u8]>, after: Option<&[u8]>) -> bool {
    before == after
        || match (StoredLevel::read_bytes(before), StoredLevel::read_bytes(after)) {
            (known @ StoredLevel::Known { .. }, read) => known == read,
            (StoredLevel::Unknown | StoredLevel::Broken, _) => false,
        }
}

fn version_of(text: Option<&[u8]>) -> i64 {
    match StoredLevel::read_bytes(text) {
        StoredLevel::Known { level, .. } => level.version,
        // Without a version to stop at, the events decide alone.
        StoredLevel::Unknown | StoredLevel::Broken => i64::MAX,
    }
}

fn finding(
    sku: Sku,
    kind: FindingKind,
    stored: Option<&crate::domain::Level>,
    sums: Option<Sums>,
    held: i64,
) -> Finding {
    Finding {
        sku,
        kind,
        on_hand_stored: stored.map_or(0, |level| level.on_hand),
        on_hand_computed: sums.unwrap_or_default().on_hand,
        held_stored: stored.map_or(0, |level| level.held),
        held_computed: held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_no_change_and_anything_else_is() {
        let text = |text: &'static str| Some(text.as_bytes());
        let level = text("8 3 3 99 3 0-7-0-0");
        assert!(is_same(level, text("8 3 3 99 0 0-7-0-0")), "only its mark");
        assert!(is_same(None, None) && is_same(text("rubbish"), text("rubbish")));
        for other in ["9 3 3 99 3 0-7-0-0", "8 3 4 99 3 0-7-0-0", "8 3 3 99 3 0-7-0-1", "rubbish"] {
            assert!(!is_same(level, text(other)), "{other}");
        }
        assert!(!is_same(level, None) && !is_same(None, level) && !is_same(text("a"), text("b")));
    }
}
