//! Ends overdue holds soon after their time, so that their events are not late, and drops records and ended holds whose
//! window is over. Sales never wait for it: a script that would refuse ends overdue holds itself.

use futures_util::stream::{self, StreamExt as _};
use metrics::counter;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::Partition,
    store::{AtomicDomain, DroppedWindows, Store, StoreError},
    telemetry,
};

use super::{WorkerSettings, outage::Outage, pause};

/// Partitions of a cluster swept at once.
const SIDE_BY_SIDE: usize = 32;

pub(super) async fn run(store: Store, settings: WorkerSettings, stop: CancellationToken) {
    let mut dropped = DroppedWindows::default();
    let mut outage = Outage::of("end overdue holds and drop old records", None);
    while pause(settings.sweep_interval, &stop).await {
        let swept = sweep(&store, &settings, &stop).await;
        match swept.and(store.drop_old_windows(&mut dropped).await) {
            Ok(()) => outage.is_over(),
            Err(fault) => outage.is_felt(&fault),
        }
    }
}

/// Sweeps every partition with something overdue, also after one that cannot be; then returns the first fault.
async fn sweep(store: &Store, settings: &WorkerSettings, stop: &CancellationToken) -> Result<(), StoreError> {
    let (at_once, is_one_server) = match store.atomic_domain() {
        AtomicDomain::Node => (1, true),
        // A server that is away keeps no other waiting.
        AtomicDomain::Partition => (SIDE_BY_SIDE, false),
    };
    let (overdue, fault) = store.overdue().await;
    let sweeps = overdue.into_iter().map(|partition| sweep_partition(store, partition, settings, stop));
    let mut sweeps = stream::iter(sweeps).buffer_unordered(at_once);
    let mut swept = fault.map_or(Ok(()), Err);
    while let Some(one) = sweeps.next().await {
        match one {
            // Without Redis each of the others would be waited for in vain.
            Err(fault @ (StoreError::Unavailable { .. } | StoreError::NoAnswer { .. })) if is_one_server => {
                return Err(fault);
            }
            one => swept = swept.and(one),
        }
    }
    swept
}

async fn sweep_partition(
    store: &Store,
    partition: Partition,
    settings: &WorkerSettings,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let (mut more, mut unasked, mut fault) = (true, 0, None);
    while more && !stop.is_cancelled() {
        let swept = store.sweep_past(partition, settings.sweep_batch, unasked).await?;
        counter!(telemetry::HOLDS_EXPIRED).increment(u64::from(swept.ended));
        more = swept.more;
        unasked += swept.unasked;
        fault = fault.or(swept.fault);
    }
    fault.map_or(Ok(()), Err)
}
