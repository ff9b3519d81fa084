//! Waits for entries with a blocking read, and carries them as they come.

use std::{mem, pin::pin, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    domain::Partition,
    store::{Delivery, EventReader, StoreError},
};

use super::{
    super::{FAULT_PAUSE, outage::Outages, pause},
    Carrier,
};

/// How long one read waits for entries.
const READ_WAIT_MS: u64 = 5000;
/// A read that ends because its slot moved is no fault: so long until the next, at the new place.
const MOVED_PAUSE: Duration = Duration::from_millis(20);

/// Reads with one connection of its own.
pub(super) struct Follower {
    carrier: Arc<Carrier>,
    outages: Arc<Outages>,
    /// On a cluster one; without, all.
    partitions: Vec<Partition>,
    /// Whether it has come to reading since the last fault.
    is_reading: bool,
}

impl Follower {
    /// Of all partitions; not on a cluster.
    pub(super) fn of_all(carrier: Arc<Carrier>, outages: Arc<Outages>) -> Self {
        let partitions = carrier.store.partitions().all().collect();
        Self { carrier, outages, partitions, is_reading: false }
    }

    /// Of one partition.
    pub(super) fn of_one(carrier: Arc<Carrier>, outages: Arc<Outages>, partition: Partition) -> Self {
        Self { carrier, outages, partitions: vec![partition], is_reading: false }
    }

    /// Follows until told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let name = self.partitions[0];
        while let Err(fault) = self.carry_on(&stop).await {
            let wait = match (mem::take(&mut self.is_reading), &fault) {
                (true, StoreError::NotReady { .. }) => MOVED_PAUSE,
                _ => {
                    self.outages.is_felt(name, &fault);
                    FAULT_PAUSE
                }
            };
            if !pause(wait, &stop).await {
                break;
            }
        }
        self.outages.is_over(name);
    }

    /// Reads and carries until told to stop, or a fault. What was read is carried: only the wait for more is cut short.
    async fn carry_on(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let (store, settings) = (&self.carrier.store, &self.carrier.settings);
        // After a Redis that lost its data the group is made again, from the beginning of the stream.
        store.ensure_group_in(&self.partitions).await?;
        let mut reader = store.event_reader(&settings.consumer, &self.partitions).await?;
        // After a fault: what we had read before it, without waiting for it to be idle.
        for (partition, entries) in reader.unfinished(settings.fan_out_batch).await? {
            self.carrier.carry(partition, &entries).await?;
        }
        self.outages.is_over(self.partitions[0]);
        self.is_reading = true;
        while !stop.is_cancelled() {
            for (partition, entries) in self.read(&mut reader, stop).await? {
                self.carrier.carry(partition, &entries).await?;
            }
            // What comes meanwhile goes together: a fan_out costs as much per channel for one SKU as for ten.
            pause(settings.gather, stop).await;
        }
        Ok(())
    }

    async fn read(
        &self,
        reader: &mut EventReader,
        stop: &CancellationToken,
    ) -> Result<Vec<(Partition, Vec<Delivery>)>, StoreError> {
        let place = reader.place();
        let mut read = pin!(reader.next(self.carrier.settings.fan_out_batch, READ_WAIT_MS));
        tokio::select! {
            biased;
            found = &mut read => return found,
            () = stop.cancelled() => {}
        }
        if let Err(fault) = self.carrier.store.cut_short(&place).await {
            debug!(
                error = &fault as &dyn std::error::Error,
                "cannot cut a read short; it ends by itself soon"
            );
        }
        read.await
    }
}
