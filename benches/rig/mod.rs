//! What every bench stands on: the gateway as a process, what Linux and `/metrics` know of it, and the page of its tables.

pub(crate) mod gateway;
pub(crate) mod machine;
pub(crate) mod metrics;
pub(crate) mod page;
pub(crate) mod process;

/// The middle one; 0 when there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        len if len % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
