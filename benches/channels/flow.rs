//! What went through the gateway in one stretch of load: lags, confirmations, calls saved, and the time on the cores.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep};

use crate::{
    plan::Behaviour,
    rig::{
        metrics::Metrics,
        process::{cpu_time, cpu_time_below},
    },
    shop::Shop,
};

/// Confirmed without a call, since the number the channel shows stays.
const UNCHANGED: &str = stockgate::telemetry::UNCHANGED;
/// Calls saved since SKUs went together.
const BATCHED: &str = stockgate::telemetry::BATCHED;
/// Changes that needed no call of their own since a newer number went out.
const COALESCED: &str = stockgate::telemetry::COALESCED;

/// The load outlasts the measurement, so that reading the counters at its end does not dilute it.
const TAIL: Duration = Duration::from_millis(500);
/// Below this share of the rate asked for, it is not the rate asked for.
const CAME_MIN: f64 = 0.97;

/// One stretch.
pub(crate) struct Flow {
    /// Changes per second asked for.
    pub(crate) rate: u32,
    pub(crate) elapsed: Duration,
    /// Of the healthy channels, in microseconds.
    pub(crate) lag_us: Histogram<u64>,
    /// Over all channels, from here on.
    pub(crate) counts: Counts,
    pub(crate) gateway_cpu: Option<Duration>,
    pub(crate) redis_cpu: Option<Duration>,
    pub(crate) bench_cpu: Option<Duration>,
}

/// What is counted from the start of the gateway; a stretch is the difference of two.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Changes answered.
    pub(crate) changes: u64,
    /// Calls answered 200.
    pub(crate) calls: u64,
    /// SKUs in them.
    pub(crate) confirmations: u64,
    pub(crate) coalesced: u64,
    pub(crate) unchanged: u64,
    pub(crate) batched: u64,
    /// Calls the dead channel received.
    pub(crate) dead_calls: u64,
    /// How often its breaker opened: once, and again with every probe that failed.
    pub(crate) dead_openings: u64,
}

/// One moment.
struct Reading {
    at: Instant,
    counts: Counts,
    gateway_cpu: Option<Duration>,
    redis_cpu: Option<Duration>,
    bench_cpu: Option<Duration>,
}

impl Counts {
    pub(crate) async fn read(shop: &Shop) -> Result<Self> {
        let metrics = shop.gateway.metrics().await?;
        let dead = shop.receivers.sick().find(|(_, illness)| *illness == Behaviour::Dead);
        let dead = dead.map(|(channel, _)| channel);
        let dead_openings = match dead {
            Some(number) => shop.breaker_openings(number).await?,
            None => 0,
        };
        Ok(Self {
            changes: shop.load.answered(),
            calls: shop.receivers.sum(|book| book.calls_taken),
            confirmations: shop.receivers.sum(|book| book.events),
            coalesced: whole(&metrics, COALESCED),
            unchanged: whole(&metrics, UNCHANGED),
            batched: whole(&metrics, BATCHED),
            dead_calls: dead.map_or(0, |number| shop.receivers.book(number).calls),
            dead_openings,
        })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            changes: self.changes - before.changes,
            calls: self.calls - before.calls,
            confirmations: self.confirmations - before.confirmations,
            coalesced: self.coalesced - before.coalesced,
            unchanged: self.unchanged - before.unchanged,
            batched: self.batched - before.batched,
            dead_calls: self.dead_calls - before.dead_calls,
            // Back to 0 when a probe worked, which no probe does while it is dead.
            dead_openings: self.dead_openings.saturating_sub(before.dead_openings),
        }
    }
}

/// A counter of whole numbers, far below 2^53, of all channels.
pub(crate) fn whole(metrics: &Metrics, name: &str) -> u64 {
    metrics.sum(name) as u64
}

impl Reading {
    async fn now(shop: &Shop) -> Result<Self> {
        Ok(Self {
            counts: Counts::read(shop).await?,
            gateway_cpu: shop.gateway.pid().and_then(cpu_time),
            redis_cpu: shop.gateway.pid().and_then(cpu_time_below),
            bench_cpu: cpu_time(std::process::id()),
            at: Instant::now(),
        })
    }
}

/// Loads the shop and measures from the end of the warm-up to shortly before the end of the load.
pub(crate) async fn measure(shop: &mut Shop, rate: u32, warm_up: Duration, length: Duration) -> Result<Flow> {
    let load = shop.load.start(rate, warm_up + length + TAIL);
    sleep(warm_up).await;
    let before = Reading::now(shop).await?;
    shop.receivers.take_lags()?;
    sleep(length.saturating_sub(before.at.elapsed())).await;
    let lag_us = shop.receivers.take_lags()?;
    let after = Reading::now(shop).await?;
    load.await??;
    let between = |after: Option<Duration>, before: Option<Duration>| Some(after?.saturating_sub(before?));
    Ok(Flow {
        rate,
        elapsed: after.at - before.at,
        lag_us,
        counts: after.counts.since(before.counts),
        gateway_cpu: between(after.gateway_cpu, before.gateway_cpu),
        redis_cpu: between(after.redis_cpu, before.redis_cpu),
        bench_cpu: between(after.bench_cpu, before.bench_cpu),
    })
}

impl Flow {
    /// Milliseconds within which this share of what the healthy channels were told arrived.
    pub(crate) fn lag_ms(&self, share: f64) -> f64 {
        self.lag_us.value_at_quantile(share) as f64 / 1000.0
    }

    pub(crate) fn per_s(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64()
    }

    /// Whether the changes came as fast as they were asked for; else the lag is that of another load.
    pub(crate) fn has_its_rate(&self) -> bool {
        self.per_s(self.counts.changes) >= f64::from(self.rate) * CAME_MIN
    }

    pub(crate) fn events_per_call(&self) -> f64 {
        self.counts.confirmations as f64 / self.counts.calls.max(1) as f64
    }
}
