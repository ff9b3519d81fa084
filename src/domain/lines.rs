//! The lines of a request: 1 to 100, no SKU twice, all or none.

use super::{Quantity, Sku};

/// The most lines of one request.
pub const LINES_MAX: usize = 100;

/// One SKU and a quantity inside a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The SKU.
    pub sku: Sku,
    /// Units.
    pub quantity: Quantity,
    /// The version the SKU must be at, when that matters.
    pub expected_version: Option<i64>,
}

/// A SKU of a hold and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkuQuantity {
    /// The SKU.
    pub sku: Sku,
    /// Units.
    pub quantity: Quantity,
}

/// Why lines were not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// None were given.
    #[error("must have at least one line")]
    Empty,
    /// More than a request may have.
    #[error("must have at most {LINES_MAX} lines, has {0}: split the request")]
    TooMany(usize),
    /// The same SKU stands in two lines.
    #[error("has {sku} in lines {first} and {second}: give it once, with the sum")]
    Twice {
        /// The SKU.
        sku: Sku,
        /// Index of the one line, from 0.
        first: usize,
        /// Index of the other line, from 0.
        second: usize,
    },
}

/// 1 to 100 lines, no SKU twice, in the caller's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines(Vec<Line>);

impl Lines {
    /// Accepts 1 to 100 lines without a SKU twice.
    pub fn parse(lines: Vec<Line>) -> Result<Self, LineProblem> {
        if lines.is_empty() {
            return Err(LineProblem::Empty);
        }
        check_distinct(lines.len(), |index| &lines[index].sku)?;
        Ok(Self(lines))
    }

    /// The lines.
    pub fn as_slice(&self) -> &[Line] {
        &self.0
    }

    /// The first SKU in byte order: it decides where the idempotency record lives.
    pub fn home(&self) -> &Sku {
        self.0.iter().map(|line| &line.sku).min().expect("lines are never empty")
    }
}

/// Refuses more than 100 lines and a SKU that stands twice.
pub(super) fn check_distinct<'a>(count: usize, sku: impl Fn(usize) -> &'a Sku) -> Result<(), LineProblem> {
    if count > LINES_MAX {
        return Err(LineProblem::TooMany(count));
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| sku(*a).cmp(sku(*b)).then(a.cmp(b)));
    match order.windows(2).find(|pair| sku(pair[0]) == sku(pair[1])) {
        Some(pair) => Err(LineProblem::Twice { sku: sku(pair[0]).clone(), first: pair[0], second: pair[1] }),
        None => Ok(()),
    }
}

impl SkuQuantity {
    /// Refuses more than 100 lines and a SKU that stands twice; none at all means "everything".
    pub fn check(lines: &[Self]) -> Result<(), LineProblem> {
        check_distinct(lines.len(), |index| &lines[index].sku)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sku: &str) -> Line {
        Line {
            sku: Sku::parse(sku).expect("legal"),
            quantity: Quantity::parse(1).expect("legal"),
            expected_version: None,
        }
    }

    #[test]
    fn bounds_and_repeats() {
        assert_eq!(Lines::parse(vec![]), Err(LineProblem::Empty));
        let many = (0..101).map(|n| line(&format!("s{n}"))).collect::<Vec<_>>();
        assert_eq!(Lines::parse(many.clone()), Err(LineProblem::TooMany(101)));
        assert!(Lines::parse(many[..100].to_vec()).is_ok());
        let twice = Lines::parse(vec![line("b"), line("a"), line("b")]);
        assert!(matches!(twice, Err(LineProblem::Twice { first: 0, second: 2, .. })));
    }

    #[test]
    fn home_is_the_first_in_byte_order() {
        let lines = Lines::parse(vec![line("b"), line("Z"), line("a")]).expect("legal");
        assert_eq!(lines.home().as_str(), "Z");
    }
}
