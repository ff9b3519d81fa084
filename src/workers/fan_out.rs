//! Carries stream entries to the due sets of all channels. Reads as one consumer of the group `fanout`; what a dead consumer
//! left unacknowledged is adopted. An entry that does not parse stays unacknowledged and is logged: it is never lost.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use metrics::counter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    domain::Partition,
    store::{Delivery, EntryId, Store, StoreError},
    telemetry,
};

use super::{FAULT_PAUSE, Wake, WorkerSettings, pause};

/// How long one read waits for entries.
const READ_WAIT_MS: u64 = 1000;
/// What comes within so long after a read goes together in the next: under load this halves what Redis pays per sale, and
/// an idle stream is still read at once.
const GATHER: Duration = Duration::from_millis(5);

pub(super) async fn run(store: Store, settings: WorkerSettings, wake: Wake, stop: CancellationToken) {
    let mut worker = FanOut { store, settings, wake, reported: HashSet::new() };
    loop {
        let fault = tokio::select! {
            () = stop.cancelled() => return,
            ended = worker.carry_on() => match ended {
                Ok(never) => match never {},
                Err(fault) => fault,
            },
        };
        warn!(error = &fault as &dyn std::error::Error, "cannot carry events to channels now");
        if !pause(FAULT_PAUSE, &stop).await {
            return;
        }
    }
}

struct FanOut {
    store: Store,
    settings: WorkerSettings,
    wake: Wake,
    /// Entries that do not parse and were logged.
    reported: HashSet<(Partition, EntryId)>,
}

impl FanOut {
    /// Reads and carries until a fault.
    async fn carry_on(&mut self) -> Result<Infallible, StoreError> {
        // After a Redis that lost its data the group is made again, from the beginning of the stream.
        self.store.ensure_group().await?;
        let mut reader = self.store.event_reader(&self.settings.consumer).await?;
        let mut adopt_at = Instant::now();
        loop {
            if adopt_at <= Instant::now() {
                self.adopt().await?;
                adopt_at = Instant::now() + self.settings.adopt_after;
            }
            let found = reader.next(self.settings.fan_out_batch, READ_WAIT_MS).await?;
            if found.is_empty() {
                continue;
            }
            for (partition, entries) in found {
                self.carry(partition, &entries).await?;
            }
            tokio::time::sleep(GATHER).await; // why: batches at our own pace, not one read per script
        }
    }

    /// Takes over what a consumer that died had read, and what we had read before a fault.
    async fn adopt(&mut self) -> Result<(), StoreError> {
        let idle_ms = u64::try_from(self.settings.adopt_after.as_millis()).unwrap_or(u64::MAX);
        for partition in self.store.partitions().all() {
            let mut cursor = Some(EntryId::default());
            while let Some(from) = cursor {
                let (entries, next) = self
                    .store
                    .adopt_entries(
                        partition,
                        &self.settings.consumer,
                        idle_ms,
                        from,
                        self.settings.fan_out_batch,
                    )
                    .await?;
                self.carry(partition, &entries).await?;
                cursor = next;
            }
        }
        Ok(())
    }

    async fn carry(&mut self, partition: Partition, entries: &[Delivery]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries.iter().filter(|entry| entry.changes.is_none()) {
            if self.reported.insert((partition, entry.id)) {
                counter!(telemetry::BROKEN_RECORDS).increment(1);
                error!(
                    partition = partition.0,
                    entry = %entry.id,
                    "an event entry does not parse; its SKUs may be stale on channels: run verify"
                );
            }
        }
        let marks = self.store.fan_out(partition, entries).await?;
        let events: usize = entries.iter().filter_map(|entry| entry.changes.as_ref()).map(Vec::len).sum();
        counter!(telemetry::EVENTS_FANNED_OUT).increment(u64::try_from(events).unwrap_or(u64::MAX));
        if marks > 0 {
            self.wake.all();
        }
        Ok(())
    }
}
