//! The tables, as Markdown, so that the page in docs shows what the terminal showed.

use std::fmt;

use crate::{
    aims::{Aim, aims},
    front::postgres_version,
    measure::{Measured, Pace, Table},
    memory::Memory,
    open_loop::OpenLoop,
    polling::{Oversold, SHOPS, SKUS, WINDOW},
    rig::{machine::Machine, page},
    shelves::Books,
};

/// Below, what Redis keeps for itself would count as that of SKUs.
const MEMORY_SKUS_MIN: usize = 100_000;

/// All that was measured.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) pace: Pace,
    pub(crate) tables: Vec<Table>,
    pub(crate) open_loop: Option<OpenLoop>,
    pub(crate) oversold: Vec<Oversold>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, cpu, system, rustc, redis, date, .. } = &self.machine;
        let command = page::command("make bench", "throughput");
        writeln!(
            f,
            "{date}, `{command}`; {cores} cores {cpu}, {system}; {rustc}; {redis}; {}.",
            postgres_version()
        )?;
        let Pace { warm_up, rounds, round } = &self.pace;
        writeln!(f, "{rounds} rounds of {round:?} each in turns, after a warm-up of {warm_up:?}.")?;
        write_aims(f, &aims(&self.tables, self.open_loop.as_ref()))?;
        self.tables.iter().try_for_each(|table| write_table(f, table))?;
        self.open_loop.iter().try_for_each(|open_loop| write_open_loop(f, open_loop))?;
        if self.oversold.is_empty() { Ok(()) } else { write_oversold(f, &self.oversold) }
    }
}

impl Report {
    /// Whether every run ended with right books; those of the polling shops are what they are.
    pub(crate) fn books_are_right(&self) -> bool {
        self.tables.iter().flat_map(|table| &table.lines).all(Measured::books_are_right)
            && self.open_loop.iter().all(|open_loop| open_loop.books_are_right)
            && self.oversold.iter().all(|all| all.by_asking.are_right() && all.by_events.books.are_right())
    }
}

fn write_aims(f: &mut fmt::Formatter<'_>, aims: &[Aim]) -> fmt::Result {
    if aims.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n### Aims\n\n| what | aim | measured | met |\n|---|---|---|---|")?;
    aims.iter().try_for_each(|Aim { what, aim, measured, is_met }| {
        writeln!(f, "| {what} | {aim} | {measured} | {} |", if *is_met { "yes" } else { "**no**" })
    })
}

fn write_table(f: &mut fmt::Formatter<'_>, table: &Table) -> fmt::Result {
    writeln!(f, "\n### {}\n", capitalised(table.name))?;
    writeln!(
        f,
        "| who | on disk | per second | of at once | p50 / p99, us | calls per script | CPU per call, us: server | below | caller | books |"
    )?;
    writeln!(f, "|---|---|--:|--:|--:|--:|--:|--:|--:|---|")?;
    for line in &table.lines {
        let ratio = table.lines.first().map_or(f64::NAN, |at_once| line.ratio_to(at_once));
        writeln!(
            f,
            "| {} | {} | {:.0} | {ratio:.2} | {:.0} / {:.0} | {} | {} | {} | {} | {} |",
            line.contender.name,
            line.contender.server.durability(),
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
    let largest = table.lines.iter().max_by_key(|line| line.contender.load.skus);
    match largest.and_then(|line| Some((line.contender.load.skus, line.memory?))) {
        Some((skus, memory)) if skus >= MEMORY_SKUS_MIN => write_memory(f, &memory),
        _ => Ok(()),
    }
}

fn write_memory(f: &mut fmt::Formatter<'_>, memory: &Memory) -> fmt::Result {
    let Memory { stock, records, entries, used_bytes } = memory;
    // Nothing is refused here, so each record has its event.
    let event_bytes = entries.bytes as f64 / records.count.max(1) as f64;
    writeln!(
        f,
        "\nRedis keeps {:.0} bytes per SKU ({} SKUs), {:.0} per idempotency record ({} records) and {event_bytes:.0} per event ({} \
         stream entries); {:.0} MB in all (`MEMORY USAGE` of the keys, `used_memory`).",
        stock.bytes_each(),
        stock.count,
        records.bytes_each(),
        records.count,
        entries.count,
        *used_bytes as f64 / 1e6,
    )
}

fn write_open_loop(f: &mut fmt::Formatter<'_>, open_loop: &OpenLoop) -> fmt::Result {
    let OpenLoop { rate, answered_per_s, p50_us, p99_us, calls, failed, unsent, books_are_right } = open_loop;
    writeln!(
        f,
        "\n### Open loop\n\n{rate:.0} calls/s over 1,000 SKUs, 70 % of the closed loop's peak: {answered_per_s:.0} \
         answered per second, p50 {p50_us} us, p99 {p99_us} us from the moment a call was due; {failed} of {calls} failed and \
         {unsent} were not sent; books {}.",
        if *books_are_right { "right" } else { "WRONG" },
    )
}

fn write_oversold(f: &mut fmt::Formatter<'_>, all: &[Oversold]) -> fmt::Result {
    writeln!(
        f,
        "\n### Polling against events\n\n{SHOPS} shops sell the same {SKUS} SKUs until they run out; a window of 15 minutes takes {WINDOW:?} \
         here. The same orders at the same moments, all three ways.\n"
    )?;
    writeln!(
        f,
        "| `stockgate exposure` | blind per SKU and window | orders | units there | polling: sold beyond | per SKU | told by events: sold beyond | \
         per SKU | lag p50 / p99, ms | blind in the lag, per SKU | asking the gateway: sold beyond | books: told | asked |"
    )?;
    writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|---|")?;
    for Oversold { day, orders_per_window, units, orders, by_polling, by_events, by_asking } in all {
        let lag_ms = |share| by_events.lag_us.value_at_quantile(share) as f64 / 1000.0;
        writeln!(
            f,
            "| {day} | {orders_per_window:.1} | {orders} | {units} | {by_polling} | {:.1} | {} | {:.2} | {:.1} / {:.1} | {:.2} | {} | {} | {} |",
            *by_polling as f64 / SKUS as f64,
            by_events.beyond,
            by_events.beyond as f64 / SKUS as f64,
            lag_ms(0.5),
            lag_ms(0.99),
            orders_per_window * lag_ms(0.5) / (WINDOW.as_secs_f64() * 1000.0),
            (by_asking.sold - units).max(0),
            said(by_events.books),
            said(*by_asking),
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
    let said = said(books);
    let failed = line.total.failed;
    if failed == 0 {
        return said;
    }
    let all = line.total.decided() + failed;
    format!("{said}; {:.1} % failed", 100.0 * failed as f64 / all as f64)
}

fn said(books: Books) -> String {
    let Books { start, sold, left, negative, wrong } = books;
    if books.are_right() {
        return "right".to_owned();
    }
    format!(
        "WRONG: {sold} sold + {left} left, of {start}; {negative} SKUs below zero, {wrong} wrong by themselves"
    )
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
