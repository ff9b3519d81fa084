//! Ends overdue holds soon after their time, so that their events are not late, and drops records and ended holds whose
//! window is over. Sales never wait for it: a script that would refuse ends overdue holds itself.

use metrics::counter;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::Partition,
    store::{Store, StoreError},
    telemetry,
};

use super::{WorkerSettings, outage::Outage, pause};

pub(super) async fn run(store: Store, settings: WorkerSettings, stop: CancellationToken) {
    let mut windows_dropped_to = None;
    let mut outage = Outage::of("end overdue holds and drop old records", None);
    while pause(settings.sweep_interval, &stop).await {
        let swept = sweep(&store, &settings, &stop).await;
        let dropped = store.drop_old_windows(windows_dropped_to).await;
        match swept.and(dropped) {
            Ok(dropped_to) => {
                windows_dropped_to = Some(dropped_to);
                outage.is_over();
            }
            Err(fault) => outage.is_felt(&fault),
        }
    }
}

/// Sweeps every partition, also after one that cannot be; then returns the first fault.
async fn sweep(store: &Store, settings: &WorkerSettings, stop: &CancellationToken) -> Result<(), StoreError> {
    let now_ms = store.now_ms().await?;
    let mut swept = Ok(());
    for partition in store.partitions().all() {
        match sweep_partition(store, partition, now_ms, settings, stop).await {
            // Without Redis each of the others would be waited for in vain.
            Err(fault @ (StoreError::Unavailable { .. } | StoreError::NoAnswer { .. })) => return Err(fault),
            one => swept = swept.and(one),
        }
    }
    swept
}

async fn sweep_partition(
    store: &Store,
    partition: Partition,
    now_ms: i64,
    settings: &WorkerSettings,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut more = store.first_deadline_ms(partition).await?.is_some_and(|first| first <= now_ms);
    while more && !stop.is_cancelled() {
        let swept = store.sweep(partition, settings.sweep_batch).await?;
        counter!(telemetry::HOLDS_EXPIRED).increment(u64::from(swept.ended));
        more = swept.more;
    }
    Ok(())
}
