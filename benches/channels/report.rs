//! The tables, as Markdown, so that the page in docs shows what the terminal showed.

use std::{fmt, time::Duration};

use crate::{
    backlog::Backlog,
    flow::Flow,
    idle::Idle,
    plan::{Behaviour, ILLNESSES, Plan},
    rig::{machine::Machine, median, page},
    sweep::{P99_MS_MAX, Step},
    turns::Turns,
    wrongs::Wrongs,
};

/// Commands shown by name; the others are only in the sum.
const COMMANDS_SHOWN: usize = 6;

/// All that was measured; what was not asked for is missing.
pub(crate) struct Report<'a> {
    pub(crate) machine: Machine,
    pub(crate) plan: &'a Plan,
    pub(crate) idle: Option<Idle>,
    pub(crate) turns: Option<Turns>,
    pub(crate) sweep: Option<Vec<Step>>,
    pub(crate) backlog: Option<Backlog>,
    pub(crate) wrongs: Wrongs,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, cpu, system, rustc, redis, date } = &self.machine;
        let command = page::command("make bench-channels", "channels");
        writeln!(f, "{date}, `{command}`; {cores} cores {cpu}, {system}; {rustc}; {redis}.")?;
        let Plan { channels, skus, warm_up, round, rounds, batch, .. } = self.plan;
        writeln!(
            f,
            "{channels} channels, {skus} SKUs, up to {batch} of them in a call; {rounds} times {round:?} in \
             turns, after a warm-up of {warm_up:?}."
        )?;
        for setting in self.plan.settings.iter().chain(&self.plan.channel_settings) {
            writeln!(f, "Set: `{setting}`.")?;
        }
        if let Some(turns) = &self.turns {
            write_turns(f, self.plan, turns)?;
        }
        if let Some(steps) = &self.sweep {
            write_sweep(f, steps)?;
        }
        if let Some(backlog) = &self.backlog {
            write_backlog(f, backlog)?;
        }
        if let Some(idle) = &self.idle {
            write_idle(f, *channels, idle)?;
        }
        let Wrongs { lost, dead_letters, went_back, malformed } = self.wrongs;
        writeln!(
            f,
            "\nAt rest after every part: {lost} numbers lost, {dead_letters} dead letters, {went_back} numbers that went \
             back, {malformed} events not understood."
        )
    }
}

fn write_turns(f: &mut fmt::Formatter<'_>, plan: &Plan, turns: &Turns) -> fmt::Result {
    let healthy = plan.channels - ILLNESSES.len();
    writeln!(f, "\n| {} changes/s | all well | three sick | ratio |", plan.rate)?;
    writeln!(f, "|---|--:|--:|--:|")?;
    let mut row = |name: &str, digits: usize, of: &dyn Fn(&Flow) -> f64| {
        let ((without, with), ratio) = (turns.medians(of), turns.ratio(of));
        // Nothing over nothing.
        let ratio = if ratio.is_finite() { format!("{ratio:.2}") } else { "-".to_owned() };
        writeln!(f, "| {name} | {without:.digits$} | {with:.digits$} | {ratio} |")
    };
    row(&format!("lag of the {healthy}, p50, ms"), 1, &|flow| flow.lag_ms(0.5))?;
    row(&format!("lag of the {healthy}, p99, ms"), 1, &|flow| flow.lag_ms(0.99))?;
    row(&format!("lag of the {healthy}, longest, ms"), 1, &|flow| flow.lag_ms(1.0))?;
    row("changes/s that came", 0, &|flow| flow.per_s(flow.counts.changes))?;
    row("confirmations/s", 0, &|flow| flow.per_s(flow.counts.confirmations))?;
    row("calls/s that brought them", 0, &|flow| flow.per_s(flow.counts.calls))?;
    row("calls/s saved by batching", 0, &|flow| flow.per_s(flow.counts.batched))?;
    row("calls/s saved by coalescing", 0, &|flow| flow.per_s(flow.counts.coalesced))?;
    row("calls/s saved since the number stayed", 0, &|flow| flow.per_s(flow.counts.unchanged))?;
    row("CPU of Redis per confirmation, us", 1, &|flow| per_confirmation_us(flow, flow.redis_cpu))?;
    row("CPU of the gateway per confirmation, us", 1, &|flow| per_confirmation_us(flow, flow.gateway_cpu))?;
    row("cores: gateway", 2, &|flow| cores(flow, flow.gateway_cpu))?;
    row("cores: Redis", 2, &|flow| cores(flow, flow.redis_cpu))?;
    row("cores: the bench itself", 2, &|flow| cores(flow, flow.bench_cpu))?;

    let in_measure = |of: fn(&Flow) -> u64| turns.with.iter().map(of).sum::<u64>();
    writeln!(
        f,
        "\nThe dead channel got {} calls while measured, and its breaker opened {} times; from falling ill to getting well, \
         {} calls and {} times.",
        in_measure(|flow| flow.counts.dead_calls),
        in_measure(|flow| flow.counts.dead_opened),
        turns.dead_calls,
        turns.dead_opened
    )?;
    writeln!(
        f,
        "From getting well to zero lag: the dead one {:.1} s, the slow one {:.1} s, the throttled one {:.1} s.",
        turns.recovery_s(Behaviour::Dead),
        turns.recovery_s(Behaviour::Slow),
        turns.recovery_s(Behaviour::Throttled)
    )
}

fn write_sweep(f: &mut fmt::Formatter<'_>, steps: &[Step]) -> fmt::Result {
    let held = steps.iter().filter(|step| step.is_held).map(|step| step.rate).max().unwrap_or(0);
    writeln!(
        f,
        "\nHighest rate held with three sick channels (p99 of the healthy ones up to {P99_MS_MAX} ms): {held} changes/s.\n"
    )?;
    writeln!(
        f,
        "| changes/s asked | came | p50, ms | p99, ms | held | confirmations/s | SKUs per call | cores: gateway | Redis | bench |"
    )?;
    writeln!(f, "|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|")?;
    let mut by_rate: Vec<&Step> = steps.iter().collect();
    by_rate.sort_by_key(|step| step.rate);
    for Step { rate, flow, is_held } in by_rate {
        writeln!(
            f,
            "| {rate} | {:.0} | {:.1} | {:.1} | {} | {:.0} | {:.1} | {:.2} | {:.2} | {:.2} |",
            flow.per_s(flow.counts.changes),
            flow.lag_ms(0.5),
            flow.lag_ms(0.99),
            if *is_held { "yes" } else { "no" },
            flow.per_s(flow.counts.confirmations),
            flow.events_per_call(),
            cores(flow, flow.gateway_cpu),
            cores(flow, flow.redis_cpu),
            cores(flow, flow.bench_cpu),
        )?;
    }
    Ok(())
}

fn write_backlog(f: &mut fmt::Formatter<'_>, backlog: &Backlog) -> fmt::Result {
    let Backlog { channels, due, keys, extra_bytes, without, with, recovery } = backlog;
    let middle = |flows: &[Flow], share| median(flows.iter().map(|flow| flow.lag_ms(share)).collect());
    writeln!(
        f,
        "\n{due} SKUs due on one dead channel of {channels}: {:.0} bytes each.\n",
        backlog.bytes_per_entry()
    )?;
    writeln!(f, "| key | bytes when all was confirmed | when all was due |")?;
    writeln!(f, "|---|--:|--:|")?;
    for key in keys {
        writeln!(f, "| `{}` | {} | {} |", key.key, key.before, key.after)?;
    }
    writeln!(
        f,
        "\nRedis as a whole took {:.0} bytes more for each of them (`used_memory`) than when no channel was dead.",
        *extra_bytes as f64 / (*due).max(1) as f64
    )?;
    writeln!(
        f,
        "Lag of the other {}: p50 {:.1} ms and p99 {:.1} ms before, {:.1} ms and {:.1} ms meanwhile. Told everything {:.1} s \
         after it got well.",
        channels - 1,
        middle(without, 0.5),
        middle(without, 0.99),
        middle(with, 0.5),
        middle(with, 0.99),
        recovery.as_secs_f64()
    )
}

fn write_idle(f: &mut fmt::Formatter<'_>, channels: usize, idle: &Idle) -> fmt::Result {
    let sum: f64 = idle.commands_per_s.iter().map(|(_, per_s)| per_s).sum();
    let named = idle.commands_per_s.iter().take(COMMANDS_SHOWN);
    let named: Vec<String> = named.map(|(name, per_s)| format!("{name} {per_s:.1}")).collect();
    let ms = |ms: Option<f64>| ms.map_or_else(|| "unknown".to_owned(), |ms| format!("{ms:.1} ms"));
    writeln!(
        f,
        "\nWith nothing to do, one process with {channels} channels costs Redis {sum:.1} commands/s ({}); CPU per second: \
         gateway {}, Redis {}.",
        named.join(", "),
        ms(idle.gateway_ms_per_s),
        ms(idle.redis_ms_per_s)
    )
}

/// 0 where the system does not tell.
fn per_confirmation_us(flow: &Flow, cpu: Option<Duration>) -> f64 {
    cpu.unwrap_or_default().as_secs_f64() * 1e6 / flow.counts.confirmations.max(1) as f64
}

fn cores(flow: &Flow, cpu: Option<Duration>) -> f64 {
    cpu.unwrap_or_default().as_secs_f64() / flow.elapsed.as_secs_f64()
}
