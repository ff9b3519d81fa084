//! Carries stream entries to the due sets of all channels. Reads as one consumer of the group `fanout`; what a dead consumer
//! left unacknowledged is adopted. An entry that does not parse stays unacknowledged and is logged: it is never lost.

use std::collections::HashSet;

use metrics::counter;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    domain::Partition,
    store::{Entry, EntryId, Store, StoreError},
    telemetry,
};

use super::{FAULT_PAUSE, Wake, WorkerSettings, pause};

/// How long one read waits for entries. Short enough that a stop is not held up by it.
const READ_WAIT_MS: u64 = 1000;

pub(super) async fn run(store: Store, settings: WorkerSettings, wake: Wake, stop: CancellationToken) {
    let mut worker = FanOut { store, settings, wake, reported: HashSet::new() };
    let mut group_is_sure = false;
    let mut adopt_at = tokio::time::Instant::now();
    while !stop.is_cancelled() {
        let step = async {
            if !group_is_sure {
                // After a Redis that lost its data the group is made again, from the beginning of the stream.
                worker.store.ensure_group().await?;
            }
            if adopt_at <= tokio::time::Instant::now() {
                worker.adopt().await?;
                adopt_at = tokio::time::Instant::now() + worker.settings.adopt_after;
            }
            worker.read().await
        };
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = step => outcome,
        };
        group_is_sure = outcome.is_ok();
        if let Err(fault) = outcome {
            warn!(error = &fault as &dyn std::error::Error, "cannot carry events to channels now");
            if !pause(FAULT_PAUSE, &stop).await {
                return;
            }
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
    async fn read(&mut self) -> Result<(), StoreError> {
        let found = self
            .store
            .next_entries(&self.settings.consumer, self.settings.fan_out_batch, READ_WAIT_MS)
            .await?;
        for (partition, entries) in found {
            self.carry(partition, &entries).await?;
        }
        Ok(())
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

    async fn carry(&mut self, partition: Partition, entries: &[Entry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries.iter().filter(|entry| entry.events.is_none()) {
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
        let events: usize = entries.iter().filter_map(|entry| entry.events.as_ref()).map(Vec::len).sum();
        counter!(telemetry::EVENTS_FANNED_OUT).increment(u64::try_from(events).unwrap_or(u64::MAX));
        if marks > 0 {
            self.wake.all();
        }
        Ok(())
    }
}
