//! The lines of a request.

use std::borrow::Cow;

use crate::{
    domain::{LINES_MAX, Line, LineProblem, Lines, Quantity, Sku, SkuQuantity},
    proto,
};

use super::violations::Violations;

/// Reads 1 to 100 lines without a SKU twice.
pub(super) fn lines(bad: &mut Violations, given: &[proto::Line]) -> Option<Lines> {
    if given.is_empty() {
        bad.add("lines", LineProblem::Empty);
        return None;
    }
    check_count(bad, given.len());
    let mut parsed = Vec::with_capacity(given.len().min(LINES_MAX));
    for (index, line) in given.iter().take(LINES_MAX).enumerate() {
        let sku = sku_at(bad, index, &line.sku);
        let quantity = quantity_at(bad, index, line.quantity);
        let expected_version = match line.expected_version {
            Some(version) => bad.take_version(|| path(index, "expected_version"), version).map(Some),
            None => Some(None),
        };
        if let (Some(sku), Some(quantity), Some(expected_version)) = (sku, quantity, expected_version) {
            parsed.push(Line { sku, quantity, expected_version });
        }
    }
    if parsed.len() == given.len()
        && let Ok(lines) = Lines::parse(parsed)
    {
        return Some(lines);
    }
    add_repeats(bad, given.iter().map(|line| line.sku.as_str()));
    None
}

/// Reads the lines of a commit or release: at most 100, no SKU twice; none means everything.
pub(super) fn hold_lines(bad: &mut Violations, given: &[proto::Quantity]) -> Option<Vec<SkuQuantity>> {
    check_count(bad, given.len());
    let mut parsed = Vec::with_capacity(given.len().min(LINES_MAX));
    for (index, line) in given.iter().take(LINES_MAX).enumerate() {
        let sku = sku_at(bad, index, &line.sku);
        let quantity = quantity_at(bad, index, line.quantity);
        if let (Some(sku), Some(quantity)) = (sku, quantity) {
            parsed.push(SkuQuantity { sku, quantity });
        }
    }
    if parsed.len() == given.len() && SkuQuantity::check(&parsed).is_ok() {
        return Some(parsed);
    }
    add_repeats(bad, given.iter().map(|line| line.sku.as_str()));
    None
}

fn check_count(bad: &mut Violations, count: usize) {
    if count > LINES_MAX {
        bad.add("lines", LineProblem::TooMany(count));
    }
}

fn sku_at(bad: &mut Violations, index: usize, text: &str) -> Option<Sku> {
    bad.take_at(|| path(index, "sku"), Sku::parse(text))
}

fn quantity_at(bad: &mut Violations, index: usize, units: i64) -> Option<Quantity> {
    bad.take_at(|| path(index, "quantity"), Quantity::parse(units))
}

fn path(index: usize, field: &str) -> Cow<'static, str> {
    format!("lines[{index}].{field}").into()
}

/// Names every line that repeats an earlier one.
fn add_repeats<'a>(bad: &mut Violations, skus: impl Iterator<Item = &'a str>) {
    let mut order: Vec<(&str, usize)> =
        skus.take(LINES_MAX).enumerate().map(|(index, sku)| (sku, index)).collect();
    order.sort_unstable();
    for same in order.chunk_by(|a, b| a.0 == b.0) {
        let (sku, first) = same[0];
        // An empty SKU is named for being empty.
        for (_, index) in same[1..].iter().filter(|_| !sku.is_empty()) {
            bad.add(
                path(*index, "sku"),
                format_args!("repeats lines[{first}].sku: give each sku once, with the sum"),
            );
        }
    }
}
