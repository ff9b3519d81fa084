//! Polling against events: shops that sell from a copy of the count which they refresh every so often, shops whose copy the
//! gateway's events keep, and shops that ask the gateway for each sale. All see the same orders at the same moments, of stock
//! that runs out.
//!
//! Time is scaled: what the writings of this field count in windows of 15 minutes happens here in windows of [`WINDOW`]. How
//! late an event comes is not: beside the orders it is as many times too late.

mod ask;
mod hear;
mod poll;

use std::time::Duration;

use anyhow::Result;
use hear::Heard;
use stockgate::domain::Demand;

use crate::{
    plan::{self, Load},
    rig::gateway::Gateway,
    shelves::{self, Books},
};

/// Stands for [`POLL_INTERVAL`].
pub(crate) const WINDOW: Duration = Duration::from_millis(500);
const POLL_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// What `stockgate exposure` does its sum for, when it is told nothing else.
const DEMAND: Demand = Demand { orders_per_day: 500.0, spike: 10.0, growth: 0.11 };
pub(crate) const SHOPS: usize = 4;
/// Each runs out by itself: as many trials as SKUs.
pub(crate) const SKUS: usize = 40;
/// The stock lasts for so many windows, and orders come for so many.
const WINDOWS_IN_STOCK: f64 = 4.0;
const WINDOWS: f64 = 8.0;
/// The same orders in every run.
const SEED: u64 = 4;
/// A shop without an answer for so long has hung, and the bench with it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What one rate of orders came to.
pub(crate) struct Oversold {
    pub(crate) day: &'static str,
    /// Orders of one SKU in a window, over all shops: what `stockgate exposure` says are taken blind.
    pub(crate) orders_per_window: f64,
    /// Units there at first, of all SKUs.
    pub(crate) units: i64,
    pub(crate) orders: usize,
    /// Units the polling shops sold that were not there.
    pub(crate) by_polling: i64,
    pub(crate) by_events: Heard,
    /// What the gateway sold and has left.
    pub(crate) by_asking: Books,
}

/// Somebody wants one unit.
#[derive(Clone, Copy)]
struct Order {
    at: Duration,
    shop: usize,
    sku: usize,
}

/// Runs every rate, each way on a gateway of its own.
pub(crate) async fn run() -> Result<Vec<Oversold>> {
    let blind = DEMAND.within(POLL_INTERVAL);
    let days = [
        ("a usual day", blind.usual),
        ("a spike", blind.spike),
        ("after growth", blind.grown),
        ("a spike after growth", blind.grown_spike),
    ];
    let mut all = Vec::with_capacity(days.len());
    for (day, orders_per_window) in days {
        let units = (orders_per_window * WINDOWS_IN_STOCK).round() as i64;
        let orders = orders(orders_per_window);
        let load = Load { in_flight: SHOPS, skus: SKUS, units, ask: plan::SINGLE };

        let gateway = Gateway::start(plan::DEFAULTS).await?;
        let by_polling = poll::run(&gateway, &orders, units).await?;
        gateway.stop().await?;
        let gateway = stocked(load).await?;
        let by_events = hear::run(&gateway, &orders, load).await?;
        gateway.stop().await?;
        let gateway = stocked(load).await?;
        let by_asking = ask::run(&gateway, &orders, load).await?;
        gateway.stop().await?;

        let units = units * i64::try_from(SKUS)?;
        let orders = orders.len();
        all.push(Oversold { day, orders_per_window, units, orders, by_polling, by_events, by_asking });
    }
    Ok(all)
}

async fn stocked(load: Load) -> Result<Gateway> {
    let gateway = Gateway::start(plan::DEFAULTS).await?;
    shelves::fill(&gateway.url, load).await?;
    Ok(gateway)
}

/// Orders as they come by themselves: the gaps are exponential, the shops drawn.
fn orders(per_window: f64) -> Vec<Order> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut orders = Vec::new();
    for sku in 0..SKUS {
        let mut windows = 0.0;
        loop {
            windows -= (1.0 - random.f64()).ln() / per_window;
            if windows >= WINDOWS {
                break;
            }
            orders.push(Order { at: WINDOW.mul_f64(windows), shop: random.usize(..SHOPS), sku });
        }
    }
    orders.sort_by_key(|order| order.at);
    orders
}
