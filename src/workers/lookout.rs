//! Looks, now and then and all at once, for what nobody woke us for: a worker died with leases, or between a mark and
//! its own look.

use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::store::Store;

use super::{Wake, WorkerSettings, pause};

pub(super) async fn run(store: Store, settings: WorkerSettings, wake: Wake, stop: CancellationToken) {
    while pause(settings.poll_interval, &stop).await {
        match store.work().await {
            Ok(places) => places.iter().for_each(|(channel, partition)| wake.due_in(channel, *partition)),
            // Readiness tells of it already.
            Err(fault) => debug!(error = &fault as &dyn std::error::Error, "cannot look for work now"),
        }
    }
}
