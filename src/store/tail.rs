//! Knowing soon that the streams grew, and which: one reader per process, however many watch, and none while nobody does.
//!
//! Without cluster it is a read that blocks. On a cluster a read can wait for one partition only: there all streams of a server are
//! asked at once, again and again, which costs a command per partition every 20 ms while somebody watches.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::join_all;
use redis::Cmd;
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::domain::Partition;

use super::{AtomicDomain, EntryId, Store, StoreError, changes};

/// How long one read waits for entries.
const READ_WAIT_MS: u64 = 5000;
/// Watchers are told at most so often: what comes in between goes together.
const TELL_INTERVAL: Duration = Duration::from_millis(2);
/// On a cluster, between two looks at the streams of a server.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// No less than so long for each of them: beyond 256, looks are rarer.
const LOOK_EACH: Duration = Duration::from_micros(80);
/// After a fault of the store, so long until the next try.
const FAULT_PAUSE: Duration = Duration::from_millis(500);

/// Where those who watch hear that a stream grew.
#[derive(Clone)]
pub struct Tail {
    grown: Arc<watch::Sender<u64>>,
    ends: Ends,
    begun: Arc<Notify>,
}

/// The last entry of each stream, where it is known.
type Ends = Arc<RwLock<HashMap<Partition, EntryId>>>;

/// Hears that streams grew.
pub struct Growth {
    grown: watch::Receiver<u64>,
    ends: Ends,
}

impl Default for Tail {
    fn default() -> Self {
        Self { grown: Arc::new(watch::Sender::new(0)), ends: Ends::default(), begun: Arc::default() }
    }
}

impl Growth {
    /// Forgets what it heard: only what comes from now on counts.
    pub fn mark_unchanged(&mut self) {
        self.grown.mark_unchanged();
    }

    /// Waits until a stream grew, or may have: after a fault entries may have been missed. False when nobody reads any more.
    pub async fn changed(&mut self) -> bool {
        self.grown.changed().await.is_ok()
    }

    /// Whether a stream may have something behind an entry.
    pub fn may_follow(&self, partition: Partition, entry: EntryId) -> bool {
        let ends = self.ends.read().unwrap_or_else(PoisonError::into_inner);
        ends.get(&partition).is_none_or(|end| *end > entry)
    }
}

impl Tail {
    /// Counts up whenever a stream grew, and after a fault, since entries may have been missed.
    pub fn listen(&self) -> Growth {
        let grown = self.grown.subscribe();
        self.begun.notify_one();
        Growth { grown, ends: Arc::clone(&self.ends) }
    }

    fn is_heard(&self) -> bool {
        self.grown.receiver_count() > 0
    }

    fn tell(&self, ends: impl IntoIterator<Item = (Partition, EntryId)>) {
        self.ends.write().unwrap_or_else(PoisonError::into_inner).extend(ends);
        self.grown.send_modify(|count| *count += 1);
    }

    fn forget(&self) {
        self.ends.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// How far each stream was read.
type Places = Vec<(Partition, EntryId)>;

impl Store {
    /// Follows the streams for those who listen, until told to stop.
    pub async fn follow(self, tail: Tail, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let followed = tokio::select! {
                () = stop.cancelled() => return,
                followed = self.follow_while_heard(&tail) => followed,
            };
            let Err(fault) = followed;
            tail.forget();
            tracing::debug!(error = &fault as &dyn std::error::Error, "cannot follow the event streams now");
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(FAULT_PAUSE) => {} // why: no connection to wait on
            }
        }
    }

    async fn follow_while_heard(&self, tail: &Tail) -> Result<Infallible, StoreError> {
        let partitions: Vec<Partition> = self.partitions().all().collect();
        loop {
            while !tail.is_heard() {
                tail.begun.notified().await;
            }
            match self.atomic_domain() {
                AtomicDomain::Node => self.wait_while_heard(tail, &partitions).await?,
                AtomicDomain::Partition => {
                    let servers = self.by_server(&partitions).await;
                    join_all(servers.iter().map(|beside| self.look_while_heard(tail, beside))).await;
                }
            }
            tail.forget();
        }
    }

    /// Waits for entries of all partitions with one read.
    async fn wait_while_heard(&self, tail: &Tail, partitions: &[Partition]) -> Result<(), StoreError> {
        let mut places = self.ends(partitions).await?;
        tail.tell(places.iter().copied());
        let keys: Vec<String> = partitions.iter().map(|one| self.inner.keys.events(*one)).collect();
        let mut reader = self.reader_at(&keys[0]).await?;
        while tail.is_heard() {
            let mut command = redis::cmd("XREAD");
            command.arg("COUNT").arg(1).arg("BLOCK").arg(READ_WAIT_MS).arg("STREAMS").arg(&keys);
            for (_, place) in &places {
                command.arg(place.to_string());
            }
            let streams = changes::streams(reader.query(&command, READ_WAIT_MS).await?)?;
            let has_grown = |key: &String| streams.iter().any(|(grown, _)| grown == key);
            let grown = keys.iter().zip(partitions).filter(|(key, _)| has_grown(key)).map(|(_, one)| *one);
            let grown: Vec<Partition> = grown.collect();
            if grown.is_empty() {
                continue;
            }
            self.tell_of(tail, &mut places, &grown).await?;
            sleep(TELL_INTERVAL).await; // why: batches at our own pace, not one read per entry
        }
        Ok(())
    }

    /// Looks at the streams of one server, again and again; one that is away keeps nobody else waiting.
    async fn look_while_heard(&self, tail: &Tail, partitions: &[Partition]) {
        let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        let interval = LOOK_INTERVAL.max(LOOK_EACH * count);
        // Slots may have moved: then the partitions are grouped anew.
        let topology = self.topology_generation();
        while tail.is_heard() && self.topology_generation() == topology {
            let Err(fault) = self.look_until_fault(tail, partitions, interval).await else { return };
            tracing::debug!(error = &fault as &dyn std::error::Error, "cannot follow some event streams now");
            sleep(FAULT_PAUSE).await; // why: nothing tells when the store is back
        }
    }

    async fn look_until_fault(
        &self,
        tail: &Tail,
        partitions: &[Partition],
        interval: Duration,
    ) -> Result<(), StoreError> {
        let mut places = self.ends(partitions).await?;
        tail.tell(places.iter().copied());
        while tail.is_heard() {
            sleep(interval).await; // why: no read can wait for all of them
            let asks: Vec<(String, Cmd)> =
                places.iter().map(|(one, place)| self.entry_after(*one, *place)).collect();
            let mut grown = Vec::new();
            for ((partition, _), answer) in places.iter().zip(self.query_each(&asks).await) {
                grown.extend((!changes::streams(answer?)?.is_empty()).then_some(*partition));
            }
            if !grown.is_empty() {
                self.tell_of(tail, &mut places, &grown).await?;
            }
        }
        Ok(())
    }

    fn entry_after(&self, partition: Partition, place: EntryId) -> (String, Cmd) {
        let key = self.inner.keys.events(partition);
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(1).arg("STREAMS").arg(&key).arg(place.to_string());
        (key, command)
    }

    /// Looks how far these streams have grown, and tells it.
    async fn tell_of(&self, tail: &Tail, places: &mut Places, grown: &[Partition]) -> Result<(), StoreError> {
        let ends: HashMap<Partition, EntryId> = self.ends(grown).await?.into_iter().collect();
        for (partition, place) in places.iter_mut() {
            *place = ends.get(partition).map_or(*place, |end| *end.max(place));
        }
        tail.tell(places.iter().copied());
        Ok(())
    }

    /// The last entries of some streams.
    pub(super) async fn ends(&self, partitions: &[Partition]) -> Result<Places, StoreError> {
        let asks = partitions.iter().map(|partition| {
            let key = self.inner.keys.events(*partition);
            let mut command = redis::cmd("XREVRANGE");
            command.arg(&key).arg("+").arg("-").arg("COUNT").arg(1);
            (key, command)
        });
        let answers = self.query_each(&asks.collect::<Vec<_>>()).await;
        let end = |(partition, answer): (&Partition, Result<_, StoreError>)| {
            let newest: Vec<(String, redis::Value)> = self.inner.nodes.read(answer?)?;
            let end = newest.first().and_then(|(id, _)| EntryId::parse(id)).unwrap_or_default();
            Ok((*partition, end))
        };
        partitions.iter().zip(answers).map(end).collect()
    }
}
