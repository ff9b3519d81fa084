//! Carries stream entries to the due sets of all channels. Reads as one consumer of the group `fanout`; what a dead consumer
//! left unacknowledged is adopted. An entry that does not parse is set aside, and one a script fails at keeps no other waiting.

use std::{pin::pin, time::Duration};

use metrics::counter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::{
    domain::{ChannelId, Partition},
    store::{Delivery, EntryId, EventReader, Store, StoreError},
    telemetry,
};

use super::{FAULT_PAUSE, Wake, WorkerSettings, outage::Outage, pause};

/// How long one read waits for entries.
const READ_WAIT_MS: u64 = 5000;
/// Entries idle this long are taken over: their reader died, or stopped in the middle. Marking twice is harmless.
const ADOPT_AFTER: Duration = Duration::from_secs(5);
/// Batches taken over of a partition in one turn: live changes come first, also while entries cannot be acknowledged.
const ADOPTED_MAX: usize = 8;
/// No entry is carried by a list of channels older than this.
pub(super) const CHANNELS_REFRESH: Duration = Duration::from_secs(1);

pub(super) async fn run(store: Store, settings: WorkerSettings, wake: Wake, stop: CancellationToken) {
    let served = Served { channels: Vec::new(), asked_at: None };
    let mut worker = FanOut { store, settings, wake, served };
    let mut outage = Outage::of("carry events to channels", None);
    while let Err(fault) = worker.carry_on(&mut outage, &stop).await {
        outage.is_felt(&fault);
        if !pause(FAULT_PAUSE, &stop).await {
            // A read that failed may have been given entries after all: leaving now could drop them.
            return;
        }
    }
    if let Err(fault) = worker.store.leave_group(&worker.settings.consumer).await {
        // A consumer that is left behind costs Redis some bytes.
        debug!(error = &fault as &dyn std::error::Error, "cannot leave the consumer group");
    }
}

struct FanOut {
    store: Store,
    settings: WorkerSettings,
    wake: Wake,
    served: Served,
}

/// The channels anybody serves, as Redis knew them a moment ago.
struct Served {
    channels: Vec<ChannelId>,
    asked_at: Option<Instant>,
}

impl FanOut {
    /// Reads and carries until told to stop, or a fault. What was read is carried: only the wait for more is cut short.
    async fn carry_on(&mut self, outage: &mut Outage, stop: &CancellationToken) -> Result<(), StoreError> {
        // After a Redis that lost its data the group is made again, from the beginning of the stream.
        self.store.ensure_group().await?;
        let mut reader = self.store.event_reader(&self.settings.consumer).await?;
        // After a fault: what we had read before it, without waiting for it to be idle.
        for (partition, entries) in reader.unfinished(self.settings.fan_out_batch).await? {
            self.carry(partition, &entries, stop).await?;
        }
        let mut adopt_at = Instant::now();
        while !stop.is_cancelled() {
            if adopt_at <= Instant::now() {
                self.adopt(stop).await?;
                adopt_at = Instant::now() + ADOPT_AFTER;
            }
            self.refresh_channels().await?;
            for (partition, entries) in self.read(&mut reader, stop).await? {
                self.carry(partition, &entries, stop).await?;
            }
            outage.is_over();
            // What comes meanwhile goes together: a fan_out costs as much per channel for one SKU as for ten.
            pause(self.settings.gather, stop).await;
        }
        Ok(())
    }

    async fn read(
        &self,
        reader: &mut EventReader,
        stop: &CancellationToken,
    ) -> Result<Vec<(Partition, Vec<Delivery>)>, StoreError> {
        let connection_id = reader.connection_id();
        let mut read = pin!(reader.next(self.settings.fan_out_batch, READ_WAIT_MS));
        tokio::select! {
            biased;
            found = &mut read => return found,
            () = stop.cancelled() => {}
        }
        if let Err(fault) = self.store.cut_short(connection_id).await {
            debug!(
                error = &fault as &dyn std::error::Error,
                "cannot cut a read short; it ends by itself soon"
            );
        }
        read.await
    }

    /// Takes over what a consumer that died had read, and what we had read before a fault.
    async fn adopt(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let idle_ms = u64::try_from(ADOPT_AFTER.as_millis()).unwrap_or(u64::MAX);
        let (store, count) = (self.store.clone(), self.settings.fan_out_batch);
        let consumer = self.settings.consumer.clone();
        for partition in store.partitions().all() {
            let (mut cursor, mut left) = (Some(EntryId::default()), ADOPTED_MAX);
            while let Some(from) = cursor.filter(|_| left > 0 && !stop.is_cancelled()) {
                left -= 1;
                let (entries, next) = store.adopt_entries(partition, &consumer, idle_ms, from, count).await?;
                self.carry(partition, &entries, stop).await?;
                cursor = next;
            }
        }
        Ok(())
    }

    async fn refresh_channels(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        if self.served.asked_at.is_none_or(|at| now >= at + CHANNELS_REFRESH) {
            self.served = Served { channels: self.store.served_channels().await?, asked_at: Some(now) };
        }
        Ok(())
    }

    async fn carry(
        &mut self,
        partition: Partition,
        entries: &[Delivery],
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        // A read may have waited: others must have heard of a new channel when it begins to be told all stock.
        self.refresh_channels().await?;
        for entry in entries.iter().filter(|entry| entry.changes.is_none()) {
            self.store.quarantine(partition, entry.id).await?;
            counter!(telemetry::POISON_ENTRIES).increment(1);
            error!(
                partition = partition.0,
                entry = %entry.id,
                "an event entry does not parse and was set aside; its SKUs may be stale on channels: run verify, then channels resync"
            );
        }
        let marks = match self.store.fan_out(partition, &self.served.channels, entries).await {
            Err(StoreError::Refused { .. } | StoreError::Corrupt { .. }) if entries.len() > 1 => {
                self.carry_one_by_one(partition, entries).await?
            }
            marks => marks?,
        };
        let events: usize = entries.iter().filter_map(|entry| entry.changes.as_ref()).map(Vec::len).sum();
        counter!(telemetry::EVENTS_FANNED_OUT).increment(u64::try_from(events).unwrap_or(u64::MAX));
        if marks > 0 {
            self.wake.all_due();
            // Those who would be woken here claim no more once they are told to stop.
            let is_theirs = |channel: &&ChannelId| stop.is_cancelled() || !self.wake.serves(channel);
            let others: Vec<ChannelId> = self.served.channels.iter().filter(is_theirs).cloned().collect();
            self.store.ring(&others).await?;
        }
        Ok(())
    }

    /// After the script failed at a batch: carries what can be carried. The rest stays unacknowledged and is tried again.
    async fn carry_one_by_one(&self, partition: Partition, entries: &[Delivery]) -> Result<u64, StoreError> {
        let mut marks = 0;
        for entry in entries {
            match self.store.fan_out(partition, &self.served.channels, std::slice::from_ref(entry)).await {
                Ok(marked) => marks += marked,
                Err(fault @ (StoreError::Refused { .. } | StoreError::Corrupt { .. })) => error!(
                    partition = partition.0,
                    entry = %entry.id,
                    error = &fault as &dyn std::error::Error,
                    "an event entry cannot be carried to channels; it is tried again"
                ),
                Err(fault) => return Err(fault),
            }
        }
        Ok(marks)
    }
}
