//! Carries what was read of one partition: marks it on every channel anybody serves, and wakes who tells them.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use metrics::counter;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::{
    domain::{ChannelId, Partition},
    store::{Delivery, Store, StoreError},
    telemetry,
};

use super::super::{Wake, WorkerSettings};

/// No entry is carried by a list of channels older than this.
pub(in super::super) const CHANNELS_REFRESH: Duration = Duration::from_secs(1);
/// Partitions carried at the same time, of what was read together.
const CARRIED_AT_ONCE: usize = 16;

/// Shared by all who read.
pub(super) struct Carrier {
    pub(super) store: Store,
    pub(super) settings: WorkerSettings,
    pub(super) wake: Wake,
    stop: CancellationToken,
    served: Mutex<Served>,
}

/// The channels anybody serves, as Redis knew them a moment ago.
struct Served {
    channels: Arc<[ChannelId]>,
    asked_at: Option<Instant>,
}

impl Carrier {
    pub(super) fn new(store: Store, settings: WorkerSettings, wake: Wake, stop: CancellationToken) -> Self {
        let served = Mutex::new(Served { channels: Arc::default(), asked_at: None });
        Self { store, settings, wake, stop, served }
    }

    /// Carries entries of several partitions, some at a time; what came of each.
    pub(super) async fn carry_each(
        &self,
        read: Vec<(Partition, Result<Vec<Delivery>, StoreError>)>,
    ) -> Vec<(Partition, Result<usize, StoreError>)> {
        let carry = async |(partition, entries): (Partition, Result<Vec<Delivery>, StoreError>)| {
            let carried = match entries {
                Ok(entries) => self.carry(partition, &entries).await.map(|()| entries.len()),
                Err(fault) => Err(fault),
            };
            (partition, carried)
        };
        stream::iter(read).map(carry).buffer_unordered(CARRIED_AT_ONCE).collect().await
    }

    /// Marks what entries say, acknowledges them, and wakes who is to tell it.
    pub(super) async fn carry(&self, partition: Partition, entries: &[Delivery]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        // A read may have waited: others must have heard of a new channel when it begins to be told all stock.
        let channels = self.channels().await?;
        for entry in entries.iter().filter(|entry| entry.changes.is_none()) {
            self.store.quarantine(partition, entry.id).await?;
            counter!(telemetry::POISON_ENTRIES).increment(1);
            error!(
                partition = partition.0,
                entry = %entry.id,
                "an event entry does not parse and was set aside; its SKUs may be stale on channels: run verify, then channels resync"
            );
        }
        let marks = match self.store.fan_out(partition, &channels, entries).await {
            Err(StoreError::Refused { .. } | StoreError::Corrupt { .. }) if entries.len() > 1 => {
                self.carry_one_by_one(partition, &channels, entries).await?
            }
            marks => marks?,
        };
        let events: usize = entries.iter().filter_map(|entry| entry.changes.as_ref()).map(Vec::len).sum();
        counter!(telemetry::EVENTS_FANNED_OUT).increment(u64::try_from(events).unwrap_or(u64::MAX));
        if marks > 0 {
            self.wake.all_due_in(partition);
            // Those who would be woken here claim no more once they are told to stop.
            let is_theirs = |channel: &&ChannelId| self.stop.is_cancelled() || !self.wake.serves(channel);
            let others: Vec<ChannelId> = channels.iter().filter(is_theirs).cloned().collect();
            if let Err(fault) = self.store.ring_in(&others, partition).await {
                // What is marked is found without it, a little later.
                debug!(error = &fault as &dyn std::error::Error, "cannot ring for the other workers");
            }
        }
        Ok(())
    }

    /// The channels anybody serves.
    async fn channels(&self) -> Result<Arc<[ChannelId]>, StoreError> {
        let mut served = self.served.lock().await;
        let now = Instant::now();
        if served.asked_at.is_none_or(|at| now >= at + CHANNELS_REFRESH) {
            let channels = self.store.served_channels().await?.into();
            *served = Served { channels, asked_at: Some(now) };
        }
        Ok(Arc::clone(&served.channels))
    }

    /// After the script failed at a batch: carries what can be carried. The rest stays unacknowledged and is tried again.
    async fn carry_one_by_one(
        &self,
        partition: Partition,
        channels: &[ChannelId],
        entries: &[Delivery],
    ) -> Result<u64, StoreError> {
        let mut marks = 0;
        for entry in entries {
            match self.store.fan_out(partition, channels, std::slice::from_ref(entry)).await {
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
