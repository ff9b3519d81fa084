//! The flash sale: many orders at once for few units, some sent twice, every answer compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future, stream};
use tonic::{Status, transport::Channel};
use uuid::Uuid;

use super::{
    buyer::{Answer, Buyer, Outcome},
    order::{Order, Repeat, draw},
    progress::Progress,
    shelves::Shelf,
};

/// How big the sale is.
#[derive(Debug, Clone)]
pub struct SalePlan {
    /// Orders in all, repeats not counted.
    pub orders: u32,
    /// Orders on their way at once.
    pub concurrency: usize,
    /// How long one call may take.
    pub timeout: Duration,
    /// The same seed draws the same orders.
    pub seed: u64,
}

impl Default for SalePlan {
    fn default() -> Self {
        Self { orders: 3_000, concurrency: 64, timeout: Duration::from_secs(10), seed: 1 }
    }
}

/// What came of the sale.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SaleOutcome {
    /// Orders placed, repeats not counted.
    pub orders: u64,
    /// Orders that got all they wanted.
    pub sold_orders: u64,
    /// Units sold, per SKU.
    pub sold_units: BTreeMap<String, i64>,
    /// Orders refused because too little was left.
    pub refused_orders: u64,
    /// What refused orders wanted, each cart once: units per SKU.
    pub refused_carts: BTreeSet<BTreeMap<String, i64>>,
    /// Orders nobody decided: a fault. Must stay 0.
    pub failed_orders: u64,
    /// What the first fault was.
    pub first_failure: Option<String>,
    /// Repeats that were answered.
    pub repeats_answered: u64,
    /// Repeats that were answered otherwise than the first time. Must stay 0.
    pub repeats_mismatched: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Runs the sale against the gateway and shows its progress on stderr.
pub async fn run(gateway: Channel, shelves: &[Shelf], plan: &SalePlan) -> SaleOutcome {
    let started = Instant::now();
    let buyer = Buyer::new(gateway, plan.timeout);
    let orders = draw(shelves, &Uuid::now_v7().to_string(), plan.orders, plan.seed);
    let later = orders.iter().filter(|order| order.repeat == Repeat::Later).count() as u64;
    let mut outcome = SaleOutcome::default();
    let mut progress = Progress::new("orders", u64::from(plan.orders) + later);

    // One task drives them all: nothing is left running when the sale is over.
    let concurrency = plan.concurrency.max(1);
    let mut first_round =
        stream::iter(orders).map(|order| place(&buyer, order)).buffer_unordered(concurrency);
    let mut to_repeat = Vec::new();
    while let Some((order, answers)) = first_round.next().await {
        let wanted = order.lines.iter().map(|line| (line.sku.clone(), line.quantity)).collect();
        if let (Repeat::Later, Ok(answer)) = (order.repeat, &answers.first) {
            to_repeat.push((order, answer.clone()));
        }
        outcome.add_order(wanted, answers);
        progress.step(outcome.sold_orders, outcome.refused_orders);
    }
    let mut second_round = stream::iter(to_repeat)
        .map(|(order, first)| buy_again(&buyer, order, first))
        .buffer_unordered(concurrency);
    while let Some((first, again)) = second_round.next().await {
        outcome.add_repeat(again, |again| is_repeat_of(&first, again));
        progress.step(outcome.sold_orders, outcome.refused_orders);
    }
    progress.finish();
    outcome.elapsed = started.elapsed();
    outcome
}

struct Answers {
    first: Result<Answer, Status>,
    beside: Option<Result<Answer, Status>>,
}

// Orders travel by value: a closure over borrowed ones would make a future that no runtime can spawn.
async fn place(buyer: &Buyer, order: Order) -> (Order, Answers) {
    let answers = match order.repeat {
        Repeat::AtOnce => {
            let (first, beside) = future::join(buyer.buy(&order), buyer.buy(&order)).await;
            Answers { first, beside: Some(beside) }
        }
        Repeat::Never | Repeat::Later => Answers { first: buyer.buy(&order).await, beside: None },
    };
    (order, answers)
}

async fn buy_again(buyer: &Buyer, order: Order, first: Answer) -> (Answer, Result<Answer, Status>) {
    (first, buyer.buy(&order).await)
}

/// A later repeat: the same outcome, and every call says that it is the first answer again.
fn is_repeat_of(first: &Answer, again: &Answer) -> bool {
    first.outcome == again.outcome && again.replayed.iter().all(|replayed| *replayed)
}

/// Two at the same moment: the same outcome, and of every call exactly one was the first.
fn are_twins(one: &Answer, other: &Answer) -> bool {
    let exactly_one_first = one.replayed.iter().zip(&other.replayed).all(|(one, other)| one != other);
    one.outcome == other.outcome && (exactly_one_first || one.retried || other.retried)
}

impl SaleOutcome {
    fn add_order(&mut self, wanted: BTreeMap<String, i64>, answers: Answers) {
        self.orders += 1;
        let first = match answers.first {
            Ok(first) => first,
            Err(status) => {
                self.failed_orders += 1;
                return self.note_failure(&status);
            }
        };
        match &first.outcome {
            Outcome::Sold { units, .. } => {
                self.sold_orders += 1;
                for (sku, quantity) in units {
                    *self.sold_units.entry(sku.clone()).or_default() += quantity;
                }
            }
            Outcome::SoldOut { .. } => {
                self.refused_orders += 1;
                self.refused_carts.insert(wanted);
            }
        }
        if let Some(beside) = answers.beside {
            self.add_repeat(beside, |beside| are_twins(&first, beside));
        }
    }

    fn add_repeat(&mut self, again: Result<Answer, Status>, fits: impl FnOnce(&Answer) -> bool) {
        match again {
            Ok(again) => {
                self.repeats_answered += 1;
                if !fits(&again) {
                    self.repeats_mismatched += 1;
                }
            }
            Err(status) => {
                self.failed_orders += 1;
                self.note_failure(&status);
            }
        }
    }

    fn note_failure(&mut self, status: &Status) {
        self.first_failure.get_or_insert_with(|| format!("{:?}: {}", status.code(), status.message()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sold(event_id: &str, replayed: bool) -> Answer {
        Answer {
            outcome: Outcome::Sold { units: vec![("A".to_owned(), 2)], event_ids: vec![event_id.to_owned()] },
            replayed: vec![replayed],
            retried: false,
        }
    }

    fn sold_out(replayed: bool) -> Answer {
        let shortages = vec!["A: requested 2, available 0".to_owned()];
        Answer { outcome: Outcome::SoldOut { shortages }, replayed: vec![replayed], retried: false }
    }

    #[tokio::test]
    async fn sale_may_be_spawned() {
        fn may_be_spawned<F: Future<Output: Send> + Send>(_: &F) {}
        let gateway = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        may_be_spawned(&run(gateway, &[], &SalePlan::default()));
    }

    #[test]
    fn repeat_has_the_same_outcome_and_says_so() {
        assert!(is_repeat_of(&sold("1", false), &sold("1", true)));
        assert!(is_repeat_of(&sold_out(false), &sold_out(true)));
        assert!(!is_repeat_of(&sold("1", false), &sold("1", false)), "not marked as replayed");
        assert!(!is_repeat_of(&sold("1", false), &sold("2", true)), "sold a second time");
        assert!(!is_repeat_of(&sold("1", false), &sold_out(true)), "the first answer is forgotten");
    }

    #[test]
    fn of_twins_exactly_one_is_first() {
        assert!(are_twins(&sold("1", true), &sold("1", false)));
        assert!(!are_twins(&sold("1", false), &sold("1", false)));
        assert!(!are_twins(&sold("1", true), &sold("1", true)), "somebody must have been first");
        let retried = Answer { retried: true, ..sold("1", true) };
        assert!(are_twins(&retried, &sold("1", true)), "a try whose answer was lost may have been first");
    }

    #[test]
    fn every_order_is_counted_once() {
        let mut outcome = SaleOutcome::default();
        let cart = || BTreeMap::from([("A".to_owned(), 2)]);
        outcome.add_order(cart(), Answers { first: Ok(sold("1", false)), beside: Some(Ok(sold("1", true))) });
        outcome.add_order(cart(), Answers { first: Ok(sold("2", false)), beside: Some(Ok(sold("3", true))) });
        outcome.add_order(cart(), Answers { first: Ok(sold_out(false)), beside: None });
        outcome.add_order(cart(), Answers { first: Err(Status::internal("broken")), beside: None });
        assert_eq!(
            (outcome.orders, outcome.sold_orders, outcome.refused_orders, outcome.failed_orders),
            (4, 2, 1, 1)
        );
        assert_eq!((outcome.repeats_answered, outcome.repeats_mismatched), (2, 1));
        assert_eq!(outcome.sold_units["A"], 4, "repeats do not sell");
        assert_eq!(outcome.first_failure.as_deref(), Some("Internal: broken"));
    }
}
