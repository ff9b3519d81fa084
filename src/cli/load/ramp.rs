//! Finds the highest rate that holds: up step by step, then closing in. Pure: told how each step went, it names the next.

use std::time::Duration;

use serde::Serialize;

use super::{quantiles::show_us, tally::PhaseTally, text::show_rate};

/// Each step up is this much faster than the last good one.
const STEP_UP: f64 = 1.25;
/// While no rate was good, each step is this much slower.
const STEP_DOWN: f64 = 0.5;
/// Close enough: the rate that breaks is at most this much faster than the one that holds.
const CLOSE: f64 = 1.05;
/// Steps of one ramp at most.
const STEPS_MAX: u32 = 64;
/// More failed calls than this break the limit.
const FAILED_SHARE_MAX: f64 = 0.001;
/// More calls than this that were never sent break it too.
const UNSENT_SHARE_MAX: f64 = 0.01;

/// Why a step did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Broken {
    /// Too many calls got no decision.
    Failing,
    /// Too many calls were never sent: as many as allowed were under way.
    Behind,
    /// p99 was over the limit.
    Slow,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Step {
    pub(super) asked_per_s: f64,
    pub(super) answered_per_s: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) broken: Option<Broken>,
}

/// What a ramp found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Ramp {
    pub(super) p99_limit_us: u64,
    pub(super) last_good: Option<Step>,
    /// The slowest rate that did not hold.
    pub(super) first_bad: Option<Step>,
    /// In the order in which they were tried.
    pub(super) steps: Vec<Step>,
}

/// The search.
#[derive(Debug)]
pub(super) struct Search {
    rate: f64,
    good: Option<f64>,
    bad: Option<f64>,
    /// The rate broke once: it is tried again, since a machine has hiccups of its own.
    is_in_doubt: bool,
    steps: u32,
}

impl Search {
    /// Begins at a rate, in calls per second.
    pub(super) fn new(first_rate: f64) -> Self {
        Self { rate: first_rate, good: None, bad: None, is_in_doubt: false, steps: 0 }
    }

    /// The rate to try next; None when the answer is known.
    pub(super) fn next_rate(&self) -> Option<f64> {
        let is_close = self.good.zip(self.bad).is_some_and(|(good, bad)| bad <= good * CLOSE);
        (!is_close && self.steps < STEPS_MAX).then_some(self.rate)
    }

    /// How the step at that rate went.
    pub(super) fn note(&mut self, broken: Option<Broken>) {
        self.steps += 1;
        if broken.is_some() && !self.is_in_doubt {
            self.is_in_doubt = true;
            return;
        }
        self.is_in_doubt = false;
        if broken.is_some() {
            self.bad = Some(self.rate)
        } else {
            self.good = Some(self.rate)
        }
        self.rate = match (self.good, self.bad) {
            (Some(good), Some(bad)) => (good * bad).sqrt(),
            (Some(good), None) => good * STEP_UP,
            (None, _) => self.rate * STEP_DOWN,
        };
    }
}

/// Whether a step held.
pub(super) fn judge(step: &PhaseTally, p99_limit: Duration) -> Step {
    let counts = step.counts;
    let share = |count: u64| count as f64 / counts.due.max(1) as f64;
    let quantiles = step.latency.quantiles();
    let broken = if share(counts.failed) > FAILED_SHARE_MAX {
        Some(Broken::Failing)
    } else if share(counts.unsent) > UNSENT_SHARE_MAX {
        Some(Broken::Behind)
    } else if u128::from(quantiles.p99) > p99_limit.as_micros() {
        Some(Broken::Slow)
    } else {
        None
    };
    Step {
        asked_per_s: step.phase.rate_per_s,
        answered_per_s: counts.answered() as f64 / step.elapsed.as_secs_f64(),
        p50_us: quantiles.p50,
        p99_us: quantiles.p99,
        broken,
    }
}

impl Ramp {
    /// From the steps, in the order in which they were tried. A rate that broke once and held once held.
    pub(super) fn new(steps: Vec<Step>, p99_limit: Duration) -> Self {
        let by_rate = |a: &&Step, b: &&Step| a.asked_per_s.total_cmp(&b.asked_per_s);
        let last_good = steps.iter().filter(|step| step.broken.is_none()).max_by(by_rate).cloned();
        let is_beyond =
            |step: &&Step| last_good.as_ref().is_none_or(|good| step.asked_per_s > good.asked_per_s);
        let first_bad =
            steps.iter().filter(|step| step.broken.is_some()).filter(is_beyond).min_by(by_rate).cloned();
        let p99_limit_us = u64::try_from(p99_limit.as_micros()).unwrap_or(u64::MAX);
        Self { p99_limit_us, last_good, first_bad, steps }
    }

    /// What was found, in a sentence or two.
    pub(super) fn text(&self) -> String {
        let good = self.last_good.as_ref().map(|step| {
            format!(
                "last good rate: {} (p50 {}, p99 {})",
                show_rate(step.asked_per_s),
                show_us(step.p50_us),
                show_us(step.p99_us)
            )
        });
        let bad = self.first_bad.as_ref().map(|step| {
            let limit = show_us(self.p99_limit_us);
            let why = match step.broken {
                Some(Broken::Failing) => "more than 0.1 % of the calls failed".to_owned(),
                Some(Broken::Behind) => "more than 1 % of the calls were never sent".to_owned(),
                Some(Broken::Slow) | None => format!("p99 was {}, the limit {limit}", show_us(step.p99_us)),
            };
            format!("it degrades at {}: {why}", show_rate(step.asked_per_s))
        });
        match (good, bad) {
            (Some(good), Some(bad)) => format!("{good}; {bad}"),
            (Some(good), None) => {
                format!(
                    "{good}; the limit was not reached: give it more --duration, or a higher --rate to begin with"
                )
            }
            (None, Some(bad)) => format!("no rate held; {bad}: begin with a lower --rate"),
            (None, None) => "no step came to its end: give it more --duration".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches on a machine that holds up to a rate; answers the rates that were tried.
    fn search(first_rate: f64, holds_up_to: f64) -> (Search, Vec<f64>) {
        let mut search = Search::new(first_rate);
        let mut tried = Vec::new();
        while let Some(rate) = search.next_rate() {
            tried.push(rate);
            search.note((rate > holds_up_to).then_some(Broken::Slow));
        }
        (search, tried)
    }

    #[test]
    fn search_closes_in_from_both_sides() {
        for (first, holds_up_to) in [(1_000.0, 20_000.0), (1_000.0, 1_010.0), (64_000.0, 3_000.0)] {
            let (search, tried) = search(first, holds_up_to);
            let (good, bad) = (search.good.expect("some rate is good"), search.bad.expect("and some bad"));
            assert!(good <= holds_up_to && holds_up_to < bad, "{good} {bad}");
            assert!(bad <= good * CLOSE, "{good} {bad}");
            assert!(tried.len() < 30, "{} steps from {first} to {holds_up_to}", tried.len());
        }
    }

    #[test]
    fn one_hiccup_is_forgiven_and_two_are_not() {
        let mut search = Search::new(1_000.0);
        search.note(Some(Broken::Slow));
        assert_eq!(search.next_rate(), Some(1_000.0), "tried again");
        search.note(None);
        assert_eq!(search.next_rate(), Some(1_250.0));
        search.note(Some(Broken::Slow));
        search.note(Some(Broken::Slow));
        assert!(search.next_rate().is_some_and(|rate| rate > 1_000.0 && rate < 1_250.0));
    }

    #[test]
    fn search_ends_on_a_machine_without_limit_or_without_strength() {
        assert_eq!(search(1.0, f64::INFINITY).1.len(), STEPS_MAX as usize);
        assert_eq!(search(1.0, 0.0).1.len(), STEPS_MAX as usize);
    }

    fn step(asked_per_s: f64, p99_us: u64, broken: Option<Broken>) -> Step {
        Step { asked_per_s, answered_per_s: asked_per_s, p50_us: 100, p99_us, broken }
    }

    #[test]
    fn ramp_names_the_last_good_rate_and_where_it_degrades() {
        let steps = vec![
            step(1_000.0, 900, None),
            step(1_250.0, 60_000, Some(Broken::Slow)),
            step(1_250.0, 2_000, None),
            step(1_562.0, 90_000, Some(Broken::Slow)),
        ];
        let said = Ramp::new(steps, Duration::from_millis(20)).text();
        assert_eq!(
            said,
            "last good rate: 1250/s (p50 100 us, p99 2.00 ms); it degrades at 1562/s: p99 was 90.0 ms, the limit 20.0 ms"
        );
        let never = Ramp::new(vec![step(1_000.0, 900, None)], Duration::from_millis(20)).text();
        assert!(never.contains("was not reached"), "{never}");
        let at_once = Ramp::new(vec![step(9.0, 1, Some(Broken::Failing))], Duration::from_millis(20)).text();
        assert!(at_once.contains("no rate held") && at_once.contains("failed"), "{at_once}");
    }

    #[test]
    fn errors_and_unsent_calls_break_a_step_too() {
        use super::super::{
            schedule::steady,
            tally::{Counts, Tally},
        };
        let check = |counts: Counts, expected| {
            let mut tally = Tally::new(Duration::from_secs(1));
            tally.begin(&steady(1_000.0, Duration::from_secs(1)));
            tally.over(0, Duration::from_secs(1), Duration::from_secs(1));
            tally.phases[0].counts = counts;
            assert_eq!(judge(&tally.phases[0], Duration::from_millis(20)).broken, expected, "{counts:?}");
        };
        let of = |done, failed, unsent| Counts { due: 1_000, done, failed, unsent, ..Counts::default() };
        check(of(1_000, 0, 0), None);
        check(of(999, 1, 0), None);
        check(of(998, 2, 0), Some(Broken::Failing));
        check(of(989, 0, 11), Some(Broken::Behind));
    }
}
