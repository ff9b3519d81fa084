//! The tables, as Markdown, so that the page in docs shows what the terminal showed.

use std::fmt;

use crate::{
    measure::{Measured, Pace, Table},
    rig::{machine::Machine, page},
    shelves::Books,
};

/// All that was measured.
pub(crate) struct Report<'a> {
    pub(crate) machine: Machine,
    pub(crate) pace: Pace,
    pub(crate) tables: &'a [Table],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, cpu, system, rustc, redis, date, .. } = &self.machine;
        let command = page::command("make bench", "throughput");
        writeln!(f, "{date}, `{command}`; {cores} cores {cpu}, {system}; {rustc}; {redis}.")?;
        let Pace { warm_up, rounds, round } = &self.pace;
        writeln!(f, "{rounds} rounds of {round:?} each in turns, after a warm-up of {warm_up:?}.")?;
        self.tables.iter().try_for_each(|table| write_table(f, table))
    }
}

fn write_table(f: &mut fmt::Formatter<'_>, table: &Table) -> fmt::Result {
    writeln!(f, "\n### {}\n", capitalised(table.name))?;
    writeln!(
        f,
        "| who | per second | of at once | p50 / p99, us | calls per script | CPU per call, us: server | below | caller | books |"
    )?;
    writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|---|")?;
    for line in &table.lines {
        let ratio = table.lines.first().map_or(f64::NAN, |at_once| line.ratio_to(at_once));
        writeln!(
            f,
            "| {} | {:.0} | {ratio:.2} | {} / {} | {} | {} | {} | {} | {} |",
            line.contender.name,
            line.median_per_s(),
            line.latency_us(0.5),
            line.latency_us(0.99),
            number(line.calls_per_script()),
            number(line.cpu_us(|cpu| cpu.server)),
            number(line.cpu_us(|cpu| cpu.below)),
            number(line.cpu_us(|cpu| cpu.caller)),
            verdict(line),
        )?;
    }
    Ok(())
}

/// What is unknown, or next to nothing, is a dash.
fn number(value: Option<f64>) -> String {
    value.filter(|value| *value >= 0.05).map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

fn verdict(line: &Measured) -> String {
    let Some(books) = line.books else { return "-".to_owned() };
    let Books { start, sold, left, negative } = books;
    let said = if books.are_right() {
        "right".to_owned()
    } else {
        format!("WRONG: {sold} sold + {left} left, of {start}; {negative} SKUs below zero")
    };
    if line.total.failed == 0 {
        return said;
    }
    let all = line.total.decided() + line.total.failed;
    format!("{said}; {:.1} % failed", 100.0 * line.total.failed as f64 / all as f64)
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
