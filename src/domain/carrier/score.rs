//! What a policy makes of a price: an exact fraction, so that no rounding decides between two carriers.

use std::cmp::Ordering;

use super::{Money, PPM, Policy, Reliability};

/// An amount of minor units, as a fraction. Amounts are at most 10^12 and shares at most 10^6, so products stay under 2^101.
#[derive(Debug, Clone, Copy)]
pub struct Score {
    numerator: u128,
    denominator: u128,
}

impl Score {
    /// The score of a price; the lower, the better.
    pub fn of(price: Money, reliability: Reliability, policy: Policy) -> Self {
        let (price, ppm) = (u128::from(price.minor().unsigned_abs()), u128::from(reliability.ppm()));
        let whole = u128::from(PPM);
        match policy {
            Policy::CostOverReliability => Self { numerator: price * whole, denominator: ppm },
            Policy::Cheapest | Policy::Fastest => Self { numerator: price, denominator: 1 },
            Policy::LatenessPenalty { penalty_minor } => {
                let penalty = u128::from(penalty_minor.unsigned_abs());
                Self { numerator: price * whole + penalty * (whole - ppm), denominator: whole }
            }
        }
    }

    /// In whole minor units, rounded up: to be shown, not to be compared.
    pub fn minor(self) -> i64 {
        i64::try_from(self.numerator.div_ceil(self.denominator)).unwrap_or(i64::MAX)
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.numerator * other.denominator).cmp(&(other.numerator * self.denominator))
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}

#[cfg(test)]
mod tests {
    use super::{super::Currency, *};

    #[test]
    fn scores_are_exact() {
        let check = |price, ppm, policy, expected| {
            let price = Money::new(price, Currency::parse("EUR").expect("known")).expect("in range");
            assert_eq!(Score::of(price, Reliability::from_ppm(ppm), policy).minor(), expected);
        };
        check(742, 930_000, Policy::CostOverReliability, 798);
        check(742, 1_000_000, Policy::CostOverReliability, 742);
        check(742, 500_000, Policy::Cheapest, 742);
        check(742, 930_000, Policy::LatenessPenalty { penalty_minor: 1_000 }, 812);
        check(super::super::MINOR_MAX, 1, Policy::CostOverReliability, super::super::MINOR_MAX * 1_000_000);
    }
}
