//! Ends overdue holds soon after their time, so that their events are not late, and drops records and ended holds whose
//! window is over. Sales never wait for it: a script that would refuse ends overdue holds itself.

use metrics::counter;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    store::{Store, StoreError},
    telemetry,
};

use super::{WorkerSettings, pause};

pub(super) async fn run(store: Store, settings: WorkerSettings, stop: CancellationToken) {
    let mut windows_dropped_to = None;
    while pause(settings.sweep_interval, &stop).await {
        let round = async {
            sweep(&store, &settings, &stop).await?;
            windows_dropped_to = Some(store.drop_old_windows(windows_dropped_to).await?);
            Ok::<(), StoreError>(())
        };
        if let Err(fault) = round.await {
            warn!(error = &fault as &dyn std::error::Error, "cannot end overdue holds now");
        }
    }
}

async fn sweep(store: &Store, settings: &WorkerSettings, stop: &CancellationToken) -> Result<(), StoreError> {
    let now_ms = store.now_ms().await?;
    for partition in store.partitions().all() {
        let mut more = store.first_deadline_ms(partition).await?.is_some_and(|first| first <= now_ms);
        while more && !stop.is_cancelled() {
            let swept = store.sweep(partition, settings.sweep_batch).await?;
            counter!(telemetry::HOLDS_EXPIRED).increment(u64::from(swept.ended));
            more = swept.more;
        }
    }
    Ok(())
}
