//! Shops that poll: each refreshes its copy once a window.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use redis::aio::MultiplexedConnection;
use tokio::{
    task::JoinSet,
    time::{Instant, interval_at, sleep_until},
};

use super::{Order, SHOPS, SKUS, WINDOW};
use crate::rig::gateway::Gateway;

/// What each shop believes to be left of each SKU.
type Copies = Arc<Mutex<Vec<Vec<i64>>>>;

fn lock(copies: &Copies) -> MutexGuard<'_, Vec<Vec<i64>>> {
    copies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each shop sells from its copy and books the sale at once; units sold that were not there.
pub(super) async fn run(gateway: &Gateway, orders: &[Order], units: i64) -> Result<i64> {
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
