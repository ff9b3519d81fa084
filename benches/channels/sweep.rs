//! Raises the load, with the three sick channels, until the lag of the healthy ones breaks; then closes in on the highest rate
//! that was held.

use std::time::Duration;

use anyhow::Result;

use crate::{
    flow::{Flow, measure},
    plan::Plan,
    shop::Shop,
    wrongs::Wrongs,
};

/// The lag that is held.
pub(crate) const P99_MS_MAX: f64 = 50.0;
/// Below this share of the rate asked for, it is not the rate asked for.
const ACHIEVED_MIN: f64 = 0.97;
/// Close enough: the highest rate held is within a tenth of the lowest one that was not.
const CLOSE: f64 = 1.1;
const RATE_MAX: u32 = 64_000;
/// A rate counts as too much when it was so twice: one hiccup of the machine is not the gateway's limit.
const TRIES: u32 = 2;

/// One rate that was tried.
pub(crate) struct Step {
    pub(crate) rate: u32,
    pub(crate) flow: Flow,
    pub(crate) is_held: bool,
}

/// Runs it; the steps in the order in which they were tried.
pub(crate) async fn run(shop: &mut Shop, plan: &Plan, wrongs: &mut Wrongs) -> Result<Vec<Step>> {
    shop.receivers.sicken();
    let mut steps = Vec::new();
    let (mut held, mut broken): (u32, Option<u32>) = (0, None);
    let mut rate = plan.rate;
    loop {
        let is_held = step(shop, plan, rate, &mut steps).await?;
        if is_held {
            held = rate;
        } else {
            broken = Some(rate);
        }
        rate = match broken {
            None if rate >= RATE_MAX => break,
            None => rate.saturating_mul(2).min(RATE_MAX),
            Some(broken) if f64::from(broken) <= f64::from(held.max(100)) * CLOSE => break,
            Some(broken) => held + (broken - held) / 2,
        };
    }
    shop.recover().await?;
    *wrongs = wrongs.and(Wrongs::count(shop).await?);
    Ok(steps)
}

/// Tries a rate; what could not be told in time is told before the next.
async fn step(shop: &mut Shop, plan: &Plan, rate: u32, steps: &mut Vec<Step>) -> Result<bool> {
    for _ in 0..TRIES {
        let length = plan.round.div_f64(2.0).max(Duration::from_secs(1));
        let flow = measure(shop, rate, plan.warm_up, length).await?;
        shop.rest(shop.receivers.healthy().len()).await?;
        let p99_ms = flow.lag_ms(0.99);
        let achieved = flow.per_s(flow.counts.changes);
        let is_held = p99_ms <= P99_MS_MAX && achieved >= f64::from(rate) * ACHIEVED_MIN;
        eprintln!("  {rate} changes/s: {achieved:.0} came, p99 {p99_ms:.1} ms");
        steps.push(Step { rate, flow, is_held });
        if is_held {
            return Ok(true);
        }
    }
    Ok(false)
}
