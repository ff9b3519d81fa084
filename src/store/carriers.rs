//! What is kept of carriers: deliveries as they were measured, records of what was counted, quotes for a moment, the audit trail.
//! All of it belongs to no partition; its keys share one hash tag of their own. Only `lua/record.lua` writes what was measured.

mod audit;
mod deliveries;
mod listing;
mod quotes;
mod record;

use std::time::Duration;

pub use audit::{CarrierEntry, CarrierEventKind, CarrierEventPage, KeptCarrierEvent};
pub use deliveries::CarrierEvidence;
pub use listing::{DeliveriesPage, DeliveriesPosition, DeliveriesRow};
pub use record::{DeliveryOutcome, DeliveryToRecord, RecordedDelivery};

/// How soon what is known of carriers is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgettingTerms {
    /// A delivery counts half after so long. 1 ms and up.
    pub half_life: Duration,
    /// A delivery may be recorded again, and counts once, for so long at least. 1 ms and up.
    pub record_retention: Duration,
    /// Entries the audit trail keeps, or a few more; the oldest go. 1 and up.
    pub audit_max: u64,
}

impl ForgettingTerms {
    fn half_life_ms(&self) -> i64 {
        whole_ms(self.half_life)
    }
}

/// 1 and up, and few enough to be printed whole by Lua once it is added to a time.
fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).clamp(1, 10_000_000_000_000)
}
