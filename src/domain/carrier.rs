//! Which carrier takes a shipment: the rule, and the values it works on. Same quotes, same evidence, same wish: same choice,
//! whatever the order in which the quotes came.
//!
//! First what may not be chosen is dropped, each quote with its reason; then the rest is put in order by the policy, and the first
//! is chosen. When none arrives by the promised date, the fastest is, or the shipment is refused, as the caller wished.

mod fingerprint;
mod money;
mod place;
mod quote;
mod reliability;
mod score;
mod shipment;
mod verdict;

use std::{
    cmp::{Ordering, Reverse},
    fmt,
};

use jiff::{ToSpan as _, civil::Date};

pub use fingerprint::{DeliveryFields, DeliveryFingerprint};
pub use money::{Currency, CurrencyProblem, MINOR_MAX, Money, MoneyProblem};
pub use place::{Country, CountryProblem, Lane, LaneProblem, Place, PostalCode};
pub use quote::{CarrierName, Evidence, Quote, ServiceName, SourceId};
pub use reliability::{DAY_BINS, Deliveries, PPM, Prior, Reliability};
pub use score::Score;
pub use shipment::{PARCELS_MAX, Parcel, ParcelProblem, Parcels, SIDE_MM_MAX, Shipment, WEIGHT_G_MAX};
pub use verdict::{Ground, Verdict};

/// What is wanted of a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// The lowest price × (1 / reliability).
    CostOverReliability,
    /// The lowest price.
    Cheapest,
    /// The soonest arrival.
    Fastest,
    /// The lowest price + penalty × share of late parcels.
    LatenessPenalty {
        /// What a late parcel costs the shop, in minor units of the wish's currency: 0 to [`MINOR_MAX`].
        penalty_minor: i64,
    },
}

/// Which policy, without what it has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// [`Policy::CostOverReliability`].
    CostOverReliability,
    /// [`Policy::Cheapest`].
    Cheapest,
    /// [`Policy::Fastest`].
    Fastest,
    /// [`Policy::LatenessPenalty`].
    LatenessPenalty,
}

impl Policy {
    /// Its word: `cost_over_reliability`, `cheapest`, `fastest` or `lateness_penalty`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CostOverReliability => "cost_over_reliability",
            Self::Cheapest => "cheapest",
            Self::Fastest => "fastest",
            Self::LatenessPenalty { .. } => "lateness_penalty",
        }
    }
}

/// What to do when no quote arrives by the promised date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhenLate {
    /// Take the fastest, and say that it misses the promise.
    Fastest,
    /// Choose none.
    Refuse,
}

/// A carrier, or one of its services.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AllowedService {
    /// The carrier.
    pub carrier: CarrierName,
    /// Its service; None: each.
    pub service: Option<ServiceName>,
}

impl AllowedService {
    fn holds(&self, quote: &Quote) -> bool {
        self.carrier == quote.carrier && self.service.as_ref().is_none_or(|service| *service == quote.service)
    }
}

impl fmt::Display for AllowedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) => write!(f, "{}/{service}", self.carrier),
            None => self.carrier.fmt(f),
        }
    }
}

/// By what a carrier is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The currency prices must be in.
    pub currency: Currency,
    /// The day it is asked: the usual days of a quote without date count from here.
    pub asked_on: Date,
    /// When the parcel was promised to arrive; None: nothing was promised.
    pub promised: Option<Date>,
    /// Which services may be chosen; none: all.
    pub services: Vec<AllowedService>,
    /// Whether the carrier must collect money at the door.
    pub collects: bool,
    /// Whether the carrier must vouch for the date.
    pub guaranteed_only: bool,
    /// In which order.
    pub policy: Policy,
    /// What to do when none arrives in time.
    pub when_late: WhenLate,
}

/// One quote and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The quote.
    pub quote: Quote,
    /// What is known of the service.
    pub evidence: Evidence,
    /// When it arrives: as the carrier says, or as is usual; None: nobody knows.
    pub arrives: Option<Date>,
    /// What the policy makes of its price.
    pub score: Score,
    /// Chosen, behind, or dropped, and why.
    pub verdict: Verdict,
}

/// The carrier that was chosen, and all that were not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The chosen one first, then those behind it in their order, then those dropped.
    pub candidates: Vec<Candidate>,
    /// How many of them were in the running, the chosen one counted: 1 and up.
    pub ranked: usize,
    /// Whether the chosen one arrives after the promised date, or nobody knows when.
    pub misses_promise: bool,
}

/// Why no carrier was chosen. The candidates say it one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoChoice {
    /// Those dropped.
    pub candidates: Vec<Candidate>,
    /// Whether some would do but for the date.
    pub some_are_late: bool,
}

/// Chooses one of the quotes.
pub fn choose(quotes: Vec<(Quote, Evidence)>, wish: &Wish) -> Result<Choice, NoChoice> {
    let candidates = quotes.into_iter().map(|(quote, evidence)| judge(quote, evidence, wish));
    let mut candidates: Vec<Candidate> = candidates.collect();
    candidates.sort_by(|one, other| in_order(one, other, wish.policy));
    let (mut ranked, mut dropped): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| candidate.verdict == Verdict::Running);
    let misses_promise = ranked.is_empty();
    if misses_promise {
        let (mut late, others): (Vec<_>, Vec<_>) =
            dropped.into_iter().partition(|candidate| candidate.verdict.is_late());
        if late.is_empty() || wish.when_late == WhenLate::Refuse {
            let some_are_late = !late.is_empty();
            late.extend(others);
            return Err(NoChoice { candidates: late, some_are_late });
        }
        late.sort_by(|one, other| sooner(one, other).then_with(|| in_order(one, other, wish.policy)));
        (ranked, dropped) = (late, others);
    }
    let ranked_count = ranked.len();
    verdict::settle(&mut ranked, wish.policy, misses_promise);
    ranked.extend(dropped);
    Ok(Choice { candidates: ranked, ranked: ranked_count, misses_promise })
}

impl Wish {
    /// Whether a quote may be chosen, unless it is too late.
    pub fn admits(&self, quote: &Quote) -> bool {
        self.objection(quote).is_none()
    }

    /// What speaks against a quote, whenever it arrives.
    fn objection(&self, quote: &Quote) -> Option<Verdict> {
        if quote.price.currency() != self.currency {
            Some(Verdict::OtherCurrency { wanted: self.currency })
        } else if !self.services.is_empty() && !self.services.iter().any(|allowed| allowed.holds(quote)) {
            Some(Verdict::ServiceNotAllowed)
        } else if self.collects && !quote.collects {
            Some(Verdict::CollectsNothing)
        } else if self.guaranteed_only && !quote.is_guaranteed {
            Some(Verdict::NotGuaranteed)
        } else {
            None
        }
    }
}

fn judge(quote: Quote, evidence: Evidence, wish: &Wish) -> Candidate {
    let usual = || wish.asked_on.checked_add(i64::from(evidence.usual_days?).days()).ok();
    let arrives = quote.delivers.or_else(usual);
    let verdict = wish.objection(&quote).unwrap_or_else(|| match (wish.promised, arrives) {
        (Some(promised), Some(arrives)) if arrives > promised => Verdict::Late { promised },
        (Some(promised), None) => Verdict::ArrivalUnknown { promised },
        _ => Verdict::Running,
    });
    let score = Score::of(quote.price, evidence.reliability, wish.policy);
    Candidate { quote, evidence, arrives, score, verdict }
}

/// Who arrives sooner comes first; who does not know when, last.
fn sooner(one: &Candidate, other: &Candidate) -> Ordering {
    let key = |candidate: &Candidate| (candidate.arrives.is_none(), candidate.arrives);
    key(one).cmp(&key(other))
}

/// The order of the policy; ties by days, then by name. What is still equal differs in nothing that anybody could mind, and is put
/// in order too, so that the order of the quotes never matters.
fn in_order(one: &Candidate, other: &Candidate, policy: Policy) -> Ordering {
    let scored = one.score.cmp(&other.score);
    let first = match policy {
        Policy::Fastest => sooner(one, other).then(scored),
        Policy::CostOverReliability | Policy::Cheapest | Policy::LatenessPenalty { .. } => {
            scored.then_with(|| sooner(one, other))
        }
    };
    let name = |candidate: &Candidate| {
        let quote = &candidate.quote;
        (quote.carrier.clone(), quote.service.clone(), quote.source.clone())
    };
    let rest = |candidate: &Candidate| {
        let quote = &candidate.quote;
        let flags = (!quote.is_guaranteed, !quote.collects, quote.delivers);
        let known = (Reverse(candidate.evidence.reliability), candidate.evidence.usual_days);
        (
            quote.price.currency().code(),
            quote.price.minor(),
            flags,
            known,
            quote.reference.as_str().to_owned(),
        )
    };
    first.then_with(|| name(one).cmp(&name(other))).then_with(|| rest(one).cmp(&rest(other)))
}

#[cfg(test)]
mod tests;
