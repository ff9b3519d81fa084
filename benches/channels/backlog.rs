//! A dead channel with very many SKUs due: what each costs Redis in memory, and that the other channels do not notice.

use std::time::Duration;

use anyhow::Result;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use stockgate::proto::{Line, RestockRequest};

use crate::{
    flow::{Flow, measure},
    plan::{Behaviour, Plan, channel},
    shop::Shop,
    wrongs::Wrongs,
};

const DEAD: [Behaviour; 1] = [Behaviour::Dead];
/// Lines of one request.
const LINES_MAX: usize = 100;
/// Requests at the same time.
const IN_FLIGHT: usize = 8;

/// What was found.
pub(crate) struct Backlog {
    pub(crate) channels: usize,
    /// SKUs that were due.
    pub(crate) due: usize,
    /// Bytes of the keys of the dead channel: when it had confirmed everything, and with everything due.
    pub(crate) keys: Vec<KeyBytes>,
    /// What Redis took more for a change of all SKUs when one channel was dead than when none was.
    pub(crate) extra_bytes: i64,
    pub(crate) without: Vec<Flow>,
    pub(crate) with: Vec<Flow>,
    pub(crate) recovery: Duration,
}

pub(crate) struct KeyBytes {
    pub(crate) key: String,
    pub(crate) before: i64,
    pub(crate) after: i64,
}

pub(crate) async fn run(plan: &Plan, wrongs: &mut Wrongs) -> Result<Backlog> {
    let mut shop = Shop::open(plan, &DEAD).await?;
    let dead = shop.receivers.healthy().end;
    eprintln!("  {} SKUs, {} channels: told", plan.skus, plan.channels);
    // The first change of all SKUs is for comparison: records and events cost memory too.
    let start_bytes = used_memory(&mut shop).await?;
    change_all(&shop, "well").await?;
    shop.rest(shop.receivers.count()).await?;
    let well_bytes = used_memory(&mut shop).await?;
    let mut without = Vec::new();
    for _ in 0..plan.rounds {
        without.push(measure(&mut shop, plan.rate, plan.warm_up, plan.round).await?);
    }
    shop.rest(shop.receivers.count()).await?;
    let keys_before = key_bytes(&mut shop, dead).await?;
    let sick_start_bytes = used_memory(&mut shop).await?;
    shop.receivers.sicken();
    change_all(&shop, "sick").await?;
    shop.rest(dead).await?;
    let sick_bytes = used_memory(&mut shop).await?;
    let due = shop.wait_until_all_due(dead).await?;
    let keys_after = key_bytes(&mut shop, dead).await?;
    eprintln!("  {due} due on the dead channel");
    let mut with = Vec::new();
    for _ in 0..plan.rounds {
        with.push(measure(&mut shop, plan.rate, plan.warm_up, plan.round).await?);
    }
    let recoveries = shop.recover().await?;
    *wrongs = wrongs.and(Wrongs::count(&shop).await?);
    shop.close().await?;
    let before_of =
        |key: &str| keys_before.iter().find(|(name, _)| name == key).map_or(0, |(_, bytes)| *bytes);
    let keys = keys_after.into_iter().map(|(key, after)| KeyBytes { before: before_of(&key), key, after });
    Ok(Backlog {
        channels: plan.channels,
        due,
        keys: keys.collect(),
        extra_bytes: (sick_bytes - sick_start_bytes) - (well_bytes - start_bytes),
        without,
        with,
        recovery: recoveries.first().map_or(Duration::ZERO, |(_, took)| *took),
    })
}

/// One unit more of every SKU.
async fn change_all(shop: &Shop, run: &str) -> Result<()> {
    let requests = shop.skus().chunks(LINES_MAX).enumerate().map(|(number, page)| {
        let line = |sku: &String| Line { sku: sku.clone(), quantity: 1, expected_version: None };
        let request = RestockRequest {
            idempotency_key: format!("all-{run}-{number}"),
            lines: page.iter().map(line).collect(),
            ..Default::default()
        };
        let mut client = shop.stock_client();
        async move { client.restock(request).await.map(drop) }
    });
    Ok(stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect().await?)
}

async fn used_memory(shop: &mut Shop) -> Result<i64> {
    let text: String = redis::cmd("INFO").arg("memory").query_async(&mut shop.redis).await?;
    let value = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(value.unwrap_or_default().trim().parse()?)
}

/// The keys of a channel's partition, and what each takes.
async fn key_bytes(shop: &mut Shop, number: usize) -> Result<Vec<(String, i64)>> {
    let pattern = format!("*:{}", channel(number));
    let mut keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut shop.redis).await?;
    keys.sort();
    let mut all = Vec::new();
    for key in keys {
        let mut usage = redis::cmd("MEMORY");
        usage.arg("USAGE").arg(&key).arg("SAMPLES").arg(0);
        let bytes: Option<i64> = usage.query_async(&mut shop.redis).await?;
        all.push((key, bytes.unwrap_or(0)));
    }
    Ok(all)
}

impl Backlog {
    pub(crate) fn bytes_per_entry(&self) -> f64 {
        let grown: i64 = self.keys.iter().map(|key| key.after - key.before).sum();
        grown as f64 / self.due.max(1) as f64
    }
}
