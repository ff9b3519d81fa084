//! When each call is due. Pure: no clock.
//!
//! Calls come at an even pace, so that two steps of a ramp differ by their rate and not by the dice. They are due on a grid of
//! half a millisecond: at 20,000/s ten at once, below 2,000/s each at its own moment. A finer grid would cost the processor
//! more than the calls do.

use std::time::Duration;

/// Moments at which calls may be due.
pub(super) const GRID: Duration = Duration::from_micros(500);

/// A stretch of time with one rate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) rate_per_s: f64,
    pub(super) length: Duration,
}

/// When a call is due, counted from the start of the first phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) after: Duration,
    /// The number of its phase.
    pub(super) phase: usize,
}

/// All calls of some phases, in the order in which they are due.
#[derive(Debug)]
pub(super) struct Dues<'a> {
    phases: &'a [Phase],
    phase: usize,
    phase_start: Duration,
    /// Calls of this phase so far.
    count: u64,
}

impl<'a> Dues<'a> {
    pub(super) fn new(phases: &'a [Phase]) -> Self {
        Self { phases, phase: 0, phase_start: Duration::ZERO, count: 0 }
    }
}

impl Iterator for Dues<'_> {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        loop {
            let phase = self.phases.get(self.phase)?;
            let even = Duration::from_secs_f64(self.count as f64 / phase.rate_per_s);
            if even < phase.length {
                self.count += 1;
                return Some(Due { after: self.phase_start + on_grid(even), phase: self.phase });
            }
            self.phase_start += phase.length;
            self.phase += 1;
            self.count = 0;
        }
    }
}

/// The next moment of the grid.
fn on_grid(moment: Duration) -> Duration {
    let beats = moment.as_nanos().div_ceil(GRID.as_nanos());
    // An hour has 7,200,000 beats.
    GRID * u32::try_from(beats).unwrap_or(u32::MAX)
}

/// All phases together.
pub(super) fn length(phases: &[Phase]) -> Duration {
    phases.iter().map(|phase| phase.length).sum()
}

/// One rate all the time.
pub(super) fn steady(rate_per_s: f64, length: Duration) -> Vec<Phase> {
    vec![Phase { name: "steady".to_owned(), rate_per_s, length }]
}

/// A quarter of the time the base rate, a quarter many times as much, and the base rate again.
pub(super) fn spike(rate_per_s: f64, factor: f64, length: Duration) -> Vec<Phase> {
    let quarter = length / 4;
    let phase = |name: &str, rate_per_s, length| Phase { name: name.to_owned(), rate_per_s, length };
    vec![
        phase("before", rate_per_s, quarter),
        phase("spike", rate_per_s * factor, quarter),
        phase("after", rate_per_s, length - 2 * quarter),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(phases: &[Phase]) -> Vec<Due> {
        Dues::new(phases).collect()
    }

    #[test]
    fn steady_is_even() {
        let dues = dues(&steady(4.0, Duration::from_secs(1)));
        let after_ms: Vec<_> = dues.iter().map(|due| due.after.as_millis()).collect();
        assert_eq!(after_ms, [0, 250, 500, 750]);
    }

    #[test]
    fn fast_rates_come_in_groups_and_none_is_lost() {
        let dues = dues(&steady(20_000.0, Duration::from_secs(2)));
        assert_eq!(dues.len(), 40_000);
        let first = dues.iter().filter(|due| due.after == GRID).count();
        assert_eq!(first, 10, "ten are due within half a millisecond");
        assert_eq!(dues.iter().filter(|due| due.after.is_zero()).count(), 1, "and none before its moment");
        assert!(dues.is_sorted_by_key(|due| due.after));
        assert!(dues.iter().all(|due| due.after <= Duration::from_secs(2)));
    }

    #[test]
    fn slow_rates_still_begin_at_once() {
        let dues = dues(&steady(0.5, Duration::from_secs(3)));
        assert_eq!(dues.iter().map(|due| due.after.as_secs()).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn spike_is_ten_times_for_a_quarter() {
        let phases = spike(100.0, 10.0, Duration::from_secs(8));
        assert_eq!(length(&phases), Duration::from_secs(8));
        let dues = dues(&phases);
        let count = |phase| dues.iter().filter(|due| due.phase == phase).count();
        assert_eq!([count(0), count(1), count(2)], [200, 2_000, 400]);
        let second = dues.iter().find(|due| due.phase == 1).expect("the spike has calls");
        assert_eq!(second.after, Duration::from_secs(2), "phases follow each other");
        assert!(dues.is_sorted_by_key(|due| due.after));
    }
}
