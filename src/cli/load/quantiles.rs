//! Latencies in microseconds, and the few numbers people read of them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The slowest call that is told apart from slower ones: an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Latencies, to three digits.
#[derive(Debug, Clone)]
pub(super) struct Latencies(Histogram<u64>);

/// Percentiles, in microseconds; all 0 when nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::with_digits(3)
    }
}

impl Latencies {
    /// For the many slices of a timeline, which are drawn and not printed.
    pub(super) fn coarse() -> Self {
        Self::with_digits(2)
    }

    fn with_digits(digits: u8) -> Self {
        Self(Histogram::new_with_max(LATENCY_US_MAX, digits).expect("an hour in two or three digits fits"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.record_many(latency, 1);
    }

    /// The same latency so many times.
    pub(super) fn record_many(&mut self, latency: Duration, count: u64) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_US_MAX);
        self.0.saturating_record_n(us, count);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same range");
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Microseconds below which this share of the calls stayed.
    pub(super) fn at(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// The slowest of the fastest share, for shares ever nearer to 1: (nines of the share, microseconds). One nine is 90 %.
    pub(super) fn curve(&self, nines_max: f64) -> Vec<(f64, f64)> {
        const STEPS_PER_NINE: u32 = 20;
        if self.0.is_empty() {
            return Vec::new();
        }
        (0..)
            .map(|step: u32| f64::from(step) / f64::from(STEPS_PER_NINE))
            .take_while(|nines| *nines <= nines_max)
            .map(|nines| (nines, self.at(1.0 - 10_f64.powf(-nines)) as f64))
            .collect()
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        let at = |share| self.at(share);
        Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: self.0.max() }
    }
}

/// Microseconds as people read them: three digits.
pub(super) fn show_us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..10_000 => format!("{:.2} ms", us as f64 / 1e3),
        10_000..100_000 => format!("{:.1} ms", us as f64 / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_calls() {
        let mut latencies = Latencies::default();
        (1..=1_000).for_each(|us| latencies.record(Duration::from_micros(us)));
        let expected = Quantiles { p50: 500, p90: 900, p99: 990, p999: 999, max: 1_000 };
        assert_eq!(latencies.quantiles(), expected);
        let mut both = Latencies::default();
        both.add(&latencies);
        both.record(Duration::from_secs(7_200));
        assert_eq!(both.count(), 1_001);
        assert!(both.quantiles().max >= LATENCY_US_MAX, "beyond the hour it is an hour");
        assert_eq!(Latencies::default().quantiles(), Quantiles::default());
    }

    #[test]
    fn curve_goes_by_nines() {
        let mut latencies = Latencies::default();
        (1..=1_000).for_each(|us| latencies.record(Duration::from_micros(us)));
        let curve = latencies.curve(3.0);
        assert_eq!(
            (curve.len(), curve[20], curve[40], curve[60]),
            (61, (1.0, 900.0), (2.0, 990.0), (3.0, 999.0))
        );
        assert!(Latencies::default().curve(3.0).is_empty());
    }

    #[test]
    fn microseconds_are_readable() {
        let shown = [7, 1_234, 23_456, 234_567, 2_345_678].map(show_us);
        assert_eq!(shown, ["7 us", "1.23 ms", "23.5 ms", "235 ms", "2.35 s"]);
    }
}
