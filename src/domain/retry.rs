//! When to try again: min(first × 2^n, cap) per failure, with jitter.

use std::time::Duration;

/// The waits between attempts of one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Wait after the first failure.
    pub first: Duration,
    /// No wait is longer, before jitter.
    pub cap: Duration,
    /// Each wait is moved by up to this share in either direction: 0 to 1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), cap: Duration::from_secs(30), jitter: 0.2 }
    }
}

impl Backoff {
    /// The wait after the `failures`-th failure in a row (from 1). `dice` is uniform in 0..1; 0.5 means no jitter.
    pub fn delay(&self, failures: u32, dice: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let plain = self.first.saturating_mul(1_u32 << doublings).min(self.cap);
        plain.mul_f64((1.0 + self.jitter * (2.0 * dice - 1.0)).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_and_jitters_within_its_share() {
        let backoff = Backoff::default();
        let plain: Vec<u64> = (1..=7).map(|n| backoff.delay(n, 0.5).as_secs()).collect();
        assert_eq!(plain, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.delay(u32::MAX, 0.5), backoff.cap);
        assert_eq!(backoff.delay(1, 0.0), Duration::from_millis(800));
        assert_eq!(backoff.delay(1, 1.0), Duration::from_millis(1200));
    }
}
