//! A source of prices: what it did when it was asked, and what its breaker lets through.

use std::time::Duration;

use serde::Serialize;

use super::{
    super::{moment, output::Row},
    words,
};
use crate::proto::{BreakerState, CarrierSource, SilentCarrier, SourceReport};

/// What one source did.
#[derive(Debug, Serialize)]
pub(super) struct ReportRow {
    source: String,
    outcome: &'static str,
    quote_count: i64,
    latency_ms: u64,
    silent_carriers: Vec<Silent>,
    message: String,
}

/// A carrier behind it that has no quote.
#[derive(Debug, Serialize)]
struct Silent {
    carrier: String,
    transient: bool,
    message: String,
}

impl From<SilentCarrier> for Silent {
    fn from(silent: SilentCarrier) -> Self {
        Self { carrier: silent.carrier, transient: silent.transient, message: silent.message }
    }
}

impl From<SourceReport> for ReportRow {
    fn from(report: SourceReport) -> Self {
        let latency = report.latency.and_then(|latency| Duration::try_from(latency).ok()).unwrap_or_default();
        Self {
            outcome: words::outcome(report.outcome()),
            source: report.source,
            quote_count: report.quote_count,
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            silent_carriers: report.silent_carriers.into_iter().map(Silent::from).collect(),
            message: report.message,
        }
    }
}

impl Row for ReportRow {
    const HEAD: &'static [&'static str] = &["source", "did", "quotes", "took", "silent", "message"];

    fn cells(&self) -> Vec<String> {
        let silent: Vec<_> = self.silent_carriers.iter().map(|one| one.carrier.as_str()).collect();
        vec![
            self.source.clone(),
            self.outcome.to_owned(),
            self.quote_count.to_string(),
            moment::show_duration(Duration::from_millis(self.latency_ms)),
            silent.join(" "),
            self.message.clone(),
        ]
    }
}

impl ReportRow {
    /// What each silent carrier said, a line for each.
    pub(super) fn silences(&self) -> impl Iterator<Item = String> {
        self.silent_carriers.iter().map(|Silent { carrier, transient, message }| {
            let kind = if *transient { "has no quote now" } else { "does not serve this shipment" };
            format!("{carrier} of {} {kind}: {message}", self.source)
        })
    }
}

/// A source as configured.
#[derive(Debug, Serialize)]
pub(super) struct SourceRow {
    source: String,
    kind: String,
    fallback: bool,
    breaker: &'static str,
    breaker_probe_time: Option<String>,
    throttled_until_time: Option<String>,
    #[serde(skip)]
    state: String,
}

impl From<CarrierSource> for SourceRow {
    fn from(source: CarrierSource) -> Self {
        Self {
            state: state(&source),
            breaker: match source.breaker() {
                BreakerState::Unspecified => "unspecified",
                BreakerState::Closed => "closed",
                BreakerState::Open => "open",
                BreakerState::HalfOpen => "half_open",
            },
            source: source.source,
            kind: source.kind,
            fallback: source.fallback,
            breaker_probe_time: moment::show(source.breaker_probe_time),
            throttled_until_time: moment::show(source.throttled_until_time),
        }
    }
}

/// What keeps it from being asked; empty when nothing does.
fn state(source: &CarrierSource) -> String {
    match source.breaker() {
        BreakerState::Open => format!("fails, probe {}", moment::show_until(source.breaker_probe_time)),
        BreakerState::HalfOpen => "fails, probed now".to_owned(),
        BreakerState::Closed | BreakerState::Unspecified => match source.throttled_until_time {
            Some(until) => format!("throttled, asked {}", moment::show_until(Some(until))),
            None => String::new(),
        },
    }
}

impl Row for SourceRow {
    const HEAD: &'static [&'static str] = &["source", "kind", "asked", "state"];

    fn cells(&self) -> Vec<String> {
        let asked = if self.fallback { "when no other has a quote" } else { "always" };
        vec![self.source.clone(), self.kind.clone(), asked.to_owned(), self.state.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::output::table, *};

    #[test]
    fn silent_carriers_say_what_they_said() {
        let silent = |carrier: &str, transient| SilentCarrier {
            carrier: carrier.to_owned(),
            transient,
            message: "too heavy".to_owned(),
        };
        let row = ReportRow::from(SourceReport {
            source: "easypost".to_owned(),
            outcome: crate::proto::SourceOutcome::Answered.into(),
            quote_count: 2,
            latency: Some(prost_types::Duration { seconds: 0, nanos: 120_000_000 }),
            silent_carriers: vec![silent("DHL", false), silent("UPS", true)],
            ..SourceReport::default()
        });
        let said: Vec<_> = row.silences().collect();
        assert_eq!(
            said,
            [
                "DHL of easypost does not serve this shipment: too heavy",
                "UPS of easypost has no quote now: too heavy"
            ]
        );
        assert_eq!(
            table(&[row]),
            "SOURCE    DID       QUOTES  TOOK   SILENT   MESSAGE\n\
             easypost  answered       2  120ms  DHL UPS  -"
        );
    }

    #[test]
    fn state_names_what_keeps_a_source() {
        let past = Some(moment::to_proto(jiff::Timestamp::UNIX_EPOCH));
        let throttled = CarrierSource { throttled_until_time: past, ..CarrierSource::default() };
        let open = CarrierSource {
            breaker: BreakerState::Open.into(),
            breaker_probe_time: past,
            ..throttled.clone()
        };
        let half = CarrierSource { breaker: BreakerState::HalfOpen.into(), ..open.clone() };
        let rows = [
            (CarrierSource::default(), ""),
            (throttled, "throttled, asked now"),
            (open, "fails, probe now"),
            (half, "fails, probed now"),
        ];
        for (source, said) in rows {
            assert_eq!(state(&source), said, "{source:?}");
        }
    }
}
