//! Reads partitions that have no connection of their own: all of one server at once, without waiting, again and again.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::domain::Partition;

use super::{
    super::{FAULT_PAUSE, outage::Outages, pause},
    Carrier,
};

/// Between two reads.
const PAUSE: Duration = Duration::from_millis(20);
/// No less than so long for each partition: 5,000 commands a second at most, however many there are.
const PAUSE_EACH: Duration = Duration::from_micros(200);

/// Reads these partitions, which are on the same server, until told to stop. A group that is lost is made again by the patrol.
pub(super) async fn read(
    carrier: Arc<Carrier>,
    outages: Arc<Outages>,
    partitions: Vec<Partition>,
    stop: CancellationToken,
) {
    let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
    let mut wait = PAUSE.max(PAUSE_EACH * count);
    while pause(wait, &stop).await {
        wait = PAUSE.max(PAUSE_EACH * count);
        let settings = &carrier.settings;
        let read = carrier.store.read_each(&settings.consumer, &partitions, settings.fan_out_batch).await;
        for (partition, carried) in carrier.carry_each(read).await {
            match carried {
                Ok(_) => outages.is_over(partition),
                Err(fault) => {
                    outages.is_felt(partition, &fault);
                    wait = wait.max(FAULT_PAUSE);
                }
            }
        }
    }
    partitions.iter().for_each(|partition| outages.is_over(*partition));
}
