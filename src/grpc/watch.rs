//! WatchStock: changes as they happen, from any place in the stream on. A watcher reads the stream itself, at its own pace;
//! one tail per process tells all of them that there is more.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use metrics::gauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::sleep_until,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Status;

use crate::{
    domain::{Event, EventId, Partition, Sku},
    proto,
    store::{EntryId, Growth, Store, StoreError, StoredLevel, Tail},
    telemetry,
};

use super::{
    convert::{self, Problem},
    deadline::Deadline,
    ending::Ending,
    token::{Purpose, open_events, seal_events},
};

/// The field that holds the token.
const RESUME_TOKEN: &str = "resume_token";
/// Responses read ahead of a slow caller.
const AHEAD: usize = 64;
/// Beside them, kept for the end: a response with the newest token, and the status.
const LAST_WORDS: usize = 2;
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
    /// Starts a watch of some SKUs, or of all, from a token on, or from now; it ends with its connection.
    pub(super) async fn start(
        &self,
        skus: Vec<Sku>,
        resume_token: &str,
        deadline: Option<Deadline>,
        ending: Ending,
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
        let (out, responses) = mpsc::channel(AHEAD + LAST_WORDS);
        let last_words = LastWords::keep(&out);
        let watch = Watch {
            store: self.store.clone(),
            wanted: skus.iter().cloned().collect(),
            read_to: vec![None; passed.len()],
            passed,
            told: HashMap::new(),
            // Who comes with a token has one; who names SKUs gets one with the last count.
            is_token_told: !resume_token.is_empty(),
            is_begun: false,
            out,
            _place: place,
        };
        let snapshot = if resume_token.is_empty() { skus } else { Vec::new() };
        let grown = self.tail.listen();
        self.tasks.spawn(async move { watch.run(snapshot, grown, deadline, ending, last_words).await });
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
    /// Where the stream of each partition ended when all of it was read.
    read_to: Vec<Option<EntryId>>,
    /// The versions of the counts sent at the start, which hold what the first events may still say.
    told: HashMap<Sku, i64>,
    /// Whether the counts at the start are told: before that no token goes on from here.
    is_begun: bool,
    /// Whether the caller has a token for what was passed.
    is_token_told: bool,
    out: mpsc::Sender<Result<proto::WatchStockResponse, Status>>,
    _place: OwnedSemaphorePermit,
}

/// The caller has gone.
struct Gone;

impl Watch {
    async fn run(
        mut self,
        snapshot: Vec<Sku>,
        grown: Growth,
        deadline: Option<Deadline>,
        ending: Ending,
        last_words: Option<LastWords>,
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
            () = ending.falls().cancelled() => Some(ending.problem()),
            () = until => Some(convert::deadline_expired()),
            () = out.closed() => None,
            ended = self.serve(&snapshot, grown) => ended.err(),
        };
        if let (Some(problem), Some(last_words)) = (last_word, last_words) {
            let is_news = self.is_begun && !self.is_token_told;
            last_words.say(is_news.then(|| self.token()), problem.into());
        }
        gauge!(telemetry::WATCHES).decrement(1.0);
    }

    async fn serve(&mut self, snapshot: &[Sku], mut grown: Growth) -> Result<Gone, Problem> {
        if let Some(Gone) = self.tell_counts(snapshot).await? {
            return Ok(Gone);
        }
        self.is_begun = true;
        loop {
            grown.mark_unchanged();
            while let Some(more) = self.read_on(&grown).await? {
                if let More::Gone = more {
                    return Ok(Gone);
                }
            }
            if !grown.changed().await {
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
            let Ok(place) = self.out.reserve().await else { return Ok(Some(Gone)) };
            self.is_token_told = index == last;
            place.send(Ok(proto::WatchStockResponse { stock: Some(stock), event: None, resume_token }));
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
    async fn read_on(&mut self, grown: &Growth) -> Result<Option<More>, Problem> {
        let mut any = false;
        for lane in 0..self.passed.len() {
            let passed = self.passed[lane];
            let from = EntryId { ms: passed.entry_ms, seq: passed.entry_seq };
            if self.read_to[lane].is_some_and(|end| !grown.may_follow(passed.partition, end)) {
                continue;
            }
            let entries =
                self.store.entries(passed.partition, from, EntryId::END, READ_ENTRIES, false).await?;
            let is_all = entries.len() < READ_ENTRIES;
            let end = entries.last().map_or(from, |entry| entry.id);
            for entry in entries {
                let Some(events) = entry.events else {
                    tracing::error!(entry = %entry.id, "an event entry does not parse; watchers go on without it");
                    self.passed[lane] = end_of(passed.partition, entry.id).max(self.passed[lane]);
                    self.is_token_told = false;
                    continue;
                };
                for event in events.into_iter().filter(|event| event.id > passed) {
                    any = true;
                    if !self.is_news(&event) {
                        (self.passed[lane], self.is_token_told) = (event.id, false);
                        continue;
                    }
                    // Passed is only what has its place: a watch that ends while it waits for one has not told it.
                    let Ok(place) = self.out.reserve().await else { return Ok(Some(More::Gone)) };
                    (self.passed[lane], self.is_token_told) = (event.id, true);
                    place.send(Ok(proto::WatchStockResponse {
                        stock: Some(convert::stock_after(&event)),
                        resume_token: seal_events(Purpose::Watch, &self.passed),
                        event: Some(convert::event(event)),
                    }));
                }
            }
            self.read_to[lane] = is_all.then_some(end);
        }
        Ok(any.then_some(More::Maybe))
    }

    fn token(&self) -> String {
        seal_events(Purpose::Watch, &self.passed)
    }
}

/// Places in the queue to the caller that no change takes: however slow he reads, he hears how it ended.
struct LastWords([mpsc::OwnedPermit<Result<proto::WatchStockResponse, Status>>; LAST_WORDS]);

impl LastWords {
    /// None is never: the queue is new.
    fn keep(out: &mpsc::Sender<Result<proto::WatchStockResponse, Status>>) -> Option<Self> {
        let [first, second] = [out.clone(), out.clone()].map(|out| out.try_reserve_owned().ok());
        Some(Self([first?, second?]))
    }

    /// Sends a token the caller does not have, and the status.
    fn say(self, resume_token: Option<String>, status: Status) {
        let Self([first, second]) = self;
        if let Some(resume_token) = resume_token {
            first.send(Ok(proto::WatchStockResponse { stock: None, event: None, resume_token }));
        }
        second.send(Err(status));
    }
}

enum More {
    Maybe,
    Gone,
}
