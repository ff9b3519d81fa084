//! How long a spike is felt after it is over. Pure.

use std::time::Duration;

use serde::Serialize;

use super::{quantiles::show_us, schedule::Phase, tally::Tally};

/// Back means: at most this many times the p99 before the spike.
const BACK_FACTOR: u64 = 2;
/// Or this much more, where p99 is so small that its double is noise.
const BACK_SLACK_US: u64 = 1_000;

/// What the spike did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Spike {
    pub(super) p99_before_us: u64,
    /// At or under this it is back.
    pub(super) p99_back_us: u64,
    /// Seconds after the spike's end from which calls were answered as before; None when they never were.
    pub(super) recovered_after_s: Option<f64>,
}

/// Reads the timeline of a run of three phases: before, spike, after.
pub(super) fn read(tally: &Tally, phases: &[Phase]) -> Option<Spike> {
    let [before, spike, _] = phases else { return None };
    let p99_before_us = tally.phases.first()?.latency.at(0.99);
    let p99_back_us = (p99_before_us * BACK_FACTOR).max(p99_before_us + BACK_SLACK_US);
    let end = before.length + spike.length;
    let first = usize::try_from(end.as_micros().div_ceil(tally.slice_length.as_micros())).ok()?;
    // A slice without calls says nothing.
    let after = tally.slices.iter().enumerate().skip(first).filter(|(_, slice)| !slice.latency.is_empty());
    let after: Vec<_> =
        after.map(|(number, slice)| (number, slice.latency.at(0.99) <= p99_back_us)).collect();
    // Two in a row: one could be a lull.
    let back = after.windows(2).find(|pair| pair.iter().all(|(_, is_back)| *is_back)).map(|pair| pair[0].0);
    let since_end = |number: usize| {
        let start = tally.slice_length * u32::try_from(number).unwrap_or(u32::MAX);
        start.saturating_sub(end)
    };
    // Back within the first slice is back at once, as far as can be told.
    let recovered_after_s =
        back.map(|number| if number == first { Duration::ZERO } else { since_end(number) });
    Some(Spike {
        p99_before_us,
        p99_back_us,
        recovered_after_s: recovered_after_s.map(|after| after.as_secs_f64()),
    })
}

impl Spike {
    /// What it did, in a sentence.
    pub(super) fn text(&self) -> String {
        let (before, back) = (show_us(self.p99_before_us), show_us(self.p99_back_us));
        match self.recovered_after_s {
            Some(0.0) => {
                format!("p99 was back as soon as the spike was over (under {back}; before it {before})")
            }
            Some(after_s) => {
                format!("p99 was back {after_s:.1} s after the spike (under {back}; before it {before})")
            }
            None => format!("p99 did not come back (under {back}; before it {before})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{call::Outcome, schedule, tally::Took},
        *,
    };

    /// A run of eight seconds whose calls take `latency_us(second)`.
    fn run(latency_us: fn(u64) -> u64) -> Option<Spike> {
        let phases = schedule::spike(10.0, 10.0, Duration::from_secs(8));
        let mut tally = Tally::new(Duration::from_secs(8));
        tally.begin(&phases);
        let outcome = Outcome::Failed(super::super::call::Fault {
            name: String::new(),
            message: String::new(),
            is_unknown: false,
        });
        for tenth in 0..80 {
            let due = Duration::from_millis(tenth * 100);
            let latency = Duration::from_micros(latency_us(tenth / 10));
            let phase = usize::from(tenth >= 20) + usize::from(tenth >= 40);
            tally.landed(phase, due, Took { latency, service: latency }, &outcome);
        }
        read(&tally, &phases)
    }

    #[test]
    fn recovery_is_counted_from_the_end_of_the_spike() {
        let recovered = |latency_us| run(latency_us).expect("three phases").recovered_after_s;
        assert_eq!(recovered(|_| 9_000), Some(0.0));
        assert_eq!(recovered(|second| if (2..4).contains(&second) { 500_000 } else { 9_000 }), Some(0.0));
        assert_eq!(recovered(|second| if (2..6).contains(&second) { 500_000 } else { 9_000 }), Some(2.0));
        assert_eq!(recovered(|second| if second >= 2 { 500_000 } else { 9_000 }), None);
    }

    #[test]
    fn small_latencies_may_double_and_more() {
        let spike = run(|second| if second < 2 { 0 } else { 900 }).expect("three phases");
        assert_eq!((spike.p99_before_us, spike.p99_back_us), (0, BACK_SLACK_US));
        assert!(spike.text().contains("as soon as"), "{}", spike.text());
    }
}
