//! Measures how far behind channels are, and warns about one that lags. Counts come from Redis, so every worker shows the
//! same numbers.

use metrics::gauge;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    store::{Store, StoreError},
    telemetry,
};

use super::{WorkerSettings, pause};

pub(super) async fn run(store: Store, settings: WorkerSettings, stop: CancellationToken) {
    while pause(settings.poll_interval, &stop).await {
        if let Err(fault) = measure(&store, &settings).await {
            // Readiness tells of it already.
            debug!(error = &fault as &dyn std::error::Error, "cannot measure channels now");
        }
    }
}

async fn measure(store: &Store, settings: &WorkerSettings) -> Result<(), StoreError> {
    let now_ms = store.now_ms().await?;
    for channel in store.channels() {
        let counts = store.channel_counts(channel).await?;
        let lag_ms = counts.oldest_unconfirmed_ms.map_or(0, |oldest| (now_ms - oldest).max(0));
        let label = channel.as_str().to_owned();
        // All of these are far below 2^53.
        gauge!(telemetry::OLDEST_UNCONFIRMED_SECONDS, "channel" => label.clone()).set(lag_ms as f64 / 1000.0);
        gauge!(telemetry::DUE, "channel" => label.clone()).set(counts.due as f64);
        gauge!(telemetry::LEASED, "channel" => label).set(counts.leased as f64);
        if u128::try_from(lag_ms).unwrap_or(0) > settings.lag_critical.as_millis() {
            warn!(
                channel = channel.as_str(),
                lag_ms,
                due = counts.due,
                retrying = counts.retrying,
                "a channel is behind: its shoppers may buy what is gone"
            );
        }
    }
    Ok(())
}
