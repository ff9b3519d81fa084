//! What a run came to: the object that programs get, and what the text and the page are made of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    books::Books,
    plan::{Plan, Profile},
    quantiles::Quantiles,
    ramp::Ramp,
    spike::Spike,
    tally::{Counts, Following, PhaseTally, Slice, Tally},
};

/// The slowest calls that are drawn: 99.99 %.
const NINES_MAX: f64 = 4.0;

/// The report; serializes as the object `-o json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) profile: Profile,
    pub(super) gateway: String,
    pub(super) started: Timestamp,
    /// Begins the names of the SKUs the run made.
    pub(super) sku_prefix: String,
    pub(super) interrupted: bool,
    /// True when it ended by itself, since too many calls had no answer.
    pub(super) gave_up: bool,
    /// Seconds in which calls were due.
    pub(super) seconds: f64,
    pub(super) asked_per_s: f64,
    pub(super) answered_per_s: f64,
    /// Calls that were due by the schedule; what follows counts these too.
    pub(super) calls: u64,
    /// Carried out.
    pub(super) done: u64,
    /// Decided, and the answer was no.
    pub(super) refused: u64,
    /// No decision came back.
    pub(super) failed: u64,
    /// Never sent: as many as allowed were under way until the end.
    pub(super) unsent: u64,
    /// From the moment a call was due.
    pub(super) latency_us: Quantiles,
    /// From the moment it was sent.
    pub(super) service_us: Quantiles,
    /// Between the two.
    pub(super) waited_us: Quantiles,
    pub(super) phases: Vec<PhaseRow>,
    /// Calls that followed an answer.
    pub(super) following: Vec<FollowingRow>,
    /// By reason, of all calls.
    pub(super) refusals: BTreeMap<String, u64>,
    /// By code and reason, of all calls.
    pub(super) errors: BTreeMap<String, u64>,
    /// Carried out, and less durable than `--durability` asked.
    pub(super) less_durable: u64,
    pub(super) timeline: Vec<Moment>,
    /// The highest rate that held; null when none did, and without a ramp.
    pub(super) last_good_per_s: Option<f64>,
    #[serde(flatten)]
    pub(super) sort: Sort,
    /// None when they could not be checked.
    pub(super) books: Option<Books>,
    /// By nines, for the chart.
    #[serde(skip)]
    pub(super) latency_curve: Vec<(f64, f64)>,
    #[serde(skip)]
    pub(super) service_curve: Vec<(f64, f64)>,
}

/// What only some profiles look for.
#[derive(Debug, Default, Serialize)]
pub(super) struct Sort {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ramp: Option<Ramp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spike: Option<Spike>,
}

/// One phase.
#[derive(Debug, Serialize)]
pub(super) struct PhaseRow {
    pub(super) name: String,
    pub(super) asked_per_s: f64,
    pub(super) answered_per_s: f64,
    #[serde(flatten)]
    pub(super) counts: CountsShown,
    pub(super) latency_us: Quantiles,
    pub(super) service_us: Quantiles,
}

/// What became of calls, as it is shown.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct CountsShown {
    pub(super) calls: u64,
    pub(super) done: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) unsent: u64,
}

/// Calls that followed an answer, of one kind.
#[derive(Debug, Serialize)]
pub(super) struct FollowingRow {
    pub(super) name: &'static str,
    #[serde(flatten)]
    pub(super) counts: CountsShown,
    pub(super) latency_us: Quantiles,
}

/// A stretch of the timeline.
#[derive(Debug, Serialize)]
pub(super) struct Moment {
    /// Seconds from the start of the run to its start.
    pub(super) at_s: f64,
    pub(super) asked_per_s: f64,
    pub(super) done_per_s: f64,
    pub(super) refused_per_s: f64,
    pub(super) failed_per_s: f64,
    pub(super) latency_us: Quantiles,
}

impl From<Counts> for CountsShown {
    fn from(counts: Counts) -> Self {
        let Counts { due, unsent, done, refused, failed } = counts;
        Self { calls: due, done, refused, failed, unsent }
    }
}

impl Report {
    /// `of` is the gateway and when the first call was due.
    pub(super) fn new(
        plan: &Plan,
        tally: &Tally,
        sort: Sort,
        of: (&str, Timestamp),
        interrupted: bool,
    ) -> Self {
        let (latency, service) = tally.latencies();
        let counts = tally.counts();
        let seconds = tally.elapsed().as_secs_f64();
        let CountsShown { calls, done, refused, failed, unsent } = counts.into();
        Self {
            profile: plan.profile,
            gateway: of.0.to_owned(),
            started: of.1,
            sku_prefix: plan.sku_prefix.clone(),
            interrupted,
            gave_up: false,
            seconds,
            asked_per_s: per_s(calls, seconds),
            answered_per_s: per_s(counts.answered(), seconds),
            calls,
            done,
            refused,
            failed,
            unsent,
            latency_us: latency.quantiles(),
            service_us: service.quantiles(),
            waited_us: tally.waited.quantiles(),
            phases: phases(tally),
            following: following(tally),
            refusals: tally.refusals.clone(),
            errors: tally.errors.clone(),
            less_durable: tally.less_durable,
            timeline: timeline(tally),
            last_good_per_s: sort.ramp.as_ref().and_then(|ramp| Some(ramp.last_good.as_ref()?.asked_per_s)),
            sort,
            books: None,
            latency_curve: latency.curve(NINES_MAX),
            service_curve: service.curve(NINES_MAX),
        }
    }
}

fn phases(tally: &Tally) -> Vec<PhaseRow> {
    let shown = |phase: &PhaseTally| {
        let seconds = phase.elapsed.as_secs_f64();
        PhaseRow {
            name: phase.phase.name.clone(),
            asked_per_s: phase.phase.rate_per_s,
            answered_per_s: per_s(phase.counts.answered(), seconds),
            counts: phase.counts.into(),
            latency_us: phase.latency.quantiles(),
            service_us: phase.service.quantiles(),
        }
    };
    tally.phases.iter().map(shown).collect()
}

fn following(tally: &Tally) -> Vec<FollowingRow> {
    let kinds: [(&'static str, &Following); 3] =
        [("commits", &tally.commits), ("releases", &tally.releases), ("repeats", &tally.repeats)];
    kinds
        .into_iter()
        .filter(|(_, following)| following.counts.due > 0)
        .map(|(name, following)| FollowingRow {
            name,
            counts: following.counts.into(),
            latency_us: following.latency.quantiles(),
        })
        .collect()
}

fn timeline(tally: &Tally) -> Vec<Moment> {
    let length_s = tally.slice_length.as_secs_f64();
    let moment = |(number, slice): (usize, &Slice)| {
        let at_s = number as f64 * length_s;
        // The last one may have been cut short. A sliver of it has no rate that means anything.
        let seconds = length_s.min(tally.end.as_secs_f64() - at_s);
        (seconds >= length_s / 10.0).then(|| Moment {
            at_s,
            asked_per_s: per_s(slice.counts.due, seconds),
            done_per_s: per_s(slice.counts.done, seconds),
            refused_per_s: per_s(slice.counts.refused, seconds),
            failed_per_s: per_s(slice.counts.failed, seconds),
            latency_us: slice.latency.quantiles(),
        })
    };
    // After the last call was due only stragglers are answered: they are in the counts.
    let end = tally.slices.iter().rposition(|slice| slice.counts.due > 0).map_or(0, |last| last + 1);
    tally.slices[..end].iter().enumerate().filter_map(moment).collect()
}

fn per_s(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
