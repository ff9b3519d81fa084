//! An open loop at 70 % of what a closed one reached: `stockgate load` drives a gateway of its own at that rate, whether
//! calls are answered or not, and a call's time runs from the moment it was due.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use tokio::{process::Command, time::timeout};

use crate::{
    measure::Pace,
    plan,
    rig::{gateway::Gateway, median},
};

/// Of the peak: what a service is run at that must keep its deadlines.
const SHARE_OF_PEAK: f64 = 0.7;
/// Than a round of the closed loop: a p99 is made of few calls.
const LONGER: u32 = 2;
/// Of the rate that must be answered: the last calls of a round are answered after it.
pub(crate) const KEPT_UP_SHARE_MIN: f64 = 0.99;
/// Filling and checking the books come on top of the load itself.
const LOAD_TIMEOUT: Duration = Duration::from_secs(120);

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

/// The part of the answer of `stockgate load -o json` that is read here.
#[derive(Deserialize)]
struct Said {
    answered_per_s: f64,
    calls: u64,
    failed: u64,
    unsent: u64,
    latency_us: Latency,
    /// None when they could not be checked.
    books: Option<Books>,
}

#[derive(Deserialize)]
struct Latency {
    p50: u64,
    p99: u64,
}

#[derive(Deserialize)]
struct Books {
    right: bool,
}

/// Runs all rounds at a share of this peak.
pub(crate) async fn run(peak_per_s: f64, pace: &Pace) -> Result<OpenLoop> {
    let rate = (peak_per_s * SHARE_OF_PEAK).floor();
    let gateway = Gateway::start(plan::DEFAULTS).await?;
    round(&gateway.url, rate, pace.warm_up).await?;
    let mut rounds = Vec::new();
    for _ in 0..pace.rounds {
        rounds.push(round(&gateway.url, rate, pace.round * LONGER).await?);
    }
    gateway.stop().await?;
    let sum = |of: fn(&Said) -> u64| rounds.iter().map(of).sum();
    let middle = |of: fn(&Said) -> f64| median(rounds.iter().map(of).collect());
    Ok(OpenLoop {
        rate,
        answered_per_s: middle(|said| said.answered_per_s),
        p50_us: middle(|said| said.latency_us.p50 as f64) as u64,
        p99_us: middle(|said| said.latency_us.p99 as f64) as u64,
        calls: sum(|said| said.calls),
        failed: sum(|said| said.failed),
        unsent: sum(|said| said.unsent),
        books_are_right: rounds.iter().all(|said| said.books.as_ref().is_some_and(|books| books.right)),
    })
}

async fn round(url: &str, rate: f64, length: Duration) -> Result<Said> {
    let mut load = Command::new(env!("CARGO_BIN_EXE_stockgate"));
    load.args(["load", "--profile", "steady", "--skus", "1000", "--output", "json", "--gateway", url]);
    load.args(["--rate", &rate.to_string(), "--duration", &format!("{}ms", length.as_millis())]);
    load.stdin(Stdio::null()).kill_on_drop(true);
    let said = timeout(LOAD_TIMEOUT, load.output()).await.context("stockgate load does not end")??;
    let complaints = String::from_utf8_lossy(&said.stderr);
    // With wrong books it ends with 1, and says so in its answer too.
    ensure!(matches!(said.status.code(), Some(0 | 1)), "stockgate load failed: {complaints}");
    serde_json::from_slice(&said.stdout).with_context(|| format!("stockgate load said no JSON: {complaints}"))
}
