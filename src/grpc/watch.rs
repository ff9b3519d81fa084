//! WatchStock: changes as they happen, from any place in the stream on. A watcher reads the stream itself, at its own pace;
//! one tail per process tells all of them that there is more.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use metrics::gauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::sleep_until,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Status;

use crate::{
    domain::{Event, EventId, Partition, Sku},
    proto,
    store::{EntryId, Store, StoreError, StoredLevel, Tail},
    telemetry,
};

use super::{
    convert::{self, Problem},
    deadline::Deadline,
    token::{Purpose, open_events, seal_events},
};

/// The field that holds the token.
const RESUME_TOKEN: &str = "resume_token";
/// Responses read ahead of a slow caller.
const AHEAD: usize = 64;
/// Entries read by one command.
const READ_ENTRIES: usize = 256;

/// What a watch answers.
pub(super) type WatchStream = ReceiverStream<Result<proto::WatchStockResponse, Status>>;

/// Starts watches and owns their tasks.
#[derive(Clone)]
pub(super) struct Watches {
    pub(super) store: Store,
    pub(super) tail: Tail,
    pub(super) places: Arc<Semaphore>,
    pub(super) places_max: usize,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Watches {
    /// Starts a watch of some SKUs, or of all, from a token on, or from now.
    pub(super) async fn start(
        &self,
        skus: Vec<Sku>,
        resume_token: &str,
        deadline: Option<Deadline>,
    ) -> Result<WatchStream, Problem> {
        let given = open_events(RESUME_TOKEN, Purpose::Watch, resume_token)?;
        let partitions = self.partitions_of(&skus);
        if !resume_token.is_empty() && !fits(&given, &partitions) {
            return Err(Problem::invalid(
                RESUME_TOKEN,
                "is of a watch of other skus: hand back one of this watch, or none to start over",
            ));
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| convert::too_many_watches(self.places_max))?;
        let mut passed = Vec::with_capacity(partitions.len());
        for partition in partitions {
            passed.push(match given.iter().find(|id| id.partition == partition) {
                Some(id) => *id,
                None => end_of(partition, self.store.last_entry(partition).await?),
            });
        }
        let (out, responses) = mpsc::channel(AHEAD);
        let watch = Watch {
            store: self.store.clone(),
            wanted: skus.iter().cloned().collect(),
            passed,
            told: HashMap::new(),
            out,
            _place: place,
        };
        let snapshot = if resume_token.is_empty() { skus } else { Vec::new() };
        let (grown, stop) = (self.tail.listen(), self.stop.clone());
        self.tasks.spawn(async move { watch.run(snapshot, grown, deadline, stop).await });
        Ok(ReceiverStream::new(responses))
    }

    /// The partitions a watch of these SKUs reads, in order.
    fn partitions_of(&self, skus: &[Sku]) -> Vec<Partition> {
        if skus.is_empty() {
            return self.store.partitions().all().collect();
        }
        let mut of_skus: Vec<_> = skus.iter().map(|sku| self.store.partitions().of(sku)).collect();
        of_skus.sort_unstable();
        of_skus.dedup();
        of_skus
    }
}

/// Whether a token holds a place in each of these partitions and in no other: else changes would be left out.
fn fits(given: &[EventId], partitions: &[Partition]) -> bool {
    let mut held: Vec<_> = given.iter().map(|id| id.partition).collect();
    held.sort_unstable();
    held == partitions
}

/// Behind everything an entry holds.
fn end_of(partition: Partition, entry: EntryId) -> EventId {
    EventId { partition, entry_ms: entry.ms, entry_seq: entry.seq, index: u32::MAX }
}

struct Watch {
    store: Store,
    /// Empty: all.
    wanted: HashSet<Sku>,
    /// The last event passed, per partition.
    passed: Vec<EventId>,
    /// The versions of the counts sent at the start, which hold what the first events may still say.
    told: HashMap<Sku, i64>,
    out: mpsc::Sender<Result<proto::WatchStockResponse, Status>>,
    _place: OwnedSemaphorePermit,
}

/// The caller has gone.
struct Gone;

impl Watch {
    async fn run(
        mut self,
        snapshot: Vec<Sku>,
        grown: watch::Receiver<u64>,
        deadline: Option<Deadline>,
        stop: CancellationToken,
    ) {
        gauge!(telemetry::WATCHES).increment(1.0);
        let out = self.out.clone();
        let until = async move {
            match deadline {
                Some(Deadline(at)) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let last_word = tokio::select! {
            () = stop.cancelled() => Some(Problem::from(StoreError::Draining)),
            () = until => Some(convert::deadline_expired()),
            () = out.closed() => None,
            ended = self.serve(&snapshot, grown) => ended.err(),
        };
        if let Some(problem) = last_word {
            // A caller too slow to take it learns from the broken stream.
            let _ = self.out.try_send(Err(problem.into()));
        }
        gauge!(telemetry::WATCHES).decrement(1.0);
    }

    async fn serve(&mut self, snapshot: &[Sku], mut grown: watch::Receiver<u64>) -> Result<Gone, Problem> {
        if let Some(Gone) = self.tell_counts(snapshot).await? {
            return Ok(Gone);
        }
        loop {
            grown.mark_unchanged();
            while let Some(more) = self.read_on().await? {
                if let More::Gone = more {
                    return Ok(Gone);
                }
            }
            if grown.changed().await.is_err() {
                return Err(StoreError::Draining.into());
            }
        }
    }

    /// The counts now: read after the place in the stream was taken, so nothing falls between.
    async fn tell_counts(&mut self, skus: &[Sku]) -> Result<Option<Gone>, Problem> {
        let levels = self.store.levels(skus).await?;
        let mut counts = Vec::with_capacity(skus.len());
        for (sku, level) in skus.iter().zip(levels) {
            if let StoredLevel::Known { level, .. } = level {
                self.told.insert(sku.clone(), level.version);
                counts.push(convert::stock(sku, &level));
            }
        }
        let last = counts.len().saturating_sub(1);
        for (index, stock) in counts.into_iter().enumerate() {
            // A token before the last count would lose those that follow it.
            let resume_token = if index == last { self.token() } else { String::new() };
            let response = proto::WatchStockResponse { stock: Some(stock), event: None, resume_token };
            if self.out.send(Ok(response)).await.is_err() {
                return Ok(Some(Gone));
            }
        }
        Ok(None)
    }

    /// Whether the caller wants an event and was not told its outcome before.
    fn is_news(&self, event: &Event) -> bool {
        if !self.wanted.is_empty() && !self.wanted.contains(&event.sku) {
            return false;
        }
        // These make no version: at the version of the count they may be younger than it, and say nothing older.
        let is_versionless = !event.kind.makes_version();
        self.told
            .get(&event.sku)
            .is_none_or(|told| event.version > *told || (event.version == *told && is_versionless))
    }

    /// Reads what follows in each partition; None when there was nothing.
    async fn read_on(&mut self) -> Result<Option<More>, Problem> {
        let mut any = false;
        for lane in 0..self.passed.len() {
            let passed = self.passed[lane];
            let from = EntryId { ms: passed.entry_ms, seq: passed.entry_seq };
            let entries =
                self.store.entries(passed.partition, from, EntryId::END, READ_ENTRIES, false).await?;
            for entry in entries {
                let Some(events) = entry.events else {
                    tracing::error!(entry = %entry.id, "an event entry does not parse; watchers go on without it");
                    self.passed[lane] = end_of(passed.partition, entry.id).max(self.passed[lane]);
                    continue;
                };
                for event in events.into_iter().filter(|event| event.id > passed) {
                    any = true;
                    self.passed[lane] = event.id;
                    if !self.is_news(&event) {
                        continue;
                    }
                    let response = proto::WatchStockResponse {
                        stock: Some(convert::stock_after(&event)),
                        resume_token: self.token(),
                        event: Some(convert::event(event)),
                    };
                    if self.out.send(Ok(response)).await.is_err() {
                        return Ok(Some(More::Gone));
                    }
                }
            }
        }
        Ok(any.then_some(More::Maybe))
    }

    fn token(&self) -> String {
        seal_events(Purpose::Watch, &self.passed)
    }
}

enum More {
    Maybe,
    Gone,
}
