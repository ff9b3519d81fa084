//! What `sg:meta` says of the layout, and the change of it that is under way.

use crate::domain::Partitions;

use super::{super::Store, RepartitionError};

/// Earlier counts that are remembered; hold ids of still earlier ones are as old as their records, which are gone.
const EARLIER_MAX: usize = 8;

/// Fields of `sg:meta`.
const PARTITIONS: &str = "partitions";
const RETENTION: &str = "retention_ms";
const CHANGES: &str = "repartitions";
const EARLIER: &str = "partitions_before";
const HALFWAY: &str = "repartition";

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Phase {
    /// The new layout is made beside the old one, which is whole.
    Copying,
    /// The new layout is whole and verified; the old one goes.
    Dropping,
    /// The old layout is gone; the new one takes its names.
    Placing,
}

impl Phase {
    const ALL: [Self; 3] = [Self::Copying, Self::Dropping, Self::Placing];

    fn word(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Dropping => "dropping",
            Self::Placing => "placing",
        }
    }
}

/// A change under way, stored as `<phase> <from> <to> <window>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Halfway {
    pub(in crate::store) phase: Phase,
    pub(in crate::store) from: Partitions,
    pub(in crate::store) to: Partitions,
    /// The window of records when it began: which keys there are goes by it.
    pub(in crate::store) window: i64,
}

impl Halfway {
    fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [phase, from, to, window] = words[..] else { return None };
        let phase = Phase::ALL.into_iter().find(|known| known.word() == phase)?;
        let count = |word: &str| Partitions::new(word.parse().ok()?);
        Some(Self { phase, from: count(from)?, to: count(to)?, window: window.parse().ok()? })
    }

    fn write(&self) -> String {
        format!("{} {} {} {}", self.phase.word(), self.from.count(), self.to.count(), self.window)
    }
}

/// The layout of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Facts {
    pub(in crate::store) partitions: Partitions,
    pub(in crate::store) retention_ms: i64,
    /// How often the partitions were changed; events moved by the n-th change have it in their ids.
    pub(in crate::store) changes: u64,
    /// The counts before this one, the newest last.
    pub(in crate::store) earlier: Vec<Partitions>,
    pub(in crate::store) halfway: Option<Halfway>,
}

impl Facts {
    /// Reads them; None of a namespace nobody ever started in.
    pub(in crate::store) async fn read(store: &Store) -> Result<Option<Self>, RepartitionError> {
        let key = store.inner.keys.meta();
        let mut command = redis::cmd("HMGET");
        command.arg(&key).arg(PARTITIONS).arg(RETENTION).arg(CHANGES).arg(EARLIER).arg(HALFWAY);
        type Row = (Option<u16>, Option<i64>, Option<u64>, Option<String>, Option<String>);
        let (partitions, retention_ms, changes, earlier, halfway): Row =
            store.query_at(&key, &command).await?;
        let (Some(partitions), Some(retention_ms)) = (partitions, retention_ms) else { return Ok(None) };
        let broken = |field: &'static str| RepartitionError::Facts { key: key.clone(), field };
        let halfway = halfway.map(|text| Halfway::read(&text).ok_or_else(|| broken(HALFWAY))).transpose()?;
        let earlier: Option<Vec<Partitions>> = earlier
            .unwrap_or_default()
            .split_whitespace()
            .map(|word| Partitions::new(word.parse().ok()?))
            .collect();
        Ok(Some(Self {
            partitions: Partitions::new(partitions).ok_or_else(|| broken(PARTITIONS))?,
            retention_ms: Some(retention_ms).filter(|ms| *ms > 0).ok_or_else(|| broken(RETENTION))?,
            changes: changes.unwrap_or(0),
            earlier: earlier.ok_or_else(|| broken(EARLIER))?,
            halfway,
        }))
    }

    /// From now on no gateway starts here, until [`Facts::finish`] or [`forget`].
    pub(super) async fn write(store: &Store, halfway: Halfway) -> Result<(), RepartitionError> {
        let key = store.inner.keys.meta();
        let mut command = redis::cmd("HSET");
        command.arg(&key).arg(HALFWAY).arg(halfway.write());
        let _: i64 = store.query_at(&key, &command).await?;
        Ok(())
    }

    /// Refuses when the change is not where this run has left it: another has gone on with it meanwhile, maybe to its end.
    pub(super) async fn check(
        &self,
        store: &Store,
        halfway: Option<Halfway>,
    ) -> Result<(), RepartitionError> {
        let key = store.inner.keys.meta();
        let mut command = redis::cmd("HMGET");
        command.arg(&key).arg(CHANGES).arg(HALFWAY);
        let (changes, found): (Option<u64>, Option<String>) = store.query_at(&key, &command).await?;
        let is_there = found == halfway.map(|halfway| halfway.write());
        if is_there && changes.unwrap_or(0) == self.changes {
            Ok(())
        } else {
            Err(RepartitionError::LostTurn)
        }
    }

    /// The new layout is the layout.
    pub(super) async fn finish(self, store: &Store, halfway: Halfway) -> Result<(), RepartitionError> {
        let key = store.inner.keys.meta();
        let mut earlier = self.earlier;
        earlier.retain(|count| ![halfway.from, halfway.to].contains(count));
        earlier.push(halfway.from);
        earlier.drain(..earlier.len().saturating_sub(EARLIER_MAX));
        let earlier: Vec<String> = earlier.iter().map(|count| count.count().to_string()).collect();
        let mut both = redis::pipe();
        both.atomic();
        both.cmd("HSET").arg(&key).arg(PARTITIONS).arg(halfway.to.count());
        both.arg(CHANGES).arg(self.changes + 1).arg(EARLIER).arg(earlier.join(" ")).ignore();
        both.cmd("HDEL").arg(&key).arg(HALFWAY).ignore();
        Ok(store.pipeline_at(&key, &both).await?)
    }
}

/// The old layout stays.
pub(super) async fn forget(store: &Store) -> Result<(), RepartitionError> {
    let key = store.inner.keys.meta();
    let _: i64 = store.query_at(&key, redis::cmd("HDEL").arg(&key).arg(HALFWAY)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_under_way_reads_back() {
        let of = |count| Partitions::new(count).expect("not zero");
        for phase in Phase::ALL {
            let halfway = Halfway { phase, from: of(1), to: of(16), window: 20_778 };
            assert_eq!(halfway.write(), format!("{} 1 16 20778", phase.word()));
            assert_eq!(Halfway::read(&halfway.write()), Some(halfway));
        }
        for bad in ["", "copying", "copying 1 0 5", "moving 1 16 5", "copying 1 16 5 6"] {
            assert_eq!(Halfway::read(bad), None, "{bad}");
        }
    }
}
