//! The end of the demo: one table for people, and a list of everything that is wrong.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{
    histogram::{Histogram, Quantile, by_channel},
    receiver::{Behaviour, Seen},
    sale::SaleOutcome,
    shelves::Shelf,
};
use crate::{
    cli::{
        Verdict, moment,
        output::{Row, table},
    },
    domain::PublishPolicy,
    proto::Stock,
};

/// The gateway's histogram of sync lag, labelled by channel.
const LAG_METRIC: &str = "stockgate_sync_lag_seconds";

/// One channel at the end of the sale.
#[derive(Debug, Clone)]
pub struct ChannelEnd {
    /// Its id.
    pub channel: String,
    /// How it behaved.
    pub behaviour: Behaviour,
    /// What it may show of the stock.
    pub policy: PublishPolicy,
    /// What it saw.
    pub seen: Seen,
}

/// Everything the report is made of.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// What the sale began with.
    pub shelves: &'a [Shelf],
    /// What came of it.
    pub sale: &'a SaleOutcome,
    /// What Redis says is left.
    pub truth: &'a [Stock],
    /// What the channels show.
    pub channels: &'a [ChannelEnd],
    /// The gateway's `/metrics`.
    pub metrics_text: &'a str,
}

/// The report; prints as a table.
#[derive(Debug)]
pub struct Report {
    facts: Vec<Fact>,
    channels: Vec<ChannelLine>,
    problems: Vec<String>,
}

impl Report {
    /// Compares what was said, what is and what is shown.
    pub fn new(ends: &Ends<'_>) -> Self {
        let lags = by_channel(ends.metrics_text, LAG_METRIC);
        let channels: Vec<_> = ends
            .channels
            .iter()
            .map(|end| ChannelLine::new(end, ends.truth, lags.get(&end.channel)))
            .collect();
        let mut problems = sale_problems(ends);
        problems.extend(ends.channels.iter().flat_map(|end| channel_problems(end, ends.truth)));
        problems.extend(channels.iter().filter(|line| !line.is_measured).map(|line| {
            format!("channel {}: the gateway measured no sync lag in {LAG_METRIC}", line.channel)
        }));
        Self { facts: facts(ends), channels, problems }
    }

    /// Everything that is wrong, one sentence each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// `Findings` when anything is wrong.
    pub fn verdict(&self) -> Verdict {
        Verdict::of_findings(!self.problems.is_empty())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", table(&self.facts))?;
        writeln!(f, "{}\n", table(&self.channels))?;
        if self.problems.is_empty() {
            return write!(
                f,
                "all is well: nothing oversold, every repeat got its first answer, every channel is right"
            );
        }
        write!(f, "{} problems:", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// One line of the first table.
#[derive(Debug, Serialize)]
struct Fact {
    what: &'static str,
    count: i64,
    note: String,
}

impl Row for Fact {
    const HEAD: &'static [&'static str] = &["flash sale", "count", "note"];

    fn cells(&self) -> Vec<String> {
        let note = if self.note.is_empty() { " ".to_owned() } else { self.note.clone() };
        vec![self.what.to_owned(), self.count.to_string(), note]
    }
}

fn facts(ends: &Ends<'_>) -> Vec<Fact> {
    let sale = ends.sale;
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let fact = |what, count, note: String| Fact { what, count, note };
    let units_before: i64 = ends.shelves.iter().map(|shelf| shelf.units).sum();
    let units_left: i64 = ends.truth.iter().map(|stock| stock.on_hand).sum();
    let skus = ends.shelves.len();
    vec![
        fact("orders", count(sale.orders), format!("in {}", moment::show_duration(sale.elapsed))),
        fact("sold orders", count(sale.sold_orders), String::new()),
        fact("sold units", sale.sold_units.values().sum(), format!("of {units_before} in {skus} SKUs")),
        fact("units left", units_left, "in Redis".to_owned()),
        fact("refused orders", count(sale.refused_orders), "too little left".to_owned()),
        fact("repeats answered", count(sale.repeats_answered), "with the same keys".to_owned()),
        fact("repeats answered otherwise", count(sale.repeats_mismatched), "must be 0".to_owned()),
        fact("orders not decided", count(sale.failed_orders), "must be 0".to_owned()),
        fact("oversold units", oversold(ends).values().sum(), "must be 0".to_owned()),
    ]
}

/// Units sold beyond what was there, per SKU.
fn oversold(ends: &Ends<'_>) -> BTreeMap<String, i64> {
    let beyond = |shelf: &Shelf| {
        let sold = ends.sale.sold_units.get(&shelf.sku).copied().unwrap_or(0);
        let available =
            ends.truth.iter().find(|stock| stock.sku == shelf.sku).map_or(0, |stock| stock.available);
        (sold - shelf.units).max(-available).max(0)
    };
    ends.shelves
        .iter()
        .map(|shelf| (shelf.sku.clone(), beyond(shelf)))
        .filter(|(_, units)| *units > 0)
        .collect()
}

fn sale_problems(ends: &Ends<'_>) -> Vec<String> {
    let sale = ends.sale;
    let mut problems: Vec<_> =
        oversold(ends).into_iter().map(|(sku, units)| format!("{sku}: {units} units oversold")).collect();
    for shelf in ends.shelves {
        let Some(stock) = ends.truth.iter().find(|stock| stock.sku == shelf.sku) else {
            problems.push(format!("{}: the gateway does not know it", shelf.sku));
            continue;
        };
        let expected = shelf.units - sale.sold_units.get(&shelf.sku).copied().unwrap_or(0);
        if stock.on_hand != expected {
            problems.push(format!(
                "{}: {} on hand, {expected} expected after the sale",
                shelf.sku, stock.on_hand
            ));
        }
        if stock.held != 0 {
            problems
                .push(format!("{}: {} units still held, every hold was committed", shelf.sku, stock.held));
        }
    }
    if sale.repeats_mismatched > 0 {
        problems
            .push(format!("{} repeats were answered otherwise than the first time", sale.repeats_mismatched));
    }
    if sale.sold_orders == 0 {
        problems.push("nothing was sold".to_owned());
    }
    if sale.repeats_answered == 0 {
        problems
            .push("no repeat was answered: use more --orders to see that repeats sell nothing".to_owned());
    }
    let wrongly_refused = sale.refused_carts.iter().filter(|cart| is_all_there(cart, ends.truth));
    problems.extend(wrongly_refused.map(|cart| {
        let wanted: Vec<_> = cart.iter().map(|(sku, units)| format!("{units} of {sku}")).collect();
        format!("an order of {} was refused, and so much is left", wanted.join(" and "))
    }));
    if sale.failed_orders > 0 {
        let first = sale.first_failure.as_deref().unwrap_or("unknown");
        problems.push(format!("{} orders were not decided, the first: {first}", sale.failed_orders));
    }
    problems
}

/// Whether all units of a cart are still there. Counts only fall during the sale, so they were there when it was refused.
fn is_all_there(cart: &BTreeMap<String, i64>, truth: &[Stock]) -> bool {
    cart.iter().all(|(sku, units)| truth.iter().any(|stock| stock.sku == *sku && stock.available >= *units))
}

fn channel_problems(end: &ChannelEnd, truth: &[Stock]) -> Vec<String> {
    let channel = &end.channel;
    let mut problems = Vec::new();
    for stock in truth {
        let wanted = end.policy.published(stock.available);
        match end.seen.shown.get(&stock.sku) {
            None => problems.push(format!("channel {channel}: was never told about {}", stock.sku)),
            Some(shown) if shown.quantity != wanted => {
                let Stock { sku, .. } = stock;
                problems.push(format!(
                    "channel {channel}: shows {} of {sku}, should be {wanted}",
                    shown.quantity
                ));
            }
            Some(_) => {}
        }
    }
    if matches!(end.behaviour, Behaviour::FailsFor { .. }) && end.seen.unavailable_count == 0 {
        problems.push(format!("channel {channel}: was to fail for a while and never answered a 503"));
    }
    let counted = [
        (end.seen.went_back_count, "older versions after newer ones"),
        (end.seen.unsigned_count, "calls without a valid signature"),
        (end.seen.malformed_count, "calls it did not understand"),
    ];
    let counted = counted.into_iter().filter(|(count, _)| *count > 0);
    problems.extend(counted.map(|(count, what)| format!("channel {channel}: got {count} {what}")));
    problems
}

/// One line of the second table.
#[derive(Debug, Serialize)]
struct ChannelLine {
    channel: String,
    behaviour: String,
    shown_units: i64,
    wanted_units: i64,
    right: String,
    call_count: u64,
    unavailable_count: u64,
    lag_p50: String,
    lag_p99: String,
    #[serde(skip)]
    is_measured: bool,
}

impl ChannelLine {
    fn new(end: &ChannelEnd, truth: &[Stock], lag: Option<&Histogram>) -> Self {
        let quantity = |stock: &Stock| end.seen.shown.get(&stock.sku).map(|shown| shown.quantity);
        let wanted = |stock: &Stock| end.policy.published(stock.available);
        let right_count = truth.iter().filter(|stock| quantity(stock) == Some(wanted(stock))).count();
        let quantile = |q| lag.and_then(|lag| lag.quantile(q));
        Self {
            channel: end.channel.clone(),
            behaviour: behaviour_words(end.behaviour),
            shown_units: truth.iter().filter_map(quantity).sum(),
            wanted_units: truth.iter().map(wanted).sum(),
            right: format!("{right_count} of {}", truth.len()),
            call_count: end.seen.call_count,
            unavailable_count: end.seen.unavailable_count,
            lag_p50: quantile_words(quantile(0.5)),
            lag_p99: quantile_words(quantile(0.99)),
            is_measured: quantile(0.5).is_some(),
        }
    }
}

impl Row for ChannelLine {
    const HEAD: &'static [&'static str] =
        &["channel", "behaviour", "shows", "truth", "SKUs right", "calls", "503s", "lag p50", "lag p99"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.channel.clone(),
            self.behaviour.clone(),
            self.shown_units.to_string(),
            self.wanted_units.to_string(),
            self.right.clone(),
            self.call_count.to_string(),
            self.unavailable_count.to_string(),
            self.lag_p50.clone(),
            self.lag_p99.clone(),
        ]
    }
}

fn behaviour_words(behaviour: Behaviour) -> String {
    match behaviour {
        Behaviour::Healthy => "healthy".to_owned(),
        Behaviour::Slow { delay } => format!("slow: {} a call", moment::show_duration(delay)),
        Behaviour::FailsFor { duration } => format!("fails for {}", moment::show_duration(duration)),
    }
}

fn quantile_words(quantile: Option<Quantile>) -> String {
    match quantile {
        None => String::new(),
        Some(Quantile::At(lag_s)) => seconds_words(lag_s),
        Some(Quantile::MoreThan(lag_s)) => format!("> {}", seconds_words(lag_s)),
    }
}

fn seconds_words(lag_s: f64) -> String {
    if lag_s < 1.0 { format!("{:.1} ms", lag_s * 1_000.0) } else { format!("{lag_s:.2} s") }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
