//! How many there are: quantities within bounds, and the count of one SKU.

use std::time::Duration;

/// The largest quantity of one line: 1,000,000,000 units.
pub const QUANTITY_MAX: i64 = 1_000_000_000;

/// Why a number of units was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {min} to {QUANTITY_MAX}, is {given}")]
pub struct QuantityProblem {
    /// The smallest number allowed here.
    pub min: i64,
    /// The number given.
    pub given: i64,
}

/// A number of units: 1 to 1,000,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(i64);

impl Quantity {
    /// Accepts 1 to 1,000,000,000.
    pub fn parse(units: i64) -> Result<Self, QuantityProblem> {
        if (1..=QUANTITY_MAX).contains(&units) {
            Ok(Self(units))
        } else {
            Err(QuantityProblem { min: 1, given: units })
        }
    }

    /// The number.
    pub fn units(self) -> i64 {
        self.0
    }
}

/// The count of one SKU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    /// Units that physically exist.
    pub on_hand: i64,
    /// Units promised to live holds.
    pub held: i64,
    /// Rises by one with every mutation.
    pub version: i64,
    /// When the last mutation happened, in ms of the Redis clock.
    pub updated_ms: i64,
}

impl Level {
    /// On hand minus held; negative when oversold after a stock-take.
    pub fn available(&self) -> i64 {
        self.on_hand - self.held
    }
}

/// What must be true before a count is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetCondition {
    /// The SKU is at this version; 0: it does not exist.
    Version(i64),
    /// Nothing.
    Force,
}

/// Why a time to live was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 ms to {max_ms} ms")]
pub struct TtlProblem {
    /// The longest allowed.
    pub max_ms: i64,
}

/// How long a hold lives: at least 1 ms, at most what the settings allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(i64);

impl Ttl {
    /// Accepts whole milliseconds from 1 to `max`.
    pub fn parse(ttl_ms: i64, max: Duration) -> Result<Self, TtlProblem> {
        let max_ms = i64::try_from(max.as_millis()).unwrap_or(i64::MAX);
        if (1..=max_ms).contains(&ttl_ms) { Ok(Self(ttl_ms)) } else { Err(TtlProblem { max_ms }) }
    }

    /// Milliseconds.
    pub fn ms(self) -> i64 {
        self.0
    }
}
