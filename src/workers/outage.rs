//! Says once that something cannot be done and once that it can again; a fault that lasts is not news four times a second.

use tracing::{debug, info, warn};

use crate::store::StoreError;

/// Whether a worker can do its work.
pub(super) struct Outage {
    /// The work, as in "cannot …".
    work: &'static str,
    channel: Option<String>,
    is_on: bool,
}

impl Outage {
    pub(super) fn of(work: &'static str, channel: Option<&str>) -> Self {
        Self { work, channel: channel.map(str::to_owned), is_on: false }
    }

    pub(super) fn is_felt(&mut self, fault: &StoreError) {
        let (work, channel, error) = (self.work, self.channel.as_deref(), fault as &dyn std::error::Error);
        if self.is_on {
            debug!(channel, error, "still cannot {work}");
        } else {
            warn!(channel, error, "cannot {work} now; it is tried until it goes");
        }
        self.is_on = true;
    }

    pub(super) fn is_over(&mut self) {
        if std::mem::take(&mut self.is_on) {
            info!(channel = self.channel.as_deref(), "can {} again", self.work);
        }
    }
}
