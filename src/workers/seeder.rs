//! Tells channels that are new about the stock that is there already, page by page, beside the live changes.

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::store::{Store, StoreError, WalkPosition};

use super::{FAULT_PAUSE, Wake, pause};

pub(super) async fn run(store: Store, wake: Wake, stop: CancellationToken) {
    while let Err(fault) = seed(&store, &wake, &stop).await {
        warn!(error = &fault as &dyn std::error::Error, "cannot tell new channels about all stock now");
        if !pause(FAULT_PAUSE, &stop).await {
            return;
        }
    }
}

async fn seed(store: &Store, wake: &Wake, stop: &CancellationToken) -> Result<(), StoreError> {
    for channel in store.unseeded_channels().await? {
        info!(channel = channel.as_str(), "a new channel is told about all stock");
        let mut at = Some(WalkPosition::default());
        while let Some(position) = at {
            if stop.is_cancelled() {
                return Ok(());
            }
            at = store.seed_channel(&channel, position).await?;
            wake.all();
        }
    }
    Ok(())
}
