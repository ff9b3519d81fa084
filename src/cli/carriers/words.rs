//! The words for what the contract counts in numbers, and shares as people read them.

use clap::ValueEnum;

use crate::proto::{CarrierPolicy, DeliveryFailure, QuoteVerdict, SourceOutcome};

/// By what to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum PolicyArg {
    /// The lowest price × (1 / reliability)
    CostOverReliability,
    /// The lowest price
    Cheapest,
    /// The soonest arrival
    Fastest,
    /// The lowest price + penalty × share of late parcels
    LatenessPenalty,
}

impl From<PolicyArg> for CarrierPolicy {
    fn from(policy: PolicyArg) -> Self {
        match policy {
            PolicyArg::CostOverReliability => Self::CostOverReliability,
            PolicyArg::Cheapest => Self::Cheapest,
            PolicyArg::Fastest => Self::Fastest,
            PolicyArg::LatenessPenalty => Self::LatenessPenalty,
        }
    }
}

/// Why a parcel never arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailureArg {
    /// It was lost
    Lost,
    /// It arrived broken
    Damaged,
    /// It came back
    Returned,
}

impl From<FailureArg> for DeliveryFailure {
    fn from(failure: FailureArg) -> Self {
        match failure {
            FailureArg::Lost => Self::Lost,
            FailureArg::Damaged => Self::Damaged,
            FailureArg::Returned => Self::Returned,
        }
    }
}

pub(super) fn policy(policy: CarrierPolicy) -> &'static str {
    match policy {
        CarrierPolicy::Unspecified => "unspecified",
        CarrierPolicy::CostOverReliability => "cost_over_reliability",
        CarrierPolicy::Cheapest => "cheapest",
        CarrierPolicy::Fastest => "fastest",
        CarrierPolicy::LatenessPenalty => "lateness_penalty",
    }
}

pub(super) fn verdict(verdict: QuoteVerdict) -> &'static str {
    match verdict {
        QuoteVerdict::Unspecified => "unspecified",
        QuoteVerdict::Chosen => "chosen",
        QuoteVerdict::Behind => "behind",
        QuoteVerdict::Late => "late",
        QuoteVerdict::ArrivalUnknown => "arrival_unknown",
        QuoteVerdict::OtherCurrency => "other_currency",
        QuoteVerdict::ServiceNotAllowed => "service_not_allowed",
        QuoteVerdict::CollectsNothing => "collects_nothing",
        QuoteVerdict::NotGuaranteed => "not_guaranteed",
    }
}

pub(super) fn outcome(outcome: SourceOutcome) -> &'static str {
    match outcome {
        SourceOutcome::Unspecified => "unspecified",
        SourceOutcome::Answered => "answered",
        SourceOutcome::Cached => "cached",
        SourceOutcome::TimedOut => "timed_out",
        SourceOutcome::Failed => "failed",
        SourceOutcome::Refused => "refused",
        SourceOutcome::BreakerOpen => "breaker_open",
        SourceOutcome::RateLimited => "rate_limited",
        SourceOutcome::NotNeeded => "not_needed",
    }
}

/// None for a parcel that arrived.
pub(super) fn failure(failure: DeliveryFailure) -> Option<&'static str> {
    match failure {
        DeliveryFailure::Unspecified => None,
        DeliveryFailure::Lost => Some("lost"),
        DeliveryFailure::Damaged => Some("damaged"),
        DeliveryFailure::Returned => Some("returned"),
    }
}

/// "93.0 %" of millionths, rounded down: 100.0 % is all.
pub(super) fn share(ppm: i64) -> String {
    format!("{}.{} %", ppm / 10_000, ppm.rem_euclid(10_000) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_look_better_than_they_are() {
        let rows = [(0, "0.0 %"), (930_000, "93.0 %"), (999_999, "99.9 %"), (1_000_000, "100.0 %")];
        for (ppm, shown) in rows {
            assert_eq!(share(ppm), shown);
        }
    }

    #[test]
    fn flags_and_answers_say_the_same_words() {
        for arg in PolicyArg::value_variants() {
            let flag = arg.to_possible_value().unwrap();
            assert_eq!(flag.get_name(), policy(CarrierPolicy::from(*arg)));
        }
        for arg in FailureArg::value_variants() {
            let flag = arg.to_possible_value().unwrap();
            assert_eq!(Some(flag.get_name()), failure(DeliveryFailure::from(*arg)));
        }
    }
}
