//! How long a hold shall live.

use std::time::Duration;

use crate::domain::Ttl;

use super::violations::Violations;

const NANOS_PER_SECOND: i32 = 1_000_000_000;
const NANOS_PER_MS: i32 = 1_000_000;

/// The bounds of the contract that are settings.
#[derive(Debug, Clone, Copy)]
pub struct ContractLimits {
    /// How long a hold lives when the request does not say.
    pub ttl_default: Duration,
    /// How long a hold may live at most.
    pub ttl_max: Duration,
}

/// Reads a time to live; left out, the default.
pub(super) fn ttl(
    bad: &mut Violations,
    given: Option<prost_types::Duration>,
    limits: &ContractLimits,
) -> Option<Ttl> {
    let ttl_ms = match given {
        None => i64::try_from(limits.ttl_default.as_millis()).unwrap_or(i64::MAX),
        Some(duration) => bad.take("ttl", whole_ms(duration))?,
    };
    bad.take("ttl", Ttl::parse(ttl_ms, limits.ttl_max))
}

pub(super) fn whole_ms(duration: prost_types::Duration) -> Result<i64, &'static str> {
    let prost_types::Duration { seconds, nanos } = duration;
    if nanos <= -NANOS_PER_SECOND || nanos >= NANOS_PER_SECOND {
        return Err("must have nanos within one second: carry the rest into seconds");
    }
    if (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0) {
        return Err("must have seconds and nanos of one sign");
    }
    if nanos % NANOS_PER_MS != 0 {
        return Err("must be whole milliseconds: round it up");
    }
    // Too many seconds for a number of ms are too many for any limit as well.
    Ok(seconds.saturating_mul(1_000).saturating_add(i64::from(nanos / NANOS_PER_MS)))
}
