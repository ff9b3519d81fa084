//! An open loop at 70 % of what a closed one reached, on a gateway of its own. `stockgate load` does the same from outside; its
//! client takes several times the CPU of the callers here, and would be measured with the gateway on so few cores.

use anyhow::Result;

use crate::{
    callers::{Callers, Paced},
    contender::Running,
    measure::Pace,
    plan,
    rig::median,
    shelves::Books,
};

/// Of the peak: what a service is run at that must keep its deadlines.
const SHARE_OF_PEAK: f64 = 0.7;
/// Than a round of the closed loop: a p99 is made of few calls.
const LONGER: u32 = 2;
/// Of the rate that must be answered: the last calls of a round are answered after it.
pub(crate) const KEPT_UP_SHARE_MIN: f64 = 0.99;

/// What the rounds came to.
pub(crate) struct OpenLoop {
    /// Calls due per second.
    pub(crate) rate: f64,
    /// Calls answered per second; the middle one of the rounds, as all below.
    pub(crate) answered_per_s: f64,
    /// From the moment a call was due.
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    /// Calls that were due in all rounds together, as the two below.
    pub(crate) calls: u64,
    /// Calls without a decision: an OVERLOADED that comes at once would make the p99 better.
    pub(crate) failed: u64,
    /// Calls never sent, since too many were under way.
    pub(crate) unsent: u64,
    pub(crate) books_are_right: bool,
}

impl OpenLoop {
    /// Whether the gateway took what was asked of it: without that its latencies say nothing.
    pub(crate) fn kept_up(&self) -> bool {
        self.failed == 0 && self.unsent == 0 && self.answered_per_s >= KEPT_UP_SHARE_MIN * self.rate
    }
}

/// Runs all rounds at a share of this peak.
pub(crate) async fn run(peak_per_s: f64, pace: &Pace) -> Result<OpenLoop> {
    let rate = (peak_per_s * SHARE_OF_PEAK).floor();
    let running = Running::start(plan::OURS, plan::SPREAD_LOAD).await?;
    let mut callers = Callers::connect(running.url(), plan::SPREAD_LOAD).await?;
    callers.paced(rate, pace.warm_up).await?;
    let mut rounds = Vec::new();
    for _ in 0..pace.rounds {
        rounds.push(callers.paced(rate, pace.round * LONGER).await?);
    }
    let books = running.count(plan::SPREAD_LOAD, &callers.sold()).await?;
    drop(callers);
    running.stop().await?;
    let sum = |of: fn(&Paced) -> u64| rounds.iter().map(of).sum();
    let middle = |of: &dyn Fn(&Paced) -> f64| median(rounds.iter().map(of).collect());
    let quantile = |share| middle(&|round| round.tally.latency_us.value_at_quantile(share) as f64) as u64;
    Ok(OpenLoop {
        rate,
        answered_per_s: middle(&|round| round.tally.decided_per_s()),
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
        calls: sum(|round| round.due),
        failed: sum(|round| round.tally.failed),
        unsent: sum(|round| round.unsent),
        books_are_right: books.is_some_and(Books::are_right),
    })
}
