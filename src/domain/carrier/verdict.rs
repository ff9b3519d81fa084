//! What became of a quote, and why, in words for who asks later.

use std::fmt;

use jiff::civil::Date;

use super::{Candidate, Currency, Money, Policy, Score, sooner};

/// What became of a quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks against it; not in the outcome of a choice.
    Running,
    /// Chosen.
    Chosen(Ground),
    /// In the running, and not the first.
    Behind(Ground),
    /// Its price is in another currency than the one wanted.
    OtherCurrency {
        /// The one wanted.
        wanted: Currency,
    },
    /// Not among the services allowed.
    ServiceNotAllowed,
    /// Collects no money at the door.
    CollectsNothing,
    /// Vouches for no date.
    NotGuaranteed,
    /// Arrives after the promised date.
    Late {
        /// That date.
        promised: Date,
    },
    /// Nobody knows whether it arrives by the promised date.
    ArrivalUnknown {
        /// That date.
        promised: Date,
    },
}

/// What decided between the chosen quote and another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// There is no other.
    OnlyOne,
    /// There is no other, and it is late.
    OnlyLate,
    /// What the policy makes of the prices.
    Score,
    /// The days; in a choice of the late the only thing that counts first.
    Days,
    /// Both are alike but for their names.
    Name,
}

impl Verdict {
    /// Whether only the date speaks against it.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Self::Late { .. } | Self::ArrivalUnknown { .. })
    }

    /// Its word, as in events and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Chosen(_) => "chosen",
            Self::Behind(_) => "behind",
            Self::OtherCurrency { .. } => "other_currency",
            Self::ServiceNotAllowed => "service_not_allowed",
            Self::CollectsNothing => "collects_nothing",
            Self::NotGuaranteed => "not_guaranteed",
            Self::Late { .. } => "late",
            Self::ArrivalUnknown { .. } => "arrival_unknown",
        }
    }
}

/// Gives those in the running their verdicts; the first is the chosen one.
pub(super) fn settle(ranked: &mut [Candidate], policy: Policy, misses_promise: bool) {
    let Some((chosen, behind)) = ranked.split_first_mut() else { return };
    let ground_against = |other: &Candidate| {
        let days_first = misses_promise || policy == Policy::Fastest;
        let (score, days) = (chosen.score != other.score, sooner(chosen, other).is_ne());
        match (days_first, score, days) {
            (true, _, true) | (false, false, true) => Ground::Days,
            (_, true, _) => Ground::Score,
            (_, false, false) => Ground::Name,
        }
    };
    let grounds: Vec<Ground> = behind.iter().map(ground_against).collect();
    for (other, ground) in behind.iter_mut().zip(&grounds) {
        other.verdict = Verdict::Behind(*ground);
    }
    let alone = if misses_promise { Ground::OnlyLate } else { Ground::OnlyOne };
    chosen.verdict = Verdict::Chosen(grounds.first().copied().unwrap_or(alone));
}

impl Candidate {
    /// Why, in a sentence.
    pub fn reason(&self, policy: Policy) -> String {
        match &self.verdict {
            Verdict::Running => "nothing speaks against it".to_owned(),
            Verdict::Chosen(Ground::OnlyOne) => "the only one that fits".to_owned(),
            Verdict::Chosen(Ground::OnlyLate) => format!("the only one, and late: {}", Arrival(self.arrives)),
            Verdict::Chosen(Ground::Score) => format!("lowest: {}", Sum { candidate: self, policy }),
            Verdict::Chosen(Ground::Days) => format!("soonest: {}", Arrival(self.arrives)),
            Verdict::Chosen(Ground::Name) => "others are as good: first by name".to_owned(),
            Verdict::Behind(Ground::Score) => format!("more: {}", Sum { candidate: self, policy }),
            Verdict::Behind(Ground::Days) => format!("later: {}", Arrival(self.arrives)),
            Verdict::Behind(Ground::Name | Ground::OnlyOne | Ground::OnlyLate) => {
                "as good, but not the first by name".to_owned()
            }
            Verdict::OtherCurrency { wanted } => {
                format!("its price is {}, wanted are prices in {wanted}", self.quote.price)
            }
            Verdict::ServiceNotAllowed => "not among the services allowed".to_owned(),
            Verdict::CollectsNothing => "collects no money at the door".to_owned(),
            Verdict::NotGuaranteed => "vouches for no date".to_owned(),
            Verdict::Late { promised } => format!("{}, promised is {promised}", Arrival(self.arrives)),
            Verdict::ArrivalUnknown { promised } => {
                format!("says no date and too few deliveries are known, promised is {promised}")
            }
        }
    }
}

struct Arrival(Option<Date>);

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(date) => write!(f, "arrives {date}"),
            None => f.write_str("arrives nobody knows when"),
        }
    }
}

/// How a score comes about.
struct Sum<'a> {
    candidate: &'a Candidate,
    policy: Policy,
}

impl fmt::Display for Sum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Candidate { quote, evidence, score, .. } = self.candidate;
        let (ppm, price) = (evidence.reliability.ppm(), quote.price);
        let share = |ppm: u32| format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100);
        match self.policy {
            Policy::CostOverReliability => {
                write!(f, "{price} at {} in time makes {}", share(ppm), Shown(*score, price))
            }
            Policy::Cheapest | Policy::Fastest => price.fmt(f),
            Policy::LatenessPenalty { .. } => {
                write!(
                    f,
                    "{price} and a penalty at {} late make {}",
                    share(1_000_000 - ppm),
                    Shown(*score, price)
                )
            }
        }
    }
}

/// A score as money: of the currency of its price.
struct Shown(Score, Money);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Money::new(self.0.minor(), self.1.currency()) {
            Ok(money) => money.fmt(f),
            // Beyond what money may be: a price no carrier asks, over a reliability of nearly none.
            Err(_) => write!(f, "{} minor units", self.0.minor()),
        }
    }
}
