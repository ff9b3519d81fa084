//! How long a spike is felt after it is over. Pure.

use std::time::Duration;

use serde::Serialize;

use super::{
    quantiles::show_us,
    schedule::Phase,
    tally::{Slice, Tally},
};

/// Back means: at most this many times the p99 before the spike.
const BACK_FACTOR: u64 = 2;
/// Or this much more, where p99 is so small that its double is noise.
const BACK_SLACK_US: u64 = 1_000;

/// And at most this share of the calls fails or is never sent: an error is fast.
const LOST_SHARE_MAX: f64 = 0.001;

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
    let is_back = |slice: &Slice| {
        let lost = slice.counts.failed + slice.counts.unsent;
        slice.latency.at(0.99) <= p99_back_us && lost as f64 <= slice.counts.due as f64 * LOST_SHARE_MAX
    };
    let after: Vec<_> = after.map(|(number, slice)| (number, is_back(slice))).collect();
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
        let limits = format!("p99 under {back}, before it {before}; at most 0.1 % failed or never sent");
        match self.recovered_after_s {
            Some(0.0) => format!("calls were answered as before as soon as the spike was over ({limits})"),
            Some(after_s) => {
                format!("calls were answered as before {after_s:.1} s after the spike ({limits})")
            }
            None => format!("calls were never again answered as before the spike ({limits})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            call::{Fault, Outcome, Reply},
            schedule,
            tally::Took,
        },
        *,
    };
    use crate::proto::DecrementResponse;

    /// A run of eight seconds whose calls take `latency_us(second)`.
    fn run(latency_us: fn(u64) -> u64) -> Option<Spike> {
        run_with(latency_us, |_, _, _, _| ())
    }

    /// The same; `spoil` is told phase and moment of each tenth of a second.
    fn run_with(latency_us: fn(u64) -> u64, spoil: fn(&mut Tally, usize, Duration, Took)) -> Option<Spike> {
        let phases = schedule::spike(10.0, 10.0, Duration::from_secs(8));
        let mut tally = Tally::new(Duration::from_secs(8));
        tally.begin(&phases);
        let done = Outcome::Done(Reply::Decrement(DecrementResponse::default()));
        for tenth in 0..80 {
            let due = Duration::from_millis(tenth * 100);
            let latency = Duration::from_micros(latency_us(tenth / 10));
            let phase = usize::from(tenth >= 20) + usize::from(tenth >= 40);
            let took = Took { latency, service: latency };
            tally.sent(phase, due, Duration::ZERO);
            tally.landed(phase, due, took, &done);
            spoil(&mut tally, phase, due, took);
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
    fn fast_failures_and_calls_that_are_never_sent_are_no_recovery() {
        let failing = run_with(
            |_| 9_000,
            |tally, phase, due, took| {
                if (2..5).contains(&due.as_secs()) {
                    let (name, message) = (String::new(), String::new());
                    tally.sent(phase, due, Duration::ZERO);
                    let fault = Fault { name, message, is_unknown: false };
                    tally.landed(phase, due, took, &Outcome::Failed(fault));
                }
            },
        );
        assert_eq!(failing.expect("three phases").recovered_after_s, Some(1.0));
        let unsent = run_with(
            |_| 9_000,
            |tally, phase, due, took| {
                if due.as_secs() >= 2 {
                    tally.unsent(phase, due, took.latency, 1);
                }
            },
        )
        .expect("three phases");
        assert_eq!(unsent.recovered_after_s, None);
        assert!(unsent.text().contains("0.1 %"), "{}", unsent.text());
    }

    #[test]
    fn small_latencies_may_double_and_more() {
        let spike = run(|second| if second < 2 { 0 } else { 900 }).expect("three phases");
        assert_eq!((spike.p99_before_us, spike.p99_back_us), (0, BACK_SLACK_US));
        assert!(spike.text().contains("as soon as"), "{}", spike.text());
    }
}
