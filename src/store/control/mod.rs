//! What steers the calls to one channel, for all workers together: operator's pause, breaker, the channel's own "leave me alone",
//! rate. It stands in one hash, which only `lua/permit.lua`, `lua/report.lua` and the operator's hand write. Calls to a source of
//! prices are steered by the same scripts, for all gateways together; nobody pauses one.

mod hand;
mod permit;
mod report;
mod source;

use std::time::Duration;

use crate::domain::ChannelTerms;

pub use hand::{ChannelControl, ChannelPause};
pub use permit::{Permit, Shut};
pub use report::{Report, Reported};

/// Tokens are millionths of a call, as in `lua/include/bucket.lua`.
const TOKENS_PER_CALL: i64 = 1_000_000;
/// Three years: longer waits are no numbers Lua prints whole once they are added to a time.
const WAIT_MS_MAX: u64 = 100_000_000_000;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(WAIT_MS_MAX)
}

/// Of small shares and factors, so that it fits.
fn permille(share: f64) -> u64 {
    (share.max(0.0) * 1000.0).round() as u64
}

/// Millionths of a call per ms, so that the slowest rate is ten of them; 0 without a rate.
fn tokens_per_ms(terms: &ChannelTerms) -> u64 {
    let per_ms = |per_second: f64| per_second * TOKENS_PER_CALL as f64 / 1000.0;
    terms.rate.per_second.map_or(0, |per_second| (per_ms(per_second).round() as u64).max(1))
}
