//! Measures one case: a fresh gateway and a fresh ceiling, rounds in turns, then the books.

use std::time::Duration;

use anyhow::Result;

use crate::{
    case::Case,
    ceiling::Ceiling,
    load::{Callers, Tally},
    rig::{gateway::Gateway, median, process::cpu_time},
    stock::{self, Books},
};

/// How long is measured.
pub(crate) struct Pace {
    pub(crate) warm_up: Duration,
    pub(crate) rounds: u32,
    pub(crate) round: Duration,
}

/// What one server did in all rounds.
pub(crate) struct Side {
    /// All rounds together.
    pub(crate) total: Tally,
    /// Of each round.
    pub(crate) calls_per_s: Vec<f64>,
    /// CPU time of the server, where the system tells.
    pub(crate) cpu: Option<Duration>,
}

/// One line of the table.
pub(crate) struct Measured {
    pub(crate) case: &'static Case,
    pub(crate) ceiling: Side,
    pub(crate) gateway: Side,
    pub(crate) redis_cpu: Option<Duration>,
    /// Scripts sent in all rounds.
    pub(crate) scripts: u64,
    pub(crate) books: Books,
}

/// Runs a case.
pub(crate) async fn run(case: &'static Case, pace: &Pace) -> Result<Measured> {
    let ceiling = Ceiling::start().await?;
    // One thread, as the ceiling has one.
    let settings = format!("[grpc]\nthreads = 1\n[embedded]\nfsync = \"{}\"\n", case.fsync);
    let gateway = Gateway::start(&settings).await?;
    stock::fill(&gateway.url, case).await?;
    let (gateway_pid, redis_pid) = (gateway.pid(), gateway.redis_pid());

    let mut at_ceiling = Callers::connect(&ceiling.url, case.in_flight, case.skus).await?;
    let mut at_gateway = Callers::connect(&gateway.url, case.in_flight, case.skus).await?;
    at_ceiling.round(pace.warm_up).await?;
    let warm_up = at_gateway.round(pace.warm_up).await?;

    let mut ceiling_side = Side::new()?;
    let mut gateway_side = Side::new()?;
    let (mut redis_cpu, mut scripts) = (Some(Duration::ZERO), 0);
    for _ in 0..pace.rounds {
        ceiling_side.round(&mut at_ceiling, pace.round, ceiling.pid()).await?;

        let scripts_before = scripts_sent(&gateway).await?;
        let redis_before = redis_pid.and_then(cpu_time);
        gateway_side.round(&mut at_gateway, pace.round, gateway_pid).await?;
        add_cpu(&mut redis_cpu, redis_before, redis_pid);
        scripts += scripts_sent(&gateway).await? - scripts_before;
    }
    let sold = warm_up.sold + gateway_side.total.sold;
    let books = stock::count(&gateway.url, case, sold).await?;
    drop((at_ceiling, at_gateway));
    gateway.stop().await?;
    Ok(Measured { case, ceiling: ceiling_side, gateway: gateway_side, redis_cpu, scripts, books })
}

/// How many scripts group commit has sent so far.
async fn scripts_sent(gateway: &Gateway) -> Result<u64> {
    // Whole numbers far below 2^53.
    Ok(gateway.metrics().await?.sum(stockgate::telemetry::BATCHES) as u64)
}

impl Side {
    fn new() -> Result<Self> {
        Ok(Self { total: Tally::new()?, calls_per_s: Vec::new(), cpu: Some(Duration::ZERO) })
    }

    async fn round(&mut self, callers: &mut Callers, length: Duration, pid: Option<u32>) -> Result<()> {
        let cpu_before = pid.and_then(cpu_time);
        let tally = callers.round(length).await?;
        add_cpu(&mut self.cpu, cpu_before, pid);
        self.calls_per_s.push(tally.calls_per_s());
        self.total.add(&tally)
    }

    /// The middle one of the rounds.
    pub(crate) fn median_calls_per_s(&self) -> f64 {
        median(self.calls_per_s.clone())
    }

    /// Microseconds below which this share of the calls was answered.
    pub(crate) fn latency_us(&self, share: f64) -> u64 {
        self.total.latency_us.value_at_quantile(share)
    }
}

impl Measured {
    /// Gateway over ceiling, round by round, since they took turns; the middle one.
    pub(crate) fn ratio(&self) -> f64 {
        let pairs = self.gateway.calls_per_s.iter().zip(&self.ceiling.calls_per_s);
        median(pairs.map(|(gateway, ceiling)| gateway / ceiling).collect())
    }

    pub(crate) fn calls_per_script(&self) -> f64 {
        self.gateway.total.calls() as f64 / self.scripts.max(1) as f64
    }

    /// One line to watch while it runs.
    pub(crate) fn summary(&self) -> String {
        format!(
            "  ceiling {:.0}/s, gateway {:.0}/s, ratio {:.2}, p50 {} us, p99 {} us, {:.1} calls per script; rounds {:.0?} / {:.0?}",
            self.ceiling.median_calls_per_s(),
            self.gateway.median_calls_per_s(),
            self.ratio(),
            self.gateway.latency_us(0.5),
            self.gateway.latency_us(0.99),
            self.calls_per_script(),
            self.ceiling.calls_per_s,
            self.gateway.calls_per_s,
        )
    }
}

fn add_cpu(sum: &mut Option<Duration>, before: Option<Duration>, pid: Option<u32>) {
    let after = pid.and_then(cpu_time);
    *sum = (|| Some((*sum)? + after?.saturating_sub(before?)))();
}
