//! `stockgate exposure`: how many orders a shop that polls takes blind, and how many one that is told. No gateway needed.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{
    Verdict,
    failure::CliError,
    moment::parse_duration,
    output::{Output, Row, table},
};
use crate::domain::{BlindOrders, Demand};

/// Says how many orders come between two looks at the stock.
#[derive(Debug, Args)]
pub(super) struct Exposure {
    /// Orders on a usual day, over all channels
    #[arg(long, value_name = "ORDERS", default_value_t = 500.0, value_parser = parse_orders)]
    orders_per_day: f64,
    /// How often a channel that polls asks for the stock
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = parse_window)]
    poll_interval: Duration,
    /// How late a channel that is told hears of a change: `stockgate channels list` shows yours
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = parse_window)]
    lag: Duration,
    /// How many times as many orders come in a spike
    #[arg(long, value_name = "TIMES", default_value_t = 10.0, value_parser = parse_spike)]
    spike: f64,
    /// By how many percent the usual day grows
    #[arg(long, value_name = "PERCENT", default_value_t = 11.0, allow_negative_numbers = true, value_parser = parse_growth)]
    growth: f64,
}

impl Exposure {
    pub(super) fn run(self, output: Output) -> Result<Verdict, CliError> {
        let demand =
            Demand { orders_per_day: self.orders_per_day, spike: self.spike, growth: self.growth / 100.0 };
        let shown = Shown {
            orders_per_day: self.orders_per_day,
            poll_interval_s: self.poll_interval.as_secs_f64(),
            lag_s: self.lag.as_secs_f64(),
            spike: self.spike,
            growth_percent: self.growth,
            polled: demand.within(self.poll_interval).into(),
            told: demand.within(self.lag).into(),
        };
        output.text_or_json(&shown, |shown| text(shown, &self))?;
        Ok(Verdict::Fine)
    }
}

/// The sum, with what went into it.
#[derive(Debug, Serialize)]
struct Shown {
    orders_per_day: f64,
    poll_interval_s: f64,
    lag_s: f64,
    spike: f64,
    growth_percent: f64,
    /// Orders taken blind by a channel that polls.
    polled: Orders,
    /// By one that is told.
    told: Orders,
}

/// Orders within one window.
#[derive(Debug, Clone, Copy, Serialize)]
struct Orders {
    usual: f64,
    spike: f64,
    grown: f64,
    grown_spike: f64,
}

impl From<BlindOrders> for Orders {
    fn from(orders: BlindOrders) -> Self {
        let BlindOrders { usual, spike, grown, grown_spike } = orders;
        Self { usual, spike, grown, grown_spike }
    }
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Line {
    day: String,
    polled: f64,
    told: f64,
}

impl Row for Line {
    const HEAD: &'static [&'static str] = &["orders taken blind", "polled", "told", "times fewer"];

    fn cells(&self) -> Vec<String> {
        // Polling as often as being told late leaves nothing to compare.
        let fewer = if self.told > 0.0 { format!("{:.0}", self.polled / self.told) } else { String::new() };
        vec![self.day.clone(), show(self.polled), show(self.told), fewer]
    }
}

fn text(shown: &Shown, asked: &Exposure) -> String {
    let Shown { polled, told, spike, growth_percent, .. } = shown;
    let line = |day: String, polled, told| Line { day, polled, told };
    let lines = [
        line("a usual day".to_owned(), polled.usual, told.usual),
        line(format!("a spike, {spike} times as many"), polled.spike, told.spike),
        line(format!("after {growth_percent} % growth"), polled.grown, told.grown),
        line(format!("a spike after {growth_percent} % growth"), polled.grown_spike, told.grown_spike),
    ];
    let (interval, lag) = (words(asked.poll_interval), words(asked.lag));
    format!(
        "{orders} orders a day; polled: every {interval}; told: {lag} after the change\n\n{}\n\n\
         polled: {} orders come between two polls, {} in a spike: each may sell what another channel has just sold\n\
         told: {} orders come before the change arrives, {} in a spike\n\
         the sum: orders a day x window / 24 h; only the window differs",
        table(&lines),
        show(polled.usual),
        show(polled.spike),
        show(told.usual),
        show(told.spike),
        orders = asked.orders_per_day,
    )
}

/// One digit after the point; two that count where that would be 0.
fn show(orders: f64) -> String {
    if orders == 0.0 || orders >= 0.1 {
        return format!("{orders:.1}");
    }
    // 0.00029: the first digit that counts, and one more.
    let zeros = (-orders.log10()).floor().clamp(0.0, 12.0) as usize;
    format!("{orders:.*}", zeros + 2)
}

fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn parse_window(text: &str) -> Result<Duration, String> {
    let window = parse_duration(text)?;
    if window > Duration::from_secs(366 * 24 * 60 * 60) {
        return Err("must be at most a year".to_owned());
    }
    Ok(window)
}

fn parse_orders(text: &str) -> Result<f64, String> {
    parse_number(text, 0.0, 1e12)
}

fn parse_spike(text: &str) -> Result<f64, String> {
    parse_number(text, 0.0, 1e6)
}

fn parse_growth(text: &str) -> Result<f64, String> {
    parse_number(text, -100.0, 1e6)
}

fn parse_number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("must be {least} to {most}")) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        exposure: Exposure,
    }

    #[test]
    fn small_numbers_keep_two_digits_that_count() {
        let shown = [0.0, 5.208, 52.08, 0.1, 0.052, 0.000_289].map(show);
        assert_eq!(shown, ["0.0", "5.2", "52.1", "0.1", "0.052", "0.00029"]);
    }

    #[test]
    fn bad_numbers_are_refused() {
        for bad in [
            ["--orders-per-day", "-1"],
            ["--orders-per-day", "NaN"],
            ["--poll-interval", "often"],
            ["--poll-interval", "3y"],
            ["--spike", "x"],
            ["--growth", "-101"],
        ] {
            let line = Line::try_parse_from(["exposure", &bad.join("=")]);
            assert!(line.is_err(), "{bad:?}");
        }
        assert!(Line::try_parse_from(["exposure", "--growth=-20", "--lag=0s"]).is_ok());
    }
}
