//! The table, as Markdown, so that the page in docs shows what the terminal showed.

use std::{fmt, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    machine::Machine,
    measure::{Measured, Pace},
    stock::Books,
};

/// What stands between these two lines of the page is replaced.
const BEGIN: &str = "<!-- measured -->\n";
const END: &str = "<!-- end of measured -->\n";

/// All that was measured.
pub(crate) struct Report<'a> {
    pub(crate) machine: Machine,
    pub(crate) pace: Pace,
    pub(crate) all: &'a [Measured],
}

impl Report<'_> {
    /// Replaces the table of the page.
    pub(crate) fn write_into(&self, page: &Path) -> Result<()> {
        let text = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
        let missing = || format!("{} has no lines {BEGIN:?} and {END:?}", page.display());
        let (before, rest) = text.split_once(BEGIN).with_context(missing)?;
        let (_, after) = rest.split_once(END).with_context(missing)?;
        fs::write(page, format!("{before}{BEGIN}\n{self}\n{END}{after}"))?;
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, cpu, system, rustc, redis, date } = &self.machine;
        let command = command();
        writeln!(f, "{date}, `{command}`; {cores} cores {cpu}, {system}; {rustc}; {redis}.")?;
        let Pace { warm_up, rounds, round } = &self.pace;
        writeln!(f, "{rounds} rounds of {round:?} each in turns, after a warm-up of {warm_up:?}.\n")?;
        write_speed(f, self.all)?;
        writeln!(f)?;
        write_cost(f, self.all)
    }
}

/// How this run was asked for.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.is_empty() {
        return "make bench".to_owned();
    }
    format!("cargo bench --bench throughput -- {}", arguments.join(" "))
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
