//! A selection as it is shown: the quotes in their order, what the sources did, and what to know before relying on it.

use serde::Serialize;

use super::{
    super::{
        explain::printable,
        failure::CliError,
        output::{Output, print_line, table},
    },
    judged::JudgedRow,
    source::ReportRow,
};
use crate::proto::SelectCarrierResponse;

/// The answer to a quote.
#[derive(Debug, Serialize)]
pub(super) struct Selected {
    chosen: JudgedRow,
    others: Vec<JudgedRow>,
    sources: Vec<ReportRow>,
    partial: bool,
    fallback: bool,
    misses_promise: bool,
    reliability_unknown: bool,
    lane: String,
    event_id: String,
}

impl Selected {
    /// Fails when nothing was chosen, which the contract never answers.
    pub(super) fn read(answer: SelectCarrierResponse) -> Result<Self, CliError> {
        Ok(Self {
            chosen: answer.chosen.ok_or(CliError::Incomplete("chosen quote"))?.into(),
            others: answer.others.into_iter().map(JudgedRow::from).collect(),
            sources: answer.sources.into_iter().map(ReportRow::from).collect(),
            partial: answer.partial,
            fallback: answer.fallback,
            misses_promise: answer.misses_promise,
            reliability_unknown: answer.reliability_unknown,
            lane: answer.lane,
            event_id: answer.event_id,
        })
    }

    /// Prints it: tables for people, one object for programs.
    pub(super) fn print(self, output: Output) -> Result<(), CliError> {
        match output {
            Output::Json => output.text_or_json(&self, |_| String::new()),
            Output::Table => print_line(&self.text()),
        }
    }

    fn text(self) -> String {
        let mut notes = vec![self.trail()];
        notes.extend(self.warnings().into_iter().map(str::to_owned));
        notes.extend(self.sources.iter().flat_map(ReportRow::silences));
        let notes: Vec<_> = notes.iter().map(|note| printable(note)).collect();
        let sources = table(&self.sources);
        let quotes: Vec<_> = std::iter::once(self.chosen).chain(self.others).collect();
        format!("{}\n\n{sources}\n\n{}", table(&quotes), notes.join("\n"))
    }

    fn trail(&self) -> String {
        let Self { lane, event_id, .. } = self;
        match event_id.as_str() {
            "" => format!("lane {lane}; not in the audit trail: redis could not be written"),
            event_id => format!("lane {lane}, event {event_id}"),
        }
    }

    fn warnings(&self) -> Vec<&'static str> {
        let all = [
            (self.misses_promise, "misses the promised date: no quote arrives in time"),
            (self.partial, "partial: a source or carrier that may have had a quote did not answer"),
            (self.fallback, "fallback: no source of live prices had a quote"),
            (self.reliability_unknown, "all carriers counted as equally reliable: redis could not be read"),
        ];
        all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, said)| said).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{JudgedQuote, Money, Quote, QuoteVerdict, SourceOutcome, SourceReport};

    fn judged(service: &str, amount_minor: i64, verdict: QuoteVerdict, reason: &str) -> JudgedQuote {
        let quote = Quote {
            source: "table".to_owned(),
            carrier: "dhl".to_owned(),
            service: service.to_owned(),
            price: Some(Money { amount_minor, currency: "EUR".to_owned() }),
            arrival_date: "2026-11-24".to_owned(),
            guaranteed: service == "express",
            reliability_ppm: 930_000,
            score_minor: amount_minor * 100 / 93,
            ..Quote::default()
        };
        JudgedQuote { quote: Some(quote), verdict: verdict.into(), reason: reason.to_owned() }
    }

    #[test]
    fn answer_shows_quotes_sources_and_what_to_know() {
        let answer = SelectCarrierResponse {
            chosen: Some(judged("parcel", 742, QuoteVerdict::Chosen, "lowest: 7.98 EUR")),
            others: vec![judged("express", 1_860, QuoteVerdict::Behind, "more: 20.00 EUR")],
            sources: vec![SourceReport {
                source: "table".to_owned(),
                outcome: SourceOutcome::Answered.into(),
                quote_count: 2,
                ..SourceReport::default()
            }],
            partial: true,
            lane: "DE-101:FR-750".to_owned(),
            event_id: "17-0".to_owned(),
            ..SelectCarrierResponse::default()
        };
        assert_eq!(
            Selected::read(answer).unwrap().text(),
            "VERDICT  CARRIER  SERVICE  PRICE      ARRIVES                IN TIME  SCORE      SOURCE  REASON\n\
             chosen   dhl      parcel   7.42 EUR   2026-11-24             93.0 %   7.97 EUR   table   lowest: 7.98 EUR\n\
             behind   dhl      express  18.60 EUR  2026-11-24 guaranteed  93.0 %   20.00 EUR  table   more: 20.00 EUR\n\
             \n\
             SOURCE  DID       QUOTES  TOOK  SILENT  MESSAGE\n\
             table   answered       2  0s    -       -\n\
             \n\
             lane DE-101:FR-750, event 17-0\n\
             partial: a source or carrier that may have had a quote did not answer"
        );
    }

    #[test]
    fn answer_without_a_choice_is_another_contract() {
        let error = Selected::read(SelectCarrierResponse::default()).unwrap_err();
        assert!(matches!(error, CliError::Incomplete("chosen quote")), "{error:?}");
    }
}
