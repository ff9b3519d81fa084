//! Polling against asking: shops that sell from a copy of the count, refreshed every so often, and shops that ask the gateway
//! for each sale. Both see the same orders at the same moments, of stock that runs out.
//!
//! Time is scaled: what the writings of this field count in windows of 15 minutes happens here in windows of [`WINDOW`].

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use redis::aio::MultiplexedConnection;
use stockgate::proto::{DecrementRequest, Line, stock_service_client::StockServiceClient};
use tokio::{
    task::JoinSet,
    time::{Instant, interval_at, sleep_until},
};
use tonic::{Code, transport::Endpoint};

use crate::{
    plan::{self, Load},
    rig::gateway::Gateway,
    shelves::{self, Books, sku},
};

/// Stands for 15 minutes.
pub(crate) const WINDOW: Duration = Duration::from_millis(500);
pub(crate) const SHOPS: usize = 4;
/// Each runs out by itself: as many trials as SKUs.
pub(crate) const SKUS: usize = 40;
/// Orders of one SKU in a window, over all shops: 500 a day, and ten times as many.
pub(crate) const ORDERS_PER_WINDOW: [f64; 2] = [500.0 * 15.0 / 1440.0, 5_000.0 * 15.0 / 1440.0];
/// The stock lasts for so many windows, and orders come for so many.
const WINDOWS_IN_STOCK: f64 = 4.0;
const WINDOWS: f64 = 8.0;
/// The same orders in every run.
const SEED: u64 = 4;

/// What one rate of orders came to.
pub(crate) struct Oversold {
    pub(crate) orders_per_window: f64,
    /// Units there at first, of all SKUs.
    pub(crate) units: i64,
    pub(crate) orders: usize,
    /// Units the polling shops sold that were not there.
    pub(crate) by_polling: i64,
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

/// Runs every rate, by both ways.
pub(crate) async fn run() -> Result<Vec<Oversold>> {
    let mut all = Vec::new();
    for orders_per_window in ORDERS_PER_WINDOW {
        let units = (orders_per_window * WINDOWS_IN_STOCK).round() as i64;
        let orders = orders(orders_per_window);
        let gateway = Gateway::start(plan::ONE_THREAD).await?;
        let load = Load { in_flight: SHOPS, skus: SKUS, units, ask: plan::SINGLE };
        shelves::fill(&gateway.url, load).await?;
        let by_polling = poll(&gateway, &orders, units).await?;
        let sold = ask(&gateway, &orders).await?;
        let by_asking = shelves::count(&gateway.url, load, sold).await?;
        gateway.stop().await?;
        let units = units * i64::try_from(SKUS)?;
        all.push(Oversold { orders_per_window, units, orders: orders.len(), by_polling, by_asking });
    }
    Ok(all)
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

/// What each shop believes to be left of each SKU.
type Copies = Arc<Mutex<Vec<Vec<i64>>>>;

fn lock(copies: &Copies) -> MutexGuard<'_, Vec<Vec<i64>>> {
    copies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each shop sells from its copy and books the sale at once; units sold that were not there.
async fn poll(gateway: &Gateway, orders: &[Order], units: i64) -> Result<i64> {
    let redis = gateway.redis().await?;
    let keys: Vec<String> = (0..SKUS).map(|number| format!("polled:{number}")).collect();
    let full: Vec<_> = keys.iter().map(|key| (key, units)).collect();
    let () = redis::cmd("MSET").arg(full).query_async(&mut redis.clone()).await?;
    let copies: Copies = Arc::new(Mutex::new(vec![vec![units; SKUS]; SHOPS]));
    let started = Instant::now();
    let mut pollers = JoinSet::new();
    for shop in 0..SHOPS {
        // They do not all look at the same moment.
        let first = started + WINDOW.mul_f64((shop + 1) as f64 / SHOPS as f64);
        pollers.spawn(refresh(shop, first, redis.clone(), keys.clone(), Arc::clone(&copies)));
    }
    let mut sales = JoinSet::new();
    for order in orders {
        sleep_until(started + order.at).await;
        let believed = &mut lock(&copies)[order.shop][order.sku];
        if *believed > 0 {
            *believed -= 1;
            let (mut redis, key) = (redis.clone(), keys[order.sku].clone());
            sales.spawn(
                async move { redis::cmd("DECRBY").arg(key).arg(1).query_async::<i64>(&mut redis).await },
            );
        }
    }
    while let Some(booked) = sales.join_next().await {
        booked??;
    }
    pollers.shutdown().await;
    let left: Vec<i64> = redis::cmd("MGET").arg(&keys).query_async(&mut redis.clone()).await?;
    Ok(left.iter().map(|left| (-left).max(0)).sum())
}

async fn refresh(
    shop: usize,
    first: Instant,
    mut redis: MultiplexedConnection,
    keys: Vec<String>,
    copies: Copies,
) -> redis::RedisResult<()> {
    let mut looks = interval_at(first, WINDOW);
    loop {
        looks.tick().await;
        let counts: Vec<i64> = redis::cmd("MGET").arg(&keys).query_async(&mut redis).await?;
        lock(&copies)[shop] = counts;
    }
}

/// Each shop asks the gateway for every order; units sold.
async fn ask(gateway: &Gateway, orders: &[Order]) -> Result<i64> {
    let channel = Endpoint::from_shared(gateway.url.clone())?.connect().await?;
    let started = Instant::now();
    let mut sales = JoinSet::new();
    for (number, order) in orders.iter().enumerate() {
        sleep_until(started + order.at).await;
        let mut client = StockServiceClient::new(channel.clone());
        let request = DecrementRequest {
            idempotency_key: format!("order-{number}"),
            lines: vec![Line { sku: sku(order.sku), quantity: 1, expected_version: None }],
            ..Default::default()
        };
        sales.spawn(async move {
            match client.decrement(request).await {
                Ok(_) => Ok(1),
                Err(status) if status.code() == Code::FailedPrecondition => Ok(0),
                Err(status) => Err(status),
            }
        });
    }
    let mut sold = 0;
    while let Some(answered) = sales.join_next().await {
        sold += answered??;
    }
    Ok(sold)
}
