//! The orders of the flash sale: who wants what, who buys by hold, and who sends his order twice.

use super::shelves::Shelf;
use crate::proto::Line;

/// Of a hundred orders, how many are placed by Reserve and Commit.
const HOLD_PERCENT: u8 = 25;
/// Of a hundred orders, how many are sent again at the same moment.
const REPEAT_AT_ONCE_PERCENT: u8 = 10;
/// Of a hundred orders, how many are sent again after the sale.
const REPEAT_LATER_PERCENT: u8 = 10;
/// The most units of one order.
const UNITS_MAX: i64 = 3;

/// How an order buys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// One Decrement.
    AtOnce,
    /// Reserve, then Commit.
    ByHold,
}

/// When an order is sent again with the same keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Never,
    /// Beside the first.
    AtOnce,
    /// When everything is sold out: it must still get the first answer.
    Later,
}

/// One order.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) key: String,
    pub(super) lines: Vec<Line>,
    pub(super) way: Way,
    pub(super) repeat: Repeat,
}

/// Draws orders of one to three units, some over two SKUs. The same seed draws the same orders.
pub(super) fn draw(shelves: &[Shelf], run: &str, count: u32, seed: u64) -> Vec<Order> {
    assert!(!shelves.is_empty(), "a sale needs something to sell");
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|number| draw_one(shelves, format!("{run}-{number}"), &mut random)).collect()
}

fn draw_one(shelves: &[Shelf], key: String, random: &mut fastrand::Rng) -> Order {
    let units = random.i64(1..=UNITS_MAX);
    let first = random.usize(..shelves.len());
    let line =
        |index: usize, quantity| Line { sku: shelves[index].sku.clone(), quantity, expected_version: None };
    // Two SKUs in one request: all lines or none.
    let lines = if units > 1 && shelves.len() > 1 && random.bool() {
        let second = (first + random.usize(1..shelves.len())) % shelves.len();
        vec![line(first, units - 1), line(second, 1)]
    } else {
        vec![line(first, units)]
    };
    let way = if random.u8(..100) < HOLD_PERCENT { Way::ByHold } else { Way::AtOnce };
    let repeat = match random.u8(..100) {
        dice if dice < REPEAT_AT_ONCE_PERCENT => Repeat::AtOnce,
        dice if dice < REPEAT_AT_ONCE_PERCENT + REPEAT_LATER_PERCENT => Repeat::Later,
        _ => Repeat::Never,
    };
    Order { key, lines, way, repeat }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::shelves::standard, *};

    #[test]
    fn orders_are_as_announced() {
        let orders = draw(&standard(), "run", 3_000, 7);
        let keys: BTreeSet<_> = orders.iter().map(|order| &order.key).collect();
        assert_eq!(keys.len(), 3_000, "every order has its own key");
        for order in &orders {
            let skus: BTreeSet<_> = order.lines.iter().map(|line| &line.sku).collect();
            assert_eq!(skus.len(), order.lines.len(), "no SKU twice in {order:?}");
            let units: i64 = order.lines.iter().map(|line| line.quantity).sum();
            assert!((1..=UNITS_MAX).contains(&units), "{order:?}");
        }
        let share = |chosen: fn(&Order) -> bool| orders.iter().filter(|order| chosen(order)).count() / 30;
        assert!(
            (15..25).contains(&share(|order| order.repeat != Repeat::Never)),
            "about a fifth comes again"
        );
        assert!((20..30).contains(&share(|order| order.way == Way::ByHold)), "about a quarter by hold");
    }

    #[test]
    fn one_shelf_is_enough() {
        let shelves = [Shelf { sku: "A".to_owned(), units: 1 }];
        assert!(draw(&shelves, "run", 100, 1).iter().all(|order| order.lines.len() == 1));
    }
}
