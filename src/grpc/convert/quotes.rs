//! Quotes and what became of them, as the contract tells it.

use crate::{
    carriers::SilentCarrier,
    domain::carrier::{Candidate, Money, Policy, Verdict},
    proto,
};

/// A quote with its verdict.
pub fn judged_quote(candidate: Candidate, policy: Policy) -> proto::JudgedQuote {
    let reason = candidate.reason(policy);
    let Candidate { quote, evidence, arrives, score, verdict } = candidate;
    let quote = proto::Quote {
        source: quote.source.to_string(),
        carrier: quote.carrier.to_string(),
        service: quote.service.to_string(),
        price: Some(money(quote.price)),
        arrival_date: arrives.map(|date| date.to_string()).unwrap_or_default(),
        guaranteed: quote.is_guaranteed,
        reference: quote.reference.as_str().to_owned(),
        reliability_ppm: i64::from(evidence.reliability.ppm()),
        score_minor: score.minor(),
    };
    proto::JudgedQuote { quote: Some(quote), verdict: quote_verdict(&verdict).into(), reason }
}

fn quote_verdict(verdict: &Verdict) -> proto::QuoteVerdict {
    match verdict {
        // Never of a choice that was made.
        Verdict::Running => proto::QuoteVerdict::Unspecified,
        Verdict::Chosen(_) => proto::QuoteVerdict::Chosen,
        Verdict::Behind(_) => proto::QuoteVerdict::Behind,
        Verdict::Late { .. } => proto::QuoteVerdict::Late,
        Verdict::ArrivalUnknown { .. } => proto::QuoteVerdict::ArrivalUnknown,
        Verdict::OtherCurrency { .. } => proto::QuoteVerdict::OtherCurrency,
        Verdict::ServiceNotAllowed => proto::QuoteVerdict::ServiceNotAllowed,
        Verdict::CollectsNothing => proto::QuoteVerdict::CollectsNothing,
        Verdict::NotGuaranteed => proto::QuoteVerdict::NotGuaranteed,
    }
}

/// The policy a choice was made by.
pub fn carrier_policy(policy: Policy) -> proto::CarrierPolicy {
    match policy {
        Policy::CostOverReliability => proto::CarrierPolicy::CostOverReliability,
        Policy::Cheapest => proto::CarrierPolicy::Cheapest,
        Policy::Fastest => proto::CarrierPolicy::Fastest,
        Policy::LatenessPenalty { .. } => proto::CarrierPolicy::LatenessPenalty,
    }
}

/// A carrier without a quote.
pub fn silent_carrier(silent: SilentCarrier) -> proto::SilentCarrier {
    proto::SilentCarrier {
        carrier: silent.carrier.as_str().to_owned(),
        transient: silent.is_transient,
        message: silent.message.as_str().to_owned(),
    }
}

fn money(money: Money) -> proto::Money {
    proto::Money { amount_minor: money.minor(), currency: money.currency().code().to_owned() }
}
