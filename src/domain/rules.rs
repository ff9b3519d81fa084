//! The rules one channel is told by.

use std::time::Duration;

use super::PublishPolicy;

/// What a channel shows, and how long it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ChannelRules {
    /// How much of the stock it shows.
    pub policy: PublishPolicy,
    /// When a SKU becomes a dead letter.
    pub patience: Patience,
}

/// How long a channel is tried with one SKU before that becomes a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Failures.
    pub attempts_max: u32,
    /// From the first attempt to a failure.
    pub age_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts_max: 20, age_max: Duration::from_secs(24 * 3600) }
    }
}

impl Patience {
    /// The age in ms.
    pub fn age_max_ms(&self) -> u64 {
        u64::try_from(self.age_max.as_millis()).unwrap_or(u64::MAX)
    }
}
