//! Which request call number n of a run is. Pure: the same seed makes the same calls, so none has to be kept to be repeated.

use std::{ops::RangeInclusive, time::Duration};

use clap::ValueEnum;
use serde::Serialize;

use super::call::Ask;
use crate::proto::{CommitRequest, DecrementRequest, DurabilityLevel, Line, ReleaseRequest, ReserveRequest};

/// The most units of one line of a cart.
const CART_QUANTITY_MAX: i64 = 3;
/// An odd number that spreads call numbers over all seeds (2^64 over the golden ratio).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// What kind of day it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Profile {
    /// One rate all the time
    Steady,
    /// The rate rises step by step until p99 or errors break the limit; names the last good one
    Ramp,
    /// A base rate, ten times as much for a quarter of the time, and the base rate again
    Spike,
    /// Everybody wants one SKU, and there are too few of it
    Flash,
    /// Orders of several lines: all of them or none
    Carts,
    /// Reserve, then commit, release, or leave to expire
    Holds,
}

impl Profile {
    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Ramp => "ramp",
            Self::Spike => "spike",
            Self::Flash => "flash",
            Self::Carts => "carts",
            Self::Holds => "holds",
        }
    }
}

/// What becomes of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Commit,
    Release,
    /// Left until its time is over.
    Leave,
}

/// Of a hundred holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fates {
    pub(super) commit_percent: u8,
    pub(super) release_percent: u8,
}

/// One line of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OrderLine {
    /// The number of the SKU.
    pub(super) shelf: u32,
    pub(super) quantity: i64,
}

/// What call number n wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) lines: Vec<OrderLine>,
    /// Of its hold, when the profile reserves.
    pub(super) fate: Fate,
    /// Sent again with the same key, once it is answered.
    pub(super) is_repeated: bool,
}

/// What a run sells, under which names.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) profile: Profile,
    /// Begins every SKU, unique to the run.
    pub(super) sku_prefix: String,
    /// Begins every idempotency key, unique to the run.
    pub(super) key_prefix: String,
    pub(super) skus: u32,
    /// Of each SKU at the start.
    pub(super) units: i64,
    pub(super) seed: u64,
    pub(super) cart_lines: RangeInclusive<u16>,
    pub(super) repeat_percent: u8,
    pub(super) fates: Fates,
    pub(super) hold_ttl: Duration,
    /// Asked for of every change.
    pub(super) durability: Option<DurabilityLevel>,
}

impl Plan {
    /// The SKU with this number.
    pub(super) fn sku(&self, shelf: u32) -> String {
        format!("{}{shelf:06}", self.sku_prefix)
    }

    /// True when calls hold units first.
    pub(super) fn reserves(&self) -> bool {
        self.profile == Profile::Holds
    }

    /// What call number n wants.
    pub(super) fn order(&self, number: u64) -> Order {
        let mut random = fastrand::Rng::with_seed(self.seed ^ number.wrapping_mul(SPREAD));
        let lines = self.lines(&mut random);
        let fate = match random.u8(..100) {
            dice if dice < self.fates.commit_percent => Fate::Commit,
            dice if dice - self.fates.commit_percent < self.fates.release_percent => Fate::Release,
            _ => Fate::Leave,
        };
        Order { lines, fate, is_repeated: random.u8(..100) < self.repeat_percent }
    }

    fn lines(&self, random: &mut fastrand::Rng) -> Vec<OrderLine> {
        let first = random.u32(..self.skus);
        if self.profile != Profile::Carts {
            return vec![OrderLine { shelf: first, quantity: 1 }];
        }
        // Neighbours in a circle: as many different SKUs as lines, without drawing until they differ.
        let count = u32::from(random.u16(self.cart_lines.clone())).min(self.skus);
        let line = |offset| OrderLine {
            shelf: (first + offset) % self.skus,
            quantity: random.i64(1..=CART_QUANTITY_MAX),
        };
        (0..count).map(line).collect()
    }

    /// The request of call number n: always the very same.
    pub(super) fn ask(&self, number: u64) -> Ask {
        let lines = self.order(number).lines;
        let lines = lines.into_iter().map(|line| Line {
            sku: self.sku(line.shelf),
            quantity: line.quantity,
            expected_version: None,
        });
        let idempotency_key = self.key(number, "");
        if self.reserves() {
            let ttl = prost_types::Duration::try_from(self.hold_ttl).ok();
            Ask::Reserve(ReserveRequest {
                idempotency_key,
                lines: lines.collect(),
                ttl,
                durability: self.durability,
                ..ReserveRequest::default()
            })
        } else {
            Ask::Decrement(DecrementRequest {
                idempotency_key,
                lines: lines.collect(),
                durability: self.durability,
                ..DecrementRequest::default()
            })
        }
    }

    /// The request that sells what the hold of call number n promises.
    pub(super) fn commit(&self, number: u64, hold_id: String) -> Ask {
        let idempotency_key = self.key(number, "-commit");
        let durability = self.durability;
        Ask::Commit(CommitRequest { hold_id, idempotency_key, durability, ..CommitRequest::default() })
    }

    /// The request that gives back what the hold of call number n promises.
    pub(super) fn release(&self, number: u64, hold_id: String) -> Ask {
        let idempotency_key = self.key(number, "-release");
        let durability = self.durability;
        Ask::Release(ReleaseRequest { hold_id, idempotency_key, durability, ..ReleaseRequest::default() })
    }

    fn key(&self, number: u64, what: &str) -> String {
        format!("{}{number:012}{what}", self.key_prefix)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A plan of ten SKUs with a hundred units each.
    pub(in crate::cli::load) fn plan(profile: Profile) -> Plan {
        Plan {
            profile,
            sku_prefix: "LOAD-r-".to_owned(),
            key_prefix: "load-r-".to_owned(),
            skus: 10,
            units: 100,
            seed: 7,
            cart_lines: 2..=5,
            repeat_percent: 10,
            fates: Fates { commit_percent: 70, release_percent: 20 },
            hold_ttl: Duration::from_secs(5),
            durability: None,
        }
    }

    #[test]
    fn same_number_is_always_the_same_request() {
        let plan = plan(Profile::Carts);
        for number in 0..100 {
            assert_eq!(plan.ask(number), plan.ask(number));
            assert_eq!(plan.order(number), plan.order(number));
        }
        let other = Plan { seed: 8, ..plan.clone() };
        assert!((0..100).any(|number| plan.order(number) != other.order(number)), "the seed decides");
    }

    #[test]
    fn carts_have_different_skus_and_the_sizes_asked_for() {
        let plan = plan(Profile::Carts);
        let mut sizes = BTreeSet::new();
        for number in 0..1_000 {
            let lines = plan.order(number).lines;
            let shelves: BTreeSet<_> = lines.iter().map(|line| line.shelf).collect();
            assert_eq!(shelves.len(), lines.len(), "no SKU twice in {lines:?}");
            assert!(lines.iter().all(|line| line.shelf < 10 && (1..=3).contains(&line.quantity)));
            sizes.insert(lines.len());
        }
        assert_eq!(sizes, BTreeSet::from([2, 3, 4, 5]));
        let few = Plan { skus: 3, cart_lines: 5..=5, ..plan };
        assert_eq!(few.order(0).lines.len(), 3, "no more lines than SKUs");
    }

    #[test]
    fn shares_are_about_what_was_asked_for() {
        let plan = plan(Profile::Holds);
        let share =
            |chosen: fn(&Order) -> bool| (0..10_000).filter(|n| chosen(&plan.order(*n))).count() / 100;
        assert!((68..73).contains(&share(|order| order.fate == Fate::Commit)));
        assert!((18..23).contains(&share(|order| order.fate == Fate::Release)));
        assert!((8..13).contains(&share(|order| order.fate == Fate::Leave)));
        assert!((8..13).contains(&share(|order| order.is_repeated)));
        let all = Plan { fates: Fates { commit_percent: 100, release_percent: 0 }, ..plan };
        assert!((0..1_000).all(|number| all.order(number).fate == Fate::Commit));
    }

    #[test]
    fn every_sku_is_asked_for() {
        let plan = plan(Profile::Steady);
        let shelves: BTreeSet<_> = (0..1_000).map(|number| plan.order(number).lines[0].shelf).collect();
        assert_eq!(shelves.len(), 10);
        assert_eq!(plan.sku(3), "LOAD-r-000003");
    }
}
