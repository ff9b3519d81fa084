//! The audit trail: each decision as it was made. A decision is not held up for long when it cannot be written.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use metrics::{Counter, counter};
use tokio::time::{Instant, timeout_at};

use crate::{
    store::{CarrierEntry, Store},
    telemetry,
};

/// No decision waits longer for its entry.
const WRITE_MAX: Duration = Duration::from_millis(500);

/// Where decisions are written down.
pub(super) struct Trail {
    store: Store,
    entries_max: u64,
    /// Whether the last entry could not be written.
    is_out: AtomicBool,
    lost: Counter,
}

impl Trail {
    pub(super) fn new(store: Store, entries_max: u64) -> Self {
        Self {
            store,
            entries_max,
            is_out: AtomicBool::new(false),
            lost: counter!(telemetry::CARRIER_AUDIT_LOST),
        }
    }

    /// Writes an entry, and says its id; empty when nobody can tell by then whether it is written.
    pub(super) async fn write(&self, entry: &CarrierEntry, by: Instant) -> String {
        let by = by.min(Instant::now() + WRITE_MAX);
        let fault = match timeout_at(by, self.store.append_carrier_event(entry, self.entries_max)).await {
            Ok(Ok(id)) => {
                if self.is_out.swap(false, Ordering::Relaxed) {
                    tracing::info!("decisions on carriers are written down again");
                }
                return id.to_string();
            }
            Ok(Err(fault)) => Some(fault),
            Err(_) => None,
        };
        self.lost.increment(1);
        if !self.is_out.swap(true, Ordering::Relaxed) {
            // Once for each outage.
            let error = fault.as_ref().map(|fault| fault as &(dyn std::error::Error + 'static));
            tracing::error!(error, "decisions on carriers are made and cannot be written down");
        }
        String::new()
    }
}
