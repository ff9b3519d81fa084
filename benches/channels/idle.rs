//! What a gateway costs that has nothing to do: commands Redis sees, and time on the cores.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use tokio::time::{Instant, sleep};

use crate::{
    plan::Plan,
    rig::process::{cpu_time, cpu_time_below},
    shop::Shop,
};

/// What was just told is over by then.
const SETTLE: Duration = Duration::from_secs(3);

/// Per second, with nothing to do.
pub(crate) struct Idle {
    /// By command, most first; those inside scripts are counted too, what the bench asks itself is not.
    pub(crate) commands_per_s: Vec<(String, f64)>,
    pub(crate) gateway_ms_per_s: Option<f64>,
    pub(crate) redis_ms_per_s: Option<f64>,
}

pub(crate) async fn run(shop: &mut Shop, plan: &Plan) -> Result<Idle> {
    sleep(SETTLE).await;
    let gateway = shop.gateway.pid();
    let cpu = || (gateway.and_then(cpu_time), gateway.and_then(cpu_time_below));
    let before = commands(shop).await?;
    let (gateway_before, redis_before) = cpu();
    let begun = Instant::now();
    sleep(plan.round).await;
    let (gateway_after, redis_after) = cpu();
    let after = commands(shop).await?;
    let seconds = begun.elapsed().as_secs_f64();

    let mut commands_per_s: Vec<(String, f64)> = after
        .into_iter()
        .map(|(name, calls)| {
            let calls = calls - before.get(&name).copied().unwrap_or(0);
            (name, calls as f64 / seconds)
        })
        .filter(|(name, per_s)| *per_s > 0.0 && name != "info")
        .collect();
    commands_per_s.sort_by(|one, other| other.1.total_cmp(&one.1));
    let ms_per_s = |after: Option<Duration>, before: Option<Duration>| {
        Some(after?.saturating_sub(before?).as_secs_f64() * 1000.0 / seconds)
    };
    Ok(Idle {
        commands_per_s,
        gateway_ms_per_s: ms_per_s(gateway_after, gateway_before),
        redis_ms_per_s: ms_per_s(redis_after, redis_before),
    })
}

/// Calls so far, by command.
async fn commands(shop: &mut Shop) -> Result<BTreeMap<String, u64>> {
    let text: String = redis::cmd("INFO").arg("commandstats").query_async(&mut shop.redis).await?;
    let lines = text.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let (calls, _) = rest.split_once(',')?;
        Some((name.to_owned(), calls.parse().ok()?))
    });
    Ok(lines.collect())
}
