//! The report for people: a headline, a table of percentiles, what the profile found, the books.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    super::output::{Row, table},
    quantiles::{Quantiles, show_us},
    ramp::{Broken, Ramp, Step},
    report::Report,
    spike::Spike,
};

impl Report {
    /// The run in one line.
    pub(super) fn headline(&self) -> String {
        let Self { calls, done, refused, failed, unsent, .. } = self;
        let cut = match (self.interrupted, self.gave_up) {
            (true, _) => ", interrupted",
            (false, true) => ", given up since the gateway does not answer",
            (false, false) => "",
        };
        format!(
            "{}{cut}: {} asked, {} answered over {:.1} s: {calls} calls, {done} carried out, {refused} refused, \
             {failed} failed, {unsent} never sent",
            self.profile.name(),
            show_rate(self.asked_per_s),
            show_rate(self.answered_per_s),
            self.seconds
        )
    }

    /// What the profile was looking for, in a sentence.
    pub(super) fn finding(&self) -> Option<String> {
        let ramp = self.sort.ramp.as_ref().map(Ramp::text);
        ramp.or_else(|| self.sort.spike.as_ref().map(Spike::text))
    }

    /// The report for people.
    pub(super) fn text(&self) -> String {
        let mut parts = vec![self.headline(), table(&self.lines())];
        let named = |what: &str, names: &BTreeMap<String, u64>| {
            names.iter().map(|(name, count)| format!("{what}: {count} x {name}")).collect::<Vec<_>>()
        };
        let names = [named("refused", &self.refusals), named("failed", &self.errors)].concat();
        if !names.is_empty() {
            parts.push(names.join("\n"));
        }
        if self.less_durable > 0 {
            parts.push(format!("less durable than asked: {} answers", self.less_durable));
        }
        if let Some(ramp) = &self.sort.ramp {
            parts.push(table(&ramp.steps));
        }
        parts.extend(self.finding());
        parts.push(match &self.books {
            Some(books) => books.text(),
            None => "THE BOOKS WERE NOT CHECKED".to_owned(),
        });
        parts.join("\n\n")
    }

    /// The lines of the table of latencies.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = vec![
            Line::new("latency", "of all calls, from the moment they were due", &self.latency_us),
            Line::new("service time", "of all calls, from the moment they were sent", &self.service_us),
            Line::new(
                "wait",
                "between the two: this tool was late, or --in-flight-max were under way",
                &self.waited_us,
            ),
        ];
        if self.phases.len() > 1 && self.sort.ramp.is_none() {
            lines.extend(self.phases.iter().map(|phase| {
                let (asked, answered) = (show_rate(phase.asked_per_s), show_rate(phase.answered_per_s));
                let note = format!("{asked} asked, {answered} answered");
                Line::new(&phase.name, &note, &phase.latency_us)
            }));
        }
        lines.extend(self.following.iter().map(|row| {
            let note = format!("of {}, from the answer they follow", row.counts.calls);
            Line::new(row.name, &note, &row.latency_us)
        }));
        lines
    }
}

/// Calls per second as people read them.
pub(super) fn show_rate(per_s: f64) -> String {
    if per_s < 10.0 { format!("{per_s:.1}/s") } else { format!("{per_s:.0}/s") }
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub(super) struct Line {
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
    const HEAD: &'static [&'static str] = &["time", "p50", "p90", "p99", "p99.9", "max", "of what"];

    fn cells(&self) -> Vec<String> {
        let Quantiles { p50, p90, p99, p999, max } = self.latency_us;
        let mut cells = vec![self.what.clone()];
        cells.extend([p50, p90, p99, p999, max].map(show_us));
        cells.push(self.note.clone());
        cells
    }
}

impl Row for Step {
    const HEAD: &'static [&'static str] = &["asked", "answered", "p50", "p99", "verdict"];

    fn cells(&self) -> Vec<String> {
        let verdict = match self.broken {
            None => "holds",
            Some(Broken::Failing) => "calls fail",
            Some(Broken::Behind) => "falls behind",
            Some(Broken::Slow) => "too slow",
        };
        vec![
            show_rate(self.asked_per_s),
            show_rate(self.answered_per_s),
            show_us(self.p50_us),
            show_us(self.p99_us),
            verdict.to_owned(),
        ]
    }
}
