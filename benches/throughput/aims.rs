//! What this gateway set out to reach, and whether it did: ratios of one run on one machine.

use crate::{
    measure::{Measured, Table},
    open_loop::{KEPT_UP_SHARE_MIN, OpenLoop},
    plan,
};

/// One aim beside what was measured.
pub(crate) struct Aim {
    pub(crate) what: String,
    pub(crate) aim: String,
    pub(crate) measured: String,
    pub(crate) is_met: bool,
}

/// CPU time of one call where the answer at once takes [`AT_ONCE_US`]: on another machine, as many times as much. Both the time
/// and the ratio are shown.
const GATEWAY_US_MAX: f64 = 8.0;
const AT_ONCE_US: f64 = 5.0;
const P99_MAX_MS: f64 = 5.0;

/// All aims that these tables speak of.
pub(crate) fn aims(tables: &[Table], open_loop: Option<&OpenLoop>) -> Vec<Aim> {
    let of = Tables(tables);
    let mut aims = Vec::new();
    aims.extend(of.share(plan::HOT, plan::DECREMENT, 0.6));
    aims.extend(of.share(plan::SPREAD, plan::DECREMENT, 0.5));
    aims.extend(of.share(plan::MANY, plan::LARGE, 0.5));
    aims.extend(of.share(plan::ALWAYS, plan::OURS_HOT, 0.4));
    aims.extend(of.share(plan::ALWAYS, plan::OURS_SPREAD, 0.4));
    aims.extend(of.share(plan::SOLD_OUT, plan::DECREMENT, 0.6));
    aims.extend(of.share(plan::PAIRS, plan::PAIR, 0.25));
    for group in [plan::HOT, plan::SPREAD] {
        let both = of.two(group, plan::STREAM, plan::DECREMENT);
        let what = format!("{group}: Transact over Decrement");
        aims.extend(both.map(|(stream, unary)| at_least(what, stream.ratio_to(unary), 1.5)));
    }
    aims.extend(of.two(plan::ALONE, plan::DECREMENT, plan::ANSWERS_AT_ONCE).into_iter().flat_map(alone));
    aims.extend(open_loop.map(steady));
    aims.extend(
        of.two(plan::HOT, plan::DECREMENT, plan::ANSWERS_AT_ONCE).and_then(gateway_cpu).into_iter().flatten(),
    );
    aims.extend(of.two(plan::HOT, plan::DECREMENT, plan::ONE_BY_ONE).and_then(|(batched, single)| {
        let ratio = batched.cpu_us(|cpu| cpu.below)? / single.cpu_us(|cpu| cpu.below)?;
        let what = format!("{}: CPU of Redis per Decrement over one script for each", plan::HOT);
        Some(at_most(what, ratio, 0.4, ""))
    }));
    aims.extend(
        of.two(plan::MANY, plan::HUGE, plan::SPREAD)
            .map(|(huge, small)| at_least("1,000,000 SKUs over 1,000".to_owned(), huge.ratio_to(small), 0.9)),
    );
    for pair in plan::CARTS_OF.windows(2) {
        let (smaller, larger) = (pair[0], pair[1]);
        let both = of.two(plan::CARTS, larger, smaller);
        aims.extend(both.map(|both| carts(&format!("{larger} over {smaller}"), both)));
    }
    aims
}

/// One line of one table.
pub(crate) fn line<'a>(tables: &'a [Table], group: &str, name: &str) -> Option<&'a Measured> {
    let table = tables.iter().find(|table| table.name == group)?;
    table.lines.iter().find(|line| line.contender.name == name)
}

struct Tables<'a>(&'a [Table]);

impl<'a> Tables<'a> {
    fn two(&self, group: &str, one: &str, other: &str) -> Option<(&'a Measured, &'a Measured)> {
        Some((line(self.0, group, one)?, line(self.0, group, other)?))
    }

    /// A share of what the answer at once does.
    fn share(&self, group: &str, name: &str, min: f64) -> Option<Aim> {
        let (line, at_once) = self.two(group, name, plan::ANSWERS_AT_ONCE)?;
        Some(at_least(format!("{group}: {name} over the answer at once"), line.ratio_to(at_once), min))
    }
}

fn at_least(what: String, measured: f64, min: f64) -> Aim {
    Aim { what, aim: format!("≥ {min}"), measured: format!("{measured:.2}"), is_met: measured >= min }
}

fn at_most(what: String, measured: f64, max: f64, unit: &str) -> Aim {
    let with_unit = |number: String| format!("{number} {unit}").trim_end().to_owned();
    Aim {
        what,
        aim: with_unit(format!("≤ {max}")),
        measured: with_unit(format!("{measured:.2}")),
        is_met: measured <= max,
    }
}

fn alone((ours, at_once): (&Measured, &Measured)) -> [Aim; 2] {
    let (p50, p99) = (ours.latency_us(0.5), ours.latency_us(0.99));
    let median = p50 / at_once.latency_us(0.5).max(1.0);
    [
        at_most(format!("{}: p50 over that of the answer at once", plan::ALONE), median, 2.0, ""),
        at_most(format!("{}: p99 over its p50", plan::ALONE), p99 / p50.max(1.0), 3.0, ""),
    ]
}

/// The latency of calls that were not carried out is no merit.
fn steady(open_loop: &OpenLoop) -> Aim {
    let OpenLoop { rate, answered_per_s, p99_us, calls, failed, unsent, .. } = open_loop;
    let p99_ms = *p99_us as f64 / 1000.0;
    let least = KEPT_UP_SHARE_MIN * 100.0;
    Aim {
        what: format!("p99 of an open loop at {rate:.0} calls/s, 70 % of the peak"),
        aim: format!("≤ {P99_MAX_MS} ms, none failed or unsent, ≥ {least:.0} % of the rate answered"),
        measured: format!(
            "{p99_ms:.2} ms, {failed} failed and {unsent} unsent of {calls}, {:.1} % answered",
            100.0 * answered_per_s / rate
        ),
        is_met: p99_ms <= P99_MAX_MS && open_loop.kept_up(),
    }
}

fn gateway_cpu((ours, at_once): (&Measured, &Measured)) -> Option<[Aim; 2]> {
    let (ours, at_once) = (ours.cpu_us(|cpu| cpu.server)?, at_once.cpu_us(|cpu| cpu.server)?);
    let what = format!("{}: CPU of the gateway per Decrement", plan::HOT);
    let ratio = format!("{what} over the answer at once ({at_once:.1} us)");
    Some([
        at_most(what, ours, GATEWAY_US_MAX, "us"),
        at_most(ratio, ours / at_once, GATEWAY_US_MAX / AT_ONCE_US, ""),
    ])
}

fn carts(what: &str, (larger, smaller): (&Measured, &Measured)) -> Aim {
    let per_call = |line: &Measured| line.contender.load.ask.lines() as f64;
    let ratio = larger.ratio_to(smaller) * per_call(larger) / per_call(smaller);
    Aim {
        what: format!("carts: lines per second, {what}"),
        aim: "> 1".to_owned(),
        measured: format!("{ratio:.2}"),
        is_met: ratio > 1.0,
    }
}
