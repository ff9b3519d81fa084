//! Says once that something cannot be done and once that it can again; a fault that lasts is not news four times a second.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use tracing::{debug, info, warn};

use crate::{domain::Partition, store::StoreError};

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

/// One that several feel, each for a partition: said once when it begins for the first, and once when it is over for the last.
pub(super) struct Outages(Mutex<(Outage, BTreeSet<Partition>)>);

impl Outages {
    pub(super) fn of(work: &'static str) -> Self {
        Self(Mutex::new((Outage::of(work, None), BTreeSet::new())))
    }

    pub(super) fn is_felt(&self, partition: Partition, fault: &StoreError) {
        let mut felt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        felt.1.insert(partition);
        felt.0.is_felt(fault);
    }

    pub(super) fn is_over(&self, partition: Partition) {
        let mut felt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if felt.1.remove(&partition) && felt.1.is_empty() {
            felt.0.is_over();
        }
    }
}
