//! A copy of counts in this process, kept fresh by the event streams: a read that may be a little old costs Redis nothing.
//!
//! The copy is fresh as of the moment at which the last read of the streams was sent: everything that was in them then has been
//! put in. A count enters it when it is read from Redis, and follows its events from then on. After anything that may have
//! hidden an event (a fault, a broken entry, a stall) the copy begins again, empty: a Redis that took over may know less.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lru::LruCache;
use metrics::gauge;
use redis::Cmd;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Level, Partition, Sku},
    telemetry,
};

use super::{Change, EntryId, Store, StoreError, changes};

/// Nobody asked for so long: the streams are not read any more, until somebody does.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A process that stood still for longer may have missed what was trimmed meanwhile.
const STALL_MAX: Duration = Duration::from_secs(30);
/// After a fault, so long until the next try.
const FAULT_PAUSE: Duration = Duration::from_millis(500);
/// Entries of a stream read at a time.
const READ_ENTRIES: usize = 1_000;

/// Counts of the SKUs last asked for, and how fresh they are. Clones share it.
#[derive(Clone)]
pub struct LevelCopy {
    state: Arc<Mutex<State>>,
    asked: Arc<Notify>,
}

struct State {
    levels: LruCache<Sku, Level>,
    /// Everything the streams held at this moment is in; None: not yet, or not any more.
    fresh_at: Option<Instant>,
    asked_at: Option<Instant>,
    /// Counts the beginnings, so that a count read before one does not enter after it.
    generation: u64,
}

/// Begun before a count is read from Redis, handed back with it.
#[derive(Debug, Clone, Copy)]
pub struct ReadMark(u64);

impl LevelCopy {
    /// Of so many SKUs at most.
    pub fn new(skus_max: NonZeroUsize) -> Self {
        let levels = LruCache::new(skus_max);
        let state = State { levels, fresh_at: None, asked_at: None, generation: 0 };
        Self { state: Arc::new(Mutex::new(state)), asked: Arc::default() }
    }

    /// The count of a SKU and how old it is at most, if that is no more than `age_max`. O(1).
    pub fn level(&self, sku: &Sku, age_max: Duration) -> Option<(Level, Duration)> {
        let now = Instant::now();
        let mut state = self.lock();
        state.asked_at = Some(now);
        let Some(fresh_at) = state.fresh_at else {
            self.asked.notify_one();
            return None;
        };
        let age = now.saturating_duration_since(fresh_at);
        if age > age_max {
            return None;
        }
        state.levels.get(sku).map(|level| (level.clone(), age))
    }

    /// To be asked for before a count is read from Redis.
    pub fn mark(&self) -> ReadMark {
        ReadMark(self.lock().generation)
    }

    /// Takes in a count that was read from Redis after `mark`.
    pub fn keep(&self, mark: ReadMark, sku: &Sku, level: Level) {
        let mut state = self.lock();
        let is_known = state.levels.peek(sku).is_some_and(|known| known.version > level.version);
        // Before the first read of the streams nothing follows them yet.
        if state.generation == mark.0 && state.fresh_at.is_some() && !is_known {
            state.levels.put(sku.clone(), level);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Empty again, and not fresh.
    fn begin(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.fresh_at = None;
        state.levels.clear();
    }

    fn is_wanted(&self) -> bool {
        self.lock().asked_at.is_some_and(|at| at.elapsed() < IDLE_MAX)
    }

    /// Puts in what the streams say of the SKUs it has.
    fn follow(&self, changes: &[Change]) {
        let mut state = self.lock();
        for change in changes {
            if let Some(level) = state.levels.peek_mut(&change.sku)
                && change.version >= level.version
            {
                *level = Level {
                    on_hand: change.available + change.held,
                    held: change.held,
                    version: change.version,
                    updated_ms: change.at_ms,
                };
            }
        }
    }

    fn is_fresh_since(&self, at: Instant) {
        let mut state = self.lock();
        state.fresh_at = Some(at);
        // Exact below 2^53.
        gauge!(telemetry::COPIED_SKUS).set(state.levels.len() as f64);
    }
}

impl Store {
    /// Keeps a copy fresh while somebody asks it, reading the streams every `refresh`, until told to stop.
    pub async fn keep_copy(self, copy: LevelCopy, refresh: Duration, stop: CancellationToken) {
        let keep = async {
            loop {
                while !copy.is_wanted() {
                    copy.asked.notified().await;
                }
                let kept = self.keep_while_wanted(&copy, refresh).await;
                copy.begin();
                gauge!(telemetry::COPIED_SKUS).set(0.0);
                let pause = match kept {
                    // While slots move this comes again and again.
                    Ok(()) => refresh,
                    Err(fault) => {
                        tracing::debug!(
                            error = &fault as &dyn std::error::Error,
                            "cannot keep a copy of counts now"
                        );
                        FAULT_PAUSE
                    }
                };
                sleep(pause).await; // why: nothing tells when the store is back, or all slots are where they belong
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep => {}
        }
    }

    async fn keep_while_wanted(&self, copy: &LevelCopy, refresh: Duration) -> Result<(), StoreError> {
        // Before the places are read: they must be those of the Redis that is followed.
        let generation = self.topology_generation();
        let partitions: Vec<Partition> = self.partitions().all().collect();
        let mut places = self.ends(&partitions).await?;
        copy.begin();
        let mut read_at = Instant::now();
        while copy.is_wanted() {
            let sent_at = Instant::now();
            let mut is_all = true;
            let asks = places.iter().map(|(partition, place)| self.entries_after(*partition, *place));
            let answers = self.query_each(&asks.collect::<Vec<_>>()).await;
            for ((_, place), answer) in places.iter_mut().zip(answers) {
                let entries: Vec<_> =
                    changes::streams(answer?)?.into_iter().flat_map(|(_, entries)| entries).collect();
                is_all = is_all && entries.len() < READ_ENTRIES;
                for entry in entries {
                    let Some(changes) = entry.changes else { return Ok(()) };
                    copy.follow(&changes);
                    *place = entry.id;
                }
            }
            // Another connection may lead to a Redis that took over and knows less.
            if self.topology_generation() != generation || sent_at - read_at > STALL_MAX {
                return Ok(());
            }
            read_at = sent_at;
            if is_all {
                copy.is_fresh_since(sent_at);
                sleep(refresh).await; // why: at our own pace, whatever the streams do
            }
        }
        Ok(())
    }

    fn entries_after(&self, partition: Partition, place: EntryId) -> (String, Cmd) {
        let key = self.inner.keys.events(partition);
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(READ_ENTRIES).arg("STREAMS").arg(&key).arg(place.to_string());
        (key, command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventKind;

    const SOON: Duration = Duration::from_secs(1);

    fn sku() -> Sku {
        Sku::parse("a").expect("legal")
    }

    fn level(version: i64) -> Level {
        Level { on_hand: 10 - version, held: 0, version, updated_ms: version }
    }

    fn change(version: i64) -> Change {
        Change {
            kind: EventKind::Decremented,
            sku: sku(),
            available_delta: -1,
            available: 10 - version,
            held: 0,
            version,
            at_ms: version,
            source: None,
        }
    }

    fn version_in(copy: &LevelCopy) -> Option<i64> {
        copy.level(&sku(), SOON).map(|(level, _)| level.version)
    }

    #[test]
    fn a_count_follows_its_events_and_never_goes_back() {
        let copy = LevelCopy::new(NonZeroUsize::MIN);
        let early = copy.mark();
        copy.keep(early, &sku(), level(1));
        assert_eq!(version_in(&copy), None, "nothing follows the streams yet");
        copy.begin();
        copy.is_fresh_since(Instant::now());
        copy.keep(early, &sku(), level(9));
        assert_eq!(version_in(&copy), None, "read before the copy began again");
        let mark = copy.mark();
        copy.keep(mark, &sku(), level(3));
        copy.follow(&[change(2), change(3), change(4)]);
        copy.keep(mark, &sku(), level(3));
        assert_eq!(version_in(&copy), Some(4));
        copy.begin();
        assert_eq!(version_in(&copy), None);
    }

    #[test]
    fn nothing_is_answered_that_is_older_than_was_asked_for() {
        let copy = LevelCopy::new(NonZeroUsize::MIN);
        copy.is_fresh_since(Instant::now().checked_sub(SOON).expect("up for a second"));
        copy.keep(copy.mark(), &sku(), level(1));
        assert_eq!(copy.level(&sku(), SOON), None);
        let (_, age) = copy.level(&sku(), SOON * 3600).expect("it may be as old");
        assert!(age > SOON);
    }

    #[test]
    fn who_was_asked_for_least_lately_leaves() {
        let copy = LevelCopy::new(NonZeroUsize::MIN);
        copy.is_fresh_since(Instant::now());
        copy.keep(copy.mark(), &sku(), level(1));
        copy.keep(copy.mark(), &Sku::parse("b").expect("legal"), level(1));
        assert_eq!(version_in(&copy), None);
    }
}
