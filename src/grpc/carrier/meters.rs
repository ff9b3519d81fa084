//! What selections leave in the metrics. A carrier is a label only as long as there are few of them.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metrics::{Counter, Histogram, counter, gauge, histogram};

use crate::{
    domain::carrier::{CarrierName, Policy, Reliability},
    store::DeliveryOutcome,
    telemetry,
};

use super::{CarrierSource, asking::Outcome};

/// Carriers with a label of their own; those after them share one. Sources name carriers as they like.
const LABELS_MAX: usize = 64;
/// The label of the others. No carrier squeezed from a name is hurt by sharing it.
const OTHER: &str = "other";

/// The carriers that have a label, the same ones on all threads.
#[derive(Debug, Default)]
pub(crate) struct CarrierLabels(Mutex<HashSet<CarrierName>>);

impl CarrierLabels {
    fn of(&self, carrier: &CarrierName) -> String {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !named.contains(carrier) {
            if named.len() >= LABELS_MAX {
                return OTHER.to_owned();
            }
            named.insert(carrier.clone());
        }
        carrier.to_string()
    }
}

/// The metrics of a thread.
pub(super) struct Meters {
    labels: Arc<CarrierLabels>,
    /// In the order of the sources.
    sources: Vec<SourceMeters>,
    seconds: Histogram,
    fallbacks: Counter,
    partial: Counter,
}

struct SourceMeters {
    seconds: Histogram,
    outcomes: [Counter; Outcome::ASKED.len()],
}

impl Meters {
    pub(super) fn new(sources: &[CarrierSource], labels: Arc<CarrierLabels>) -> Self {
        let of_source = |source: &CarrierSource| {
            let id = source.id.to_string();
            let outcomes = Outcome::ASKED.map(
                |outcome| counter!(telemetry::CARRIER_QUOTES, "source" => id.clone(), "outcome" => outcome.as_str()),
            );
            SourceMeters { seconds: histogram!(telemetry::CARRIER_QUOTE_SECONDS, "source" => id), outcomes }
        };
        Self {
            labels,
            sources: sources.iter().map(of_source).collect(),
            seconds: histogram!(telemetry::CARRIER_SELECTION_SECONDS),
            fallbacks: counter!(telemetry::CARRIER_FALLBACKS),
            partial: counter!(telemetry::CARRIER_PARTIAL),
        }
    }

    /// A source did this for a selection.
    pub(super) fn asked(&self, source: usize, outcome: Outcome) {
        let position = Outcome::ASKED.iter().position(|known| *known == outcome);
        if let Some((meters, position)) = self.sources.get(source).zip(position) {
            meters.outcomes[position].increment(1);
        }
    }

    /// A call to a source took so long, whatever came of it.
    pub(super) fn called(&self, source: usize, took: Duration) {
        if let Some(meters) = self.sources.get(source) {
            meters.seconds.record(took);
        }
    }

    /// A carrier was chosen.
    pub(super) fn selected(&self, carrier: &CarrierName, policy: Policy, took: Duration) {
        self.seconds.record(took);
        counter!(telemetry::CARRIER_SELECTIONS, "carrier" => self.labels.of(carrier), "policy" => policy.as_str())
            .increment(1);
    }

    /// A choice rests on partial data, or on a fallback.
    pub(super) fn rests_on(&self, is_partial: bool, is_fallback: bool) {
        self.partial.increment(u64::from(is_partial));
        self.fallbacks.increment(u64::from(is_fallback));
    }

    /// None was chosen.
    pub(super) fn refused(&self, reason: &'static str) {
        counter!(telemetry::CARRIER_SELECTION_REFUSED, "reason" => reason).increment(1);
    }

    /// A delivery was recorded.
    pub(super) fn delivered(&self, carrier: &CarrierName, outcome: DeliveryOutcome) {
        let labels = [("carrier", self.labels.of(carrier)), ("outcome", outcome.as_str().to_owned())];
        counter!(telemetry::CARRIER_DELIVERIES, &labels).increment(1);
    }

    /// What selections believe of a carrier as a whole.
    pub(super) fn on_time(&self, carrier: &CarrierName, share: Reliability) {
        let share = f64::from(share.ppm()) / 1_000_000.0;
        match self.labels.of(carrier) {
            // A share of several carriers says nothing.
            other if other == OTHER => {}
            label => gauge!(telemetry::CARRIER_ON_TIME_RATIO, "carrier" => label).set(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_carriers_have_labels() {
        let labels = CarrierLabels::default();
        let of = |number: usize| labels.of(&CarrierName::parse(&format!("c{number}")).expect("a name"));
        for number in 0..LABELS_MAX {
            assert_eq!(of(number), format!("c{number}"));
        }
        assert_eq!((of(LABELS_MAX), of(0)), (OTHER.to_owned(), "c0".to_owned()));
    }
}
