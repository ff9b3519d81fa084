//! Looks, now and then, at all streams at once: takes over what consumers that died had read, and reads where entries stand that
//! nobody reads, whoever should.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::Partition,
    store::{AtomicDomain, EntryId, StoreError},
};

use super::{
    super::{outage::Outage, pause},
    Carrier,
};

/// Entries idle this long are taken over: their reader died, or stopped in the middle. Marking twice is harmless.
const ADOPT_AFTER: Duration = Duration::from_secs(5);
/// Those of partitions another worker has are looked at in every so manieth turn of ours: it may not know.
const TURNS_FOR_OTHERS: u32 = 6;
/// Batches taken over of a partition in one turn, or read of one that nobody reads.
const BATCHES_MAX: usize = 8;

/// Looks after everybody.
pub(super) struct Patrol {
    carrier: Arc<Carrier>,
    /// The partitions that are ours.
    ours: watch::Receiver<HashSet<Partition>>,
    /// Where entries nobody had read stood when that was looked at last.
    unread: HashMap<Partition, EntryId>,
    compare_at: Instant,
    adopt_at: Instant,
    turn: u32,
}

impl Patrol {
    /// All partitions are ours.
    pub(super) fn of_all(carrier: Arc<Carrier>) -> Self {
        let ours = carrier.store.partitions().all().collect();
        Self::new(carrier, watch::channel(ours).1)
    }

    pub(super) fn new(carrier: Arc<Carrier>, ours: watch::Receiver<HashSet<Partition>>) -> Self {
        let now = Instant::now();
        // The first turn is everybody's: what is ours is not known yet.
        let turn = TURNS_FOR_OTHERS - 1;
        Self { carrier, ours, unread: HashMap::new(), compare_at: now, adopt_at: now, turn }
    }

    /// Looks until told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut outage = Outage::of("take over what other workers left", None);
        let interval = match self.carrier.store.atomic_domain() {
            // One reader reads them all.
            AtomicDomain::Node => ADOPT_AFTER,
            AtomicDomain::Partition => self.carrier.settings.poll_interval.min(ADOPT_AFTER),
        };
        loop {
            match self.look(&stop).await {
                Ok(()) => outage.is_over(),
                Err(fault) => outage.is_felt(&fault),
            }
            if !pause(interval, &stop).await {
                return;
            }
        }
    }

    /// One look; goes on after a partition that fails, and then returns the first fault.
    async fn look(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let is_turn = self.adopt_at <= Instant::now();
        if is_turn {
            self.adopt_at = Instant::now() + ADOPT_AFTER;
            self.turn = self.turn.wrapping_add(1);
        }
        let ours = self.ours.borrow().clone();
        let store = &self.carrier.store;
        let (mut left, mut unread, mut groupless) = (Vec::new(), HashMap::new(), Vec::new());
        let mut looked = Ok(());
        for (partition, standing) in store.partitions().all().zip(store.standings().await) {
            match standing {
                Ok(Some(standing)) => {
                    if standing.has_unread {
                        unread.insert(partition, standing.read_to);
                    }
                    let is_asked = ours.contains(&partition) || self.turn.is_multiple_of(TURNS_FOR_OTHERS);
                    if is_turn && is_asked && standing.pending > 0 {
                        left.push(partition);
                    }
                }
                Ok(None) => groupless.push(partition),
                Err(fault) => looked = looked.and(Err(fault)),
            }
        }
        looked = looked.and(store.ensure_group_in(&groupless).await);
        if store.atomic_domain() == AtomicDomain::Partition && self.compare_at <= Instant::now() {
            self.compare_at = Instant::now() + self.carrier.settings.poll_interval;
            // They stood there at the last look too: nobody reads them.
            let stands = |(partition, at): &(&Partition, &EntryId)| self.unread.get(partition) == Some(at);
            let starved = unread.iter().filter(stands).map(|(partition, _)| *partition).collect();
            self.unread = unread;
            looked = looked.and(self.read(starved, stop).await);
        }
        for partition in left {
            looked = looked.and(self.adopt(partition, stop).await);
        }
        looked
    }

    /// Reads where nobody does.
    async fn read(&self, mut starved: Vec<Partition>, stop: &CancellationToken) -> Result<(), StoreError> {
        let (store, settings) = (&self.carrier.store, &self.carrier.settings);
        let mut all_read = Ok(());
        for _ in 0..BATCHES_MAX {
            if starved.is_empty() || stop.is_cancelled() {
                break;
            }
            let read = store.read_each(&settings.consumer, &starved, settings.fan_out_batch).await;
            starved.clear();
            for (partition, carried) in self.carrier.carry_each(read).await {
                match carried {
                    Ok(count) => starved.extend((count == settings.fan_out_batch).then_some(partition)),
                    Err(fault) => all_read = all_read.and(Err(fault)),
                }
            }
        }
        all_read
    }

    /// Takes over what a consumer that died had read, and what we had read before a fault.
    async fn adopt(&self, partition: Partition, stop: &CancellationToken) -> Result<(), StoreError> {
        let (store, settings) = (&self.carrier.store, &self.carrier.settings);
        let idle_ms = u64::try_from(ADOPT_AFTER.as_millis()).unwrap_or(u64::MAX);
        let (mut cursor, mut left) = (Some(EntryId::default()), BATCHES_MAX);
        while let Some(from) = cursor.filter(|_| left > 0 && !stop.is_cancelled()) {
            left -= 1;
            let count = settings.fan_out_batch;
            let (entries, next) =
                store.adopt_entries(partition, &settings.consumer, idle_ms, from, count).await?;
            self.carrier.carry(partition, &entries).await?;
            cursor = next;
        }
        Ok(())
    }
}
