//! Counts while a run goes on: per phase, per moment, per reason.

use std::{collections::BTreeMap, time::Duration};

use super::{call::Outcome, quantiles::Latencies, schedule::Phase};

/// Moments a timeline is cut into at most.
const SLICES_MAX: u32 = 240;
/// And the shortest of them.
const SLICE_MIN: Duration = Duration::from_millis(100);
/// Reasons and codes that are told apart; more cannot come from a gateway that keeps its contract.
const NAMES_MAX: usize = 64;
/// Where the others are counted.
const OTHERS: &str = "others";

/// How long one call took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    /// Since the moment it was due.
    pub(super) latency: Duration,
    /// Since it was sent.
    pub(super) service: Duration,
}

/// Calls that were due by the schedule, of one phase.
#[derive(Debug)]
pub(super) struct PhaseTally {
    pub(super) phase: Phase,
    /// Its length, or less when the run was cut short.
    pub(super) elapsed: Duration,
    pub(super) counts: Counts,
    pub(super) latency: Latencies,
    pub(super) service: Latencies,
}

/// What became of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Calls whose moment came.
    pub(super) due: u64,
    /// Never sent: as many as allowed were under way until the end.
    pub(super) unsent: u64,
    /// Carried out.
    pub(super) done: u64,
    /// Decided, and the answer was no.
    pub(super) refused: u64,
    /// No decision came back.
    pub(super) failed: u64,
}

/// A stretch of the timeline.
#[derive(Debug)]
pub(super) struct Slice {
    /// By the moment they were due; answers by the moment they came.
    pub(super) counts: Counts,
    /// Of the calls due in it.
    pub(super) latency: Latencies,
}

/// Calls that follow an answer: of one kind.
#[derive(Debug, Default)]
pub(super) struct Following {
    pub(super) counts: Counts,
    pub(super) latency: Latencies,
}

/// Everything that is counted.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) phases: Vec<PhaseTally>,
    pub(super) slice_length: Duration,
    pub(super) slices: Vec<Slice>,
    pub(super) commits: Following,
    pub(super) releases: Following,
    pub(super) repeats: Following,
    pub(super) refusals: BTreeMap<String, u64>,
    pub(super) errors: BTreeMap<String, u64>,
    /// Carried out, and less durable than asked.
    pub(super) less_durable: u64,
    /// Between due and sent.
    pub(super) waited: Latencies,
    /// When the last call was due, from the start of the run.
    pub(super) end: Duration,
}

impl Counts {
    /// Those that got a decision.
    pub(super) fn answered(&self) -> u64 {
        self.done + self.refused
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.due += other.due;
        self.unsent += other.unsent;
        self.done += other.done;
        self.refused += other.refused;
        self.failed += other.failed;
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done(_) => self.done += 1,
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Failed(_) => self.failed += 1,
        }
    }
}

impl Tally {
    /// For a run of at most this length.
    pub(super) fn new(length_max: Duration) -> Self {
        let slice_length = (length_max / SLICES_MAX).max(SLICE_MIN);
        Self {
            phases: Vec::new(),
            slice_length,
            slices: Vec::new(),
            commits: Following::default(),
            releases: Following::default(),
            repeats: Following::default(),
            refusals: BTreeMap::new(),
            errors: BTreeMap::new(),
            less_durable: 0,
            waited: Latencies::default(),
            end: Duration::ZERO,
        }
    }

    /// Begins phases; answers the number of the first.
    pub(super) fn begin(&mut self, phases: &[Phase]) -> usize {
        let first = self.phases.len();
        self.phases.extend(phases.iter().map(|phase| PhaseTally {
            phase: phase.clone(),
            elapsed: Duration::ZERO,
            counts: Counts::default(),
            latency: Latencies::default(),
            service: Latencies::default(),
        }));
        first
    }

    /// Calls of the phases from `first` on were due for so long, until `end` after the start of the run.
    pub(super) fn over(&mut self, first: usize, mut elapsed: Duration, end: Duration) {
        for tally in &mut self.phases[first..] {
            tally.elapsed = elapsed.min(tally.phase.length);
            elapsed -= tally.elapsed;
        }
        self.end = end;
    }

    /// Time in which calls were due, the pauses between the steps of a ramp left out.
    pub(super) fn elapsed(&self) -> Duration {
        self.phases.iter().map(|tally| tally.elapsed).sum()
    }

    /// A call was due `after` the start of the run, and is sent now.
    pub(super) fn sent(&mut self, phase: usize, after: Duration, waited: Duration) {
        self.phases[phase].counts.due += 1;
        self.slice(after).counts.due += 1;
        self.waited.record(waited);
    }

    /// So many calls were due `after` the start of the run, and are never sent: they had waited so long when that was clear.
    pub(super) fn unsent(&mut self, phase: usize, after: Duration, waited: Duration, count: u64) {
        let tally = &mut self.phases[phase];
        tally.counts.due += count;
        tally.counts.unsent += count;
        tally.latency.record_many(waited, count);
        let slice = self.slice(after);
        slice.counts.due += count;
        slice.counts.unsent += count;
        slice.latency.record_many(waited, count);
        self.waited.record_many(waited, count);
    }

    /// A call that was due `after` the start of the run came to its end.
    pub(super) fn landed(&mut self, phase: usize, after: Duration, took: Took, outcome: &Outcome) {
        let tally = &mut self.phases[phase];
        tally.counts.count(outcome);
        tally.latency.record(took.latency);
        tally.service.record(took.service);
        self.slice(after).latency.record(took.latency);
        self.slice(after + took.latency).counts.count(outcome);
        self.name(outcome);
    }

    /// The same for a call that followed an answer.
    pub(super) fn followed(
        &mut self,
        kind: fn(&mut Self) -> &mut Following,
        latency: Duration,
        outcome: &Outcome,
    ) {
        let following = kind(self);
        following.counts.due += 1;
        following.counts.count(outcome);
        following.latency.record(latency);
        self.name(outcome);
    }

    /// All phases together.
    pub(super) fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.phases.iter().for_each(|phase| all.add(&phase.counts));
        all
    }

    /// Latencies of all phases together: since due, and since sent.
    pub(super) fn latencies(&self) -> (Latencies, Latencies) {
        let (mut latency, mut service) = (Latencies::default(), Latencies::default());
        for phase in &self.phases {
            latency.add(&phase.latency);
            service.add(&phase.service);
        }
        (latency, service)
    }

    fn name(&mut self, outcome: &Outcome) {
        let (names, name) = match outcome {
            Outcome::Done(reply) => {
                self.less_durable += u64::from(reply.is_less_durable());
                return;
            }
            Outcome::Refused(refusal) => (&mut self.refusals, &refusal.reason),
            Outcome::Failed(fault) => (&mut self.errors, &fault.name),
        };
        if let Some(count) = names.get_mut(name) {
            *count += 1;
        } else {
            let name = if names.len() < NAMES_MAX { name.as_str() } else { OTHERS };
            *names.entry(name.to_owned()).or_default() += 1;
        }
    }

    fn slice(&mut self, after: Duration) -> &mut Slice {
        let number = usize::try_from(after.as_micros() / self.slice_length.as_micros()).unwrap_or(usize::MAX);
        // A ramp pauses between its steps, and answers come after the end: what is later belongs to the last slice.
        let number = number.min(SLICES_MAX as usize - 1);
        while self.slices.len() <= number {
            self.slices.push(Slice { counts: Counts::default(), latency: Latencies::coarse() });
        }
        &mut self.slices[number]
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{call::Fault, schedule::steady},
        *,
    };

    fn failed() -> Outcome {
        let fault = Fault { name: "UNAVAILABLE".to_owned(), message: String::new(), is_unknown: true };
        Outcome::Failed(fault)
    }

    #[test]
    fn calls_that_were_never_sent_count_with_the_time_they_waited() {
        let mut tally = Tally::new(Duration::from_secs(10));
        let phase = tally.begin(&steady(10.0, Duration::from_secs(10)));
        let ms = Duration::from_millis;
        tally.sent(phase, ms(0), ms(0));
        tally.landed(phase, ms(0), Took { latency: ms(30), service: ms(30) }, &failed());
        tally.unsent(phase, ms(100), ms(900), 3);
        let counts = Counts { due: 4, unsent: 3, failed: 1, ..Counts::default() };
        assert_eq!(tally.counts(), counts);
        let (latency, service) = tally.latencies();
        assert_eq!((latency.count(), service.count(), tally.waited.count()), (4, 1, 4));
        assert!(latency.quantiles().max >= 900_000);
        assert_eq!(tally.errors["UNAVAILABLE"], 1);
    }

    #[test]
    fn answers_count_where_they_came_and_latencies_where_they_were_due() {
        let mut tally = Tally::new(Duration::from_secs(10));
        let phase = tally.begin(&steady(10.0, Duration::from_secs(10)));
        let ms = Duration::from_millis;
        tally.sent(phase, ms(50), ms(0));
        tally.landed(phase, ms(50), Took { latency: ms(200), service: ms(200) }, &failed());
        assert_eq!(tally.slices.len(), 3);
        assert_eq!((tally.slices[0].counts.due, tally.slices[0].latency.count()), (1, 1));
        assert_eq!(tally.slices[2].counts.failed, 1);
    }

    #[test]
    fn run_that_is_cut_short_has_shorter_phases() {
        let mut tally = Tally::new(Duration::from_secs(8));
        let first = tally.begin(&crate::cli::load::schedule::spike(10.0, 10.0, Duration::from_secs(8)));
        tally.over(first, Duration::from_secs(3), Duration::from_secs(3));
        let elapsed_s: Vec<_> = tally.phases.iter().map(|phase| phase.elapsed.as_secs()).collect();
        assert_eq!((elapsed_s, tally.elapsed().as_secs()), (vec![2, 1, 0], 3));
    }

    #[test]
    fn timeline_and_names_are_bounded() {
        let mut tally = Tally::new(Duration::from_secs(1));
        let phase = tally.begin(&steady(10.0, Duration::from_secs(1)));
        let late = Duration::from_secs(3_600);
        for number in 0..200 {
            let fault = Fault { name: format!("CODE {number}"), message: String::new(), is_unknown: false };
            tally.landed(phase, late, Took { latency: late, service: late }, &Outcome::Failed(fault));
        }
        assert_eq!(tally.slices.len(), SLICES_MAX as usize);
        assert_eq!(tally.errors.len(), NAMES_MAX + 1);
        assert_eq!(tally.errors[OTHERS], 200 - NAMES_MAX as u64);
    }
}
