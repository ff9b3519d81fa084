//! What the answers of a run add up to: the books the gateway is held against.

use std::time::Instant;

use serde::Serialize;

use super::{
    call::{Outcome, Refusal, Reply},
    plan::Plan,
    run::{OwnHold, What},
};

/// Findings that are kept as text; more are only counted.
const FINDINGS_MAX: usize = 20;
/// Refused calls that are looked at again at the end.
const REFUSED_MAX: usize = 100_000;

/// Sentences about what is wrong: all are counted, the first are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) count: u64,
    pub(super) first: Vec<String>,
}

/// What became of holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Holds {
    pub(super) reserved: u64,
    pub(super) committed: u64,
    pub(super) released: u64,
}

/// Everything that was answered.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Units sold, by the number of the SKU.
    pub(super) sold: Vec<i64>,
    /// Units that were ever on hold, by the number of the SKU.
    pub(super) reserved: Vec<i64>,
    /// First calls that were refused, by their number: at most so many, the first ones.
    pub(super) refused: Vec<u64>,
    pub(super) holds: Holds,
    /// Repeats that were answered.
    pub(super) repeats: u64,
    /// Those that were not the first answer.
    pub(super) repeats_wrong: Findings,
    /// Repeats that got no answer, however often they were sent.
    pub(super) repeats_unanswered: u64,
    /// Answers that cannot be true.
    pub(super) odd: Findings,
    /// Calls whose outcome was unknown, and became known by asking again.
    pub(super) resolved: u64,
    /// Calls whose outcome nobody knows.
    pub(super) unresolved: u64,
}

impl Findings {
    pub(super) fn add(&mut self, sentence: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < FINDINGS_MAX {
            self.first.push(sentence());
        }
    }
}

impl Ledger {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            sold: vec![0; plan.skus as usize],
            reserved: vec![0; plan.skus as usize],
            refused: Vec::new(),
            holds: Holds::default(),
            repeats: 0,
            repeats_wrong: Findings::default(),
            repeats_unanswered: 0,
            odd: Findings::default(),
            resolved: 0,
            unresolved: 0,
        }
    }

    /// The outcome of call number n, or of a call that follows it, repeats apart; `answered` is not before its answer.
    pub(super) fn enter(
        &mut self,
        plan: &Plan,
        (number, what): (u64, &What),
        answered: Instant,
        outcome: &Outcome,
    ) {
        match outcome {
            Outcome::Done(reply) => self.carried_out(plan, number, reply),
            Outcome::Refused(refusal) => match what {
                What::First | What::Repeat(_) => {
                    if self.refused.len() < REFUSED_MAX {
                        self.refused.push(number);
                    }
                }
                What::Commit(hold) => self.end_refused((number, "Commit"), hold, answered, refusal),
                What::Release(hold) => self.end_refused((number, "Release"), hold, answered, refusal),
            },
            // Unknown ones are resolved, and entered then.
            Outcome::Failed(_) => {}
        }
    }

    /// The answer to call number n sent once more; a failure is none, and is asked for again.
    pub(super) fn repeated(&mut self, number: u64, first: &Outcome, again: &Outcome) {
        self.repeats += 1;
        if !again.repeats(first) {
            self.repeats_wrong
                .add(|| format!("call {number} was first {}, then {}", first.words(), again.words()));
        }
    }

    /// A hold that is over may be refused; one that surely is not may not.
    fn end_refused(
        &mut self,
        (number, end): (u64, &str),
        hold: &OwnHold,
        answered: Instant,
        refusal: &Refusal,
    ) {
        if answered < hold.surely_live_until {
            let reason = &refusal.reason;
            self.odd.add(|| {
                format!("call {number}: its {end} was refused with {reason}, well before its hold was over")
            });
        }
    }

    fn carried_out(&mut self, plan: &Plan, number: u64, reply: &Reply) {
        let lines = plan.order(number).lines;
        match reply {
            Reply::Decrement(_) => {}
            Reply::Reserve(_) => self.holds.reserved += 1,
            Reply::Commit(_) => self.holds.committed += 1,
            Reply::Release(_) => self.holds.released += 1,
        }
        let units = match reply {
            Reply::Decrement(_) | Reply::Commit(_) => Some(&mut self.sold),
            Reply::Reserve(_) => Some(&mut self.reserved),
            Reply::Release(_) => None,
        };
        if let Some(units) = units {
            for line in &lines {
                units[line.shelf as usize] += line.quantity;
            }
        }
        let answered = reply.lines();
        let is_as_asked = answered.len() == lines.len()
            && lines
                .iter()
                .zip(answered)
                .all(|(line, said)| said.quantity == line.quantity && said.sku == plan.sku(line.shelf));
        if !is_as_asked {
            self.odd.add(|| format!("call {number} was answered with other lines than it asked for"));
        }
        for line in answered.iter().filter(|line| line.available < 0 || line.on_hand < 0) {
            self.odd.add(|| {
                let (sku, available, on_hand) = (&line.sku, line.available, line.on_hand);
                format!("call {number} left {sku} at {available} available, {on_hand} on hand")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::plan::{Profile, tests::plan},
        *,
    };
    use crate::proto::{DecrementResponse, LineResult};

    fn sold(plan: &Plan, number: u64, available: i64) -> Outcome {
        let result = |line: &super::super::plan::OrderLine| LineResult {
            sku: plan.sku(line.shelf),
            quantity: line.quantity,
            available,
            ..LineResult::default()
        };
        let lines = plan.order(number).lines.iter().map(result).collect();
        Outcome::Done(Reply::Decrement(DecrementResponse { lines, replayed: false, durability: None }))
    }

    #[test]
    fn sold_units_are_added_up_and_refusals_kept() {
        let plan = plan(Profile::Carts);
        let mut ledger = Ledger::new(&plan);
        ledger.enter(&plan, (1, &What::First), Instant::now(), &sold(&plan, 1, 5));
        let no = Refusal { reason: "INSUFFICIENT_STOCK".to_owned(), message: String::new(), replayed: false };
        ledger.enter(&plan, (2, &What::First), Instant::now(), &Outcome::Refused(no));
        let units: i64 = plan.order(1).lines.iter().map(|line| line.quantity).sum();
        assert_eq!(ledger.sold.iter().sum::<i64>(), units);
        assert_eq!(ledger.refused, [2]);
        assert_eq!(ledger.odd, Findings::default());
    }

    #[test]
    fn answers_that_cannot_be_true_are_found() {
        let plan = plan(Profile::Steady);
        let mut ledger = Ledger::new(&plan);
        ledger.enter(&plan, (1, &What::First), Instant::now(), &sold(&plan, 1, -1));
        assert_eq!(ledger.odd.count, 1, "below nothing");
        let nothing = Outcome::Done(Reply::Decrement(DecrementResponse::default()));
        ledger.enter(&plan, (2, &What::First), Instant::now(), &nothing);
        assert_eq!(ledger.odd.count, 2, "no line for the line asked for");
    }

    #[test]
    fn end_of_a_hold_may_be_refused_only_when_it_is_over() {
        let plan = plan(Profile::Holds);
        let reserved = Instant::now();
        let findings = |ttl_ms: u64, answered_after_ms: u64| {
            let mut ledger = Ledger::new(&plan);
            let hold = OwnHold::new("h", reserved, Duration::from_millis(ttl_ms));
            let no = Refusal { reason: "HOLD_EXPIRED".to_owned(), message: String::new(), replayed: false };
            let answered = reserved + Duration::from_millis(answered_after_ms);
            ledger.enter(&plan, (1, &What::Commit(hold)), answered, &Outcome::Refused(no));
            assert_eq!(ledger.refused, [0_u64; 0], "only first calls are looked at again");
            ledger.odd.first
        };
        assert!(findings(5_000, 3_999)[0].contains("call 1: its Commit was refused with HOLD_EXPIRED"));
        assert_eq!(findings(5_000, 4_000), [""; 0], "a second before the end clocks may differ");
        assert_eq!((findings(500, 249).len(), findings(500, 250).len()), (1, 0), "or half its life");
    }

    #[test]
    fn repeats_must_be_the_first_answer() {
        let plan = plan(Profile::Steady);
        let mut ledger = Ledger::new(&plan);
        let first = sold(&plan, 1, 5);
        ledger.repeated(1, &first, &first);
        assert_eq!((ledger.repeats, ledger.repeats_wrong.count), (1, 1), "not marked as replayed");
        assert!(ledger.repeats_wrong.first[0].contains("call 1"), "{ledger:?}");
    }
}
