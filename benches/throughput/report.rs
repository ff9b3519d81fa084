//! The table, as Markdown, so that the page in docs shows what the terminal showed.

use std::{fmt, time::Duration};

use crate::{
    measure::{Measured, Pace},
    rig::{machine::Machine, page},
    stock::Books,
};

/// All that was measured.
pub(crate) struct Report<'a> {
    pub(crate) machine: Machine,
    pub(crate) pace: Pace,
    pub(crate) all: &'a [Measured],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, cpu, system, rustc, redis, date } = &self.machine;
        let command = page::command("make bench", "throughput");
        writeln!(f, "{date}, `{command}`; {cores} cores {cpu}, {system}; {rustc}; {redis}.")?;
        let Pace { warm_up, rounds, round } = &self.pace;
        writeln!(f, "{rounds} rounds of {round:?} each in turns, after a warm-up of {warm_up:?}.\n")?;
        write_speed(f, self.all)?;
        writeln!(f)?;
        write_cost(f, self.all)
    }
}

fn write_speed(f: &mut fmt::Formatter<'_>, all: &[Measured]) -> fmt::Result {
    writeln!(
        f,
        "| case | at once | ceiling, calls/s | gateway, calls/s | ratio | ceiling p50 / p99 | gateway p50 / p99 |"
    )?;
    writeln!(f, "|---|--:|--:|--:|--:|--:|--:|")?;
    for measured in all {
        let Measured { case, ceiling, gateway, .. } = measured;
        writeln!(
            f,
            "| {} | {} | {:.0} | {:.0} | {:.2} | {} / {} us | {} / {} us |",
            case.name,
            case.in_flight,
            ceiling.median_calls_per_s(),
            gateway.median_calls_per_s(),
            measured.ratio(),
            ceiling.latency_us(0.5),
            ceiling.latency_us(0.99),
            gateway.latency_us(0.5),
            gateway.latency_us(0.99),
        )?;
    }
    Ok(())
}

fn write_cost(f: &mut fmt::Formatter<'_>, all: &[Measured]) -> fmt::Result {
    writeln!(f, "| case | calls | calls per script | CPU per call: ceiling | gateway | Redis | books |")?;
    writeln!(f, "|---|--:|--:|--:|--:|--:|---|")?;
    for measured in all {
        let calls = measured.gateway.total.calls();
        writeln!(
            f,
            "| {} | {calls} | {:.1} | {} | {} | {} | {} |",
            measured.case.name,
            measured.calls_per_script(),
            per_call(measured.ceiling.cpu, measured.ceiling.total.calls()),
            per_call(measured.gateway.cpu, calls),
            per_call(measured.redis_cpu, calls),
            verdict(measured.books),
        )?;
    }
    Ok(())
}

fn per_call(cpu: Option<Duration>, calls: u64) -> String {
    cpu.map_or_else(
        || "unknown".to_owned(),
        |cpu| format!("{:.1} us", cpu.as_secs_f64() * 1e6 / calls.max(1) as f64),
    )
}

fn verdict(books: Books) -> String {
    let Books { start, sold, left } = books;
    if books.are_right() {
        "right".to_owned()
    } else {
        format!("WRONG: {sold} sold + {left} left, of {start}")
    }
}
