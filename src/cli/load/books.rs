//! Whether the gateway's books are those of the answers: for every SKU, sold and left make what there was at the start.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::{
    super::{
        failure::CliError,
        gateway::Gateway,
        output::{Row, table},
    },
    ledger::{Holds, Ledger},
    plan::Plan,
    shelves,
};
use crate::proto::Stock;

/// Wrong SKUs that are named; more are only counted.
const WRONG_MAX: usize = 20;
/// How long after its deadline a hold may still be counted as held: the gateway's sweeper comes once a second.
const SWEEP_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether the holds are over.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// The end of the books.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Books {
    /// True when there is nothing wrong below.
    pub(super) right: bool,
    pub(super) skus: u32,
    /// Units at the start, over all SKUs.
    pub(super) start: i64,
    /// Units sold, as the answers say.
    pub(super) sold: i64,
    /// Units on hand, as the gateway says.
    pub(super) left: i64,
    /// Units on hold.
    pub(super) held: i64,
    pub(super) holds: Holds,
    /// Repeats that were answered.
    pub(super) repeats: u64,
    pub(super) repeats_wrong: u64,
    /// Repeats that got no answer, however often they were sent.
    pub(super) repeats_unanswered: u64,
    /// Calls of unknown outcome that a repeat decided.
    pub(super) resolved: u64,
    /// Calls whose outcome nobody knows.
    pub(super) unresolved: u64,
    pub(super) wrong_sku_count: u64,
    /// The first of them.
    pub(super) wrong_skus: Vec<WrongSku>,
    /// Everything else that is wrong, one sentence each; the first of each kind.
    pub(super) findings: Vec<String>,
}

/// A SKU whose count is not what the answers add up to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct WrongSku {
    sku: String,
    start: i64,
    sold: i64,
    expected: i64,
    /// None when the gateway does not know it.
    on_hand: Option<i64>,
    held: i64,
    why: &'static str,
}

/// Reads what is left, once the holds that were left alone are over, and compares.
pub(super) async fn check(gateway: &Gateway, plan: &Plan, ledger: &Ledger) -> Result<Books, CliError> {
    let patience = if plan.reserves() { plan.hold_ttl + SWEEP_PATIENCE } else { Duration::ZERO };
    let deadline = Instant::now() + patience;
    loop {
        let stocks = shelves::count(gateway, plan).await?;
        let is_held = stocks.iter().flatten().any(|stock| stock.held != 0);
        if !is_held || Instant::now() >= deadline {
            return Ok(compare(plan, ledger, &stocks));
        }
        tokio::time::sleep(LOOK_INTERVAL).await; // why: between two looks at holds that end by the gateway's clock
    }
}

/// Compares. `stocks` has one entry per SKU, in order.
fn compare(plan: &Plan, ledger: &Ledger, stocks: &[Option<Stock>]) -> Books {
    let mut wrong_sku_count = 0;
    let mut wrong_skus = Vec::new();
    for (shelf, (sold, stock)) in (0..).zip(ledger.sold.iter().zip(stocks)) {
        let Some(why) = why_wrong(plan.units - sold, stock.as_ref()) else { continue };
        wrong_sku_count += 1;
        if wrong_skus.len() < WRONG_MAX {
            wrong_skus.push(WrongSku {
                sku: plan.sku(shelf),
                start: plan.units,
                sold: *sold,
                expected: plan.units - sold,
                on_hand: stock.as_ref().map(|stock| stock.on_hand),
                held: stock.as_ref().map_or(0, |stock| stock.held),
                why,
            });
        }
    }
    let mut findings = ledger.repeats_wrong.first.clone();
    findings.extend(ledger.odd.first.iter().cloned());
    findings.extend(wrongly_refused(plan, ledger, stocks));
    if ledger.repeats_unanswered > 0 {
        findings.push(format!(
            "{} repeats were not answered, however often they were sent: nobody knows whether the first answer is kept",
            ledger.repeats_unanswered
        ));
    }
    if ledger.unresolved > 0 {
        findings.push(format!(
            "{} calls have no answer, not even when asked again: their SKUs may differ by them",
            ledger.unresolved
        ));
    }
    let sum = |count: fn(&Stock) -> i64| stocks.iter().flatten().map(count).sum();
    Books {
        right: wrong_sku_count == 0 && findings.is_empty(),
        skus: plan.skus,
        start: plan.units * i64::from(plan.skus),
        sold: ledger.sold.iter().sum(),
        left: sum(|stock| stock.on_hand),
        held: sum(|stock| stock.held),
        holds: ledger.holds,
        repeats: ledger.repeats,
        repeats_wrong: ledger.repeats_wrong.count,
        repeats_unanswered: ledger.repeats_unanswered,
        resolved: ledger.resolved,
        unresolved: ledger.unresolved,
        wrong_sku_count,
        wrong_skus,
        findings,
    }
}

fn why_wrong(expected: i64, stock: Option<&Stock>) -> Option<&'static str> {
    let Some(stock) = stock else { return Some("the gateway does not know it") };
    if stock.available < 0 || stock.on_hand < 0 {
        Some("oversold")
    } else if stock.on_hand < expected {
        Some("less is left than was not sold here")
    } else if stock.on_hand > expected {
        Some("more is left than was not sold here")
    } else if stock.held != 0 {
        Some("units are held though every hold is over")
    } else {
        None
    }
}

/// The first call that was refused although everything it wanted was there: is there still, as counts only fall while
/// nothing is held or given back; or was never on hold, however often the rest was held and given back.
fn wrongly_refused(plan: &Plan, ledger: &Ledger, stocks: &[Option<Stock>]) -> Option<String> {
    let left = |shelf: u32| {
        if plan.reserves() {
            return plan.units - ledger.reserved.get(shelf as usize).copied().unwrap_or(0);
        }
        let stock = stocks.get(shelf as usize).and_then(Option::as_ref);
        stock.map_or(0, |stock| stock.available)
    };
    let is_there =
        |number: &&u64| plan.order(**number).lines.iter().all(|line| left(line.shelf) >= line.quantity);
    let number = ledger.refused.iter().find(is_there)?;
    let lines = plan.order(*number).lines;
    let wanted: Vec<_> =
        lines.iter().map(|line| format!("{} of {}", line.quantity, plan.sku(line.shelf))).collect();
    let there = if plan.reserves() { "was never on hold" } else { "is left" };
    Some(format!("call {number} wanted {} and was refused, and so much {there}", wanted.join(" and ")))
}

impl Books {
    /// The books for people.
    pub(super) fn text(&self) -> String {
        let Self { skus, start, sold, left, held, repeats, resolved, .. } = self;
        let noun = if *skus == 1 { "SKU" } else { "SKUs" };
        let mut text = format!("books: {sold} sold + {left} left of {start} units in {skus} {noun}");
        if *held != 0 {
            text.push_str(&format!(", {held} held"));
        }
        let Holds { reserved, committed, released } = self.holds;
        if reserved > 0 {
            let expired = reserved.saturating_sub(committed + released);
            text.push_str(&format!(
                "; {reserved} holds: {committed} committed, {released} released, {expired} expired"
            ));
        }
        text.push_str(&format!("; {repeats} repeats"));
        if *resolved > 0 {
            text.push_str(&format!("; {resolved} lost answers asked for again"));
        }
        if self.right {
            text.push_str(
                "\nthe books are right: every unit is accounted for, every repeat got its first answer",
            );
            return text;
        }
        text.push_str("\nTHE BOOKS ARE WRONG");
        for finding in &self.findings {
            text.push_str(&format!("\n  {finding}"));
        }
        if !self.wrong_skus.is_empty() {
            text.push_str(&format!("\nwrong SKUs: {}", self.wrong_sku_count));
            if self.wrong_sku_count > self.wrong_skus.len() as u64 {
                text.push_str(&format!("; the first {}", self.wrong_skus.len()));
            }
            text.push_str(&format!("\n{}", table(&self.wrong_skus)));
        }
        text
    }
}

impl Row for WrongSku {
    const HEAD: &'static [&'static str] = &["sku", "start", "sold", "expected", "on hand", "held", "why"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.sku.clone(),
            self.start.to_string(),
            self.sold.to_string(),
            self.expected.to_string(),
            self.on_hand.map(|units| units.to_string()).unwrap_or_default(),
            self.held.to_string(),
            self.why.to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::plan::{Profile, tests::plan},
        *,
    };

    /// Ten SKUs of a hundred, three of each sold.
    fn sold_three_each(profile: Profile) -> (Plan, Ledger, Vec<Option<Stock>>) {
        let plan = plan(profile);
        let mut ledger = Ledger::new(&plan);
        ledger.sold.fill(3);
        let stock = |shelf| Stock { sku: plan.sku(shelf), on_hand: 97, available: 97, ..Stock::default() };
        let stocks = (0..10).map(|shelf| Some(stock(shelf))).collect();
        (plan, ledger, stocks)
    }

    #[test]
    fn what_adds_up_is_right() {
        let (plan, ledger, stocks) = sold_three_each(Profile::Steady);
        let books = compare(&plan, &ledger, &stocks);
        assert!(books.right, "{books:?}");
        assert_eq!((books.start, books.sold, books.left), (1_000, 30, 970));
        assert!(books.text().contains("30 sold + 970 left of 1000 units in 10 SKUs"), "{}", books.text());
    }

    #[test]
    fn each_wrong_count_names_its_sku() {
        let check = |change: fn(&mut Stock), said: &str| {
            let (plan, ledger, mut stocks) = sold_three_each(Profile::Steady);
            change(stocks[4].as_mut().expect("all are there"));
            let books = compare(&plan, &ledger, &stocks);
            assert!(!books.right);
            let text = books.text();
            assert!(text.contains("LOAD-r-000004") && text.contains(said), "{text}");
            assert!(!text.contains("LOAD-r-000003"), "{text}");
        };
        check(|stock| stock.on_hand = 96, "less is left");
        check(|stock| stock.on_hand = 98, "more is left");
        check(|stock| stock.held = 1, "held though every hold is over");
        check(|stock| stock.available = -1, "oversold");
        let (plan, ledger, mut stocks) = sold_three_each(Profile::Steady);
        stocks[4] = None;
        assert!(compare(&plan, &ledger, &stocks).text().contains("does not know it"));
    }

    #[test]
    fn list_of_wrong_skus_is_bounded() {
        let plan = Plan { skus: 100, ..plan(Profile::Steady) };
        let books = compare(&plan, &Ledger::new(&plan), &vec![None; 100]);
        assert_eq!((books.wrong_sku_count, books.wrong_skus.len()), (100, WRONG_MAX));
        assert!(books.text().contains("wrong SKUs: 100; the first 20"), "{}", books.text());
    }

    #[test]
    fn refusal_of_what_is_still_there_is_wrong() {
        let (plan, mut ledger, mut stocks) = sold_three_each(Profile::Flash);
        ledger.refused.push(5);
        let books = compare(&plan, &ledger, &stocks);
        assert!(books.findings[0].contains("call 5 wanted 1 of LOAD-r-"), "{books:?}");
        for stock in stocks.iter_mut().flatten() {
            (stock.on_hand, stock.available) = (0, 0);
        }
        ledger.sold.fill(100);
        assert!(compare(&plan, &ledger, &stocks).right, "sold out is a right answer");
    }

    #[test]
    fn refused_reserve_is_wrong_where_too_few_were_ever_held() {
        let (plan, mut ledger, stocks) = sold_three_each(Profile::Holds);
        ledger.refused.push(5);
        ledger.reserved.fill(99);
        let books = compare(&plan, &ledger, &stocks);
        assert!(books.findings[0].contains("so much was never on hold"), "{books:?}");
        ledger.reserved.fill(100);
        assert!(compare(&plan, &ledger, &stocks).right, "all of it may have been held then");
    }

    #[test]
    fn wrong_repeats_and_lost_calls_make_the_books_wrong() {
        let (plan, mut ledger, stocks) = sold_three_each(Profile::Steady);
        ledger.unresolved = 2;
        ledger.repeats_wrong.add(|| "call 1 differs".to_owned());
        let books = compare(&plan, &ledger, &stocks);
        assert!(!books.right);
        assert_eq!(books.findings.len(), 2, "{books:?}");

        let (plan, mut ledger, stocks) = sold_three_each(Profile::Steady);
        ledger.repeats_unanswered = 3;
        let books = compare(&plan, &ledger, &stocks);
        assert!(!books.right && books.text().contains("3 repeats were not answered"), "{}", books.text());
    }
}
