//! What a run came to: one table for people, one object for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    super::output::{Row, table},
    books::Books,
    plan::{Plan, Profile},
    quantiles::{Quantiles, show_us},
    tally::{Counts, Following, Tally},
};

/// The report; serializes as the object `-o json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) profile: Profile,
    /// Begins the names of the SKUs the run made.
    pub(super) sku_prefix: String,
    pub(super) interrupted: bool,
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
    pub(super) timeline: Vec<Moment>,
    #[serde(flatten)]
    pub(super) findings: Findings,
    pub(super) books: Option<Books>,
}

/// What a profile looks for.
#[derive(Debug, Default, Serialize)]
pub(super) struct Findings {}

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
    pub(super) fn new(plan: &Plan, tally: &Tally, interrupted: bool) -> Self {
        let (latency, service) = tally.latencies();
        let counts = tally.counts();
        let seconds = tally.elapsed.as_secs_f64();
        let per_s = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let CountsShown { calls, done, refused, failed, unsent } = counts.into();
        Self {
            profile: plan.profile,
            sku_prefix: plan.sku_prefix.clone(),
            interrupted,
            seconds,
            asked_per_s: per_s(calls),
            answered_per_s: per_s(counts.answered()),
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
            timeline: timeline(tally),
            findings: Findings::default(),
            books: None,
        }
    }

    /// The report for people, without the books.
    pub(super) fn text(&self) -> String {
        let mut rows = vec![
            Line::new("latency", "since due", &self.latency_us),
            Line::new("service time", "since sent", &self.service_us),
        ];
        if self.phases.len() > 1 {
            rows.extend(self.phases.iter().map(|phase| {
                let note =
                    format!("{:.0}/s asked, {:.0}/s answered", phase.asked_per_s, phase.answered_per_s);
                Line::new(&phase.name, &note, &phase.latency_us)
            }));
        }
        rows.extend(self.following.iter().map(|row| {
            Line::new(
                row.name,
                &format!("{} calls, since the answer they follow", row.counts.calls),
                &row.latency_us,
            )
        }));
        let mut text = format!(
            "{}: {:.0}/s asked, {:.0}/s answered over {:.1} s: {} calls, {} carried out, {} refused, {} failed, {} never \
             sent\n\n{}",
            self.profile.name(),
            self.asked_per_s,
            self.answered_per_s,
            self.seconds,
            self.calls,
            self.done,
            self.refused,
            self.failed,
            self.unsent,
            table(&rows)
        );
        for (what, names) in [("refused", &self.refusals), ("failed", &self.errors)] {
            for (name, count) in names {
                text.push_str(&format!("\n{what}: {count} x {name}"));
            }
        }
        text
    }
}

fn phases(tally: &Tally) -> Vec<PhaseRow> {
    let shown = |phase: &super::tally::PhaseTally| {
        let seconds = phase.phase.length.as_secs_f64();
        PhaseRow {
            name: phase.phase.name.clone(),
            asked_per_s: phase.phase.rate_per_s,
            answered_per_s: phase.counts.answered() as f64 / seconds,
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
    let per_s = |count: u64| count as f64 / length_s;
    let moment = |(number, slice): (usize, &super::tally::Slice)| Moment {
        at_s: number as f64 * length_s,
        asked_per_s: per_s(slice.counts.due),
        done_per_s: per_s(slice.counts.done),
        refused_per_s: per_s(slice.counts.refused),
        failed_per_s: per_s(slice.counts.failed),
        latency_us: slice.latency.quantiles(),
    };
    tally.slices.iter().enumerate().map(moment).collect()
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Line {
    what: String,
    note: String,
    latency_us: Quantiles,
}

impl Line {
    fn new(what: &str, note: &str, latency_us: &Quantiles) -> Self {
        Self { what: what.to_owned(), note: note.to_owned(), latency_us: *latency_us }
    }
}

impl Row for Line {
    const HEAD: &'static [&'static str] = &["", "p50", "p90", "p99", "p99.9", "max", "of"];

    fn cells(&self) -> Vec<String> {
        let Quantiles { p50, p90, p99, p999, max } = self.latency_us;
        let mut cells = vec![self.what.clone()];
        cells.extend([p50, p90, p99, p999, max].map(show_us));
        cells.push(self.note.clone());
        cells
    }
}
