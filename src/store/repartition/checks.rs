//! What must hold before anything is moved, and after.

use std::time::Duration;

use crate::domain::Sku;

use super::{
    super::{FindingKind, Store, StoreError, Unreadable, VerifyReport},
    RepartitionError,
};

/// Overdue holds ended by one call.
const SWEEP: u32 = 256;
/// Findings that are shown.
const SHOWN_MAX: usize = 5;

/// Forgets the sign of life that every gateway and worker writes twice a second, whatever it does.
pub(super) async fn forget_pulse(store: &Store) -> Result<(), StoreError> {
    let key = store.inner.keys.pulse();
    let _: i64 = store.query_at(&key, redis::cmd("DEL").arg(&key)).await?;
    Ok(())
}

/// Refuses when anybody wrote it since.
pub(super) async fn check_stopped(store: &Store) -> Result<(), RepartitionError> {
    let key = store.inner.keys.pulse();
    match store.query_at(&key, redis::cmd("EXISTS").arg(&key)).await? {
        true => Err(RepartitionError::Alive { key }),
        false => Ok(()),
    }
}

/// Waits long enough for whoever is alive to show it.
pub(super) async fn check_quiet(store: &Store, quiet: Duration) -> Result<(), RepartitionError> {
    forget_pulse(store).await?;
    tokio::time::sleep(quiet).await; // why: a gateway that is stopped has no way to say so
    check_stopped(store).await
}

/// Ends holds whose time is over, as a sweeper would; then refuses while any are left.
pub(super) async fn end_holds(store: &Store) -> Result<(), RepartitionError> {
    let mut fault = None;
    for partition in store.partitions().all() {
        let holds = store.inner.keys.holds(partition);
        let count: u64 = store.query_at(&holds, redis::cmd("HLEN").arg(&holds)).await?;
        let mut unasked = 0;
        // What is left after that cannot be ended here.
        for _ in 0..=count / u64::from(SWEEP) {
            let swept = store.sweep_past(partition, SWEEP, unasked).await?;
            unasked += swept.unasked;
            fault = fault.or(swept.fault);
            if !swept.more {
                break;
            }
        }
    }
    match (check_no_holds(store).await, fault) {
        (Err(RepartitionError::LiveHolds { .. }), Some(fault)) => Err(fault.into()),
        (checked, _) => checked,
    }
}

/// Refuses when a partition of the old layout is gone: then the copy may be all there is.
pub(super) async fn check_whole(store: &Store) -> Result<(), RepartitionError> {
    for partition in store.partitions().all() {
        // Every partition of a shop that was ever served has its stream.
        let key = store.inner.keys.events(partition);
        if !store.query_at::<bool>(&key, redis::cmd("EXISTS").arg(&key)).await? {
            return Err(RepartitionError::Torn { key });
        }
    }
    Ok(())
}

/// Refuses while there are live holds.
pub(super) async fn check_no_holds(store: &Store) -> Result<(), RepartitionError> {
    let (mut live, mut last_ms) = (0, None);
    for partition in store.partitions().all() {
        let holds = store.inner.keys.holds(partition);
        live += store.query_at::<u64>(&holds, redis::cmd("HLEN").arg(&holds)).await?;
        let deadlines = store.inner.keys.deadlines(partition);
        let mut last = redis::cmd("ZRANGE");
        last.arg(&deadlines).arg(-1).arg(-1).arg("WITHSCORES");
        let last: Vec<(String, f64)> = store.query_at(&deadlines, &last).await?;
        // Deadlines are whole ms below 2^53.
        last_ms = last_ms.max(last.first().map(|(_, score)| *score as i64));
    }
    if live == 0 {
        return Ok(());
    }
    let now_ms = store.now_ms().await?;
    Err(RepartitionError::LiveHolds { live, last_ends_in_ms: last_ms.map(|last_ms| last_ms - now_ms) })
}

/// What is wrong with a shop.
pub(super) struct Flaws {
    count: usize,
    /// The first of them.
    pub(super) shown: String,
    /// Removes the first thing that does not parse.
    remove: Option<String>,
}

impl Flaws {
    /// None of a shop that is right.
    pub(super) async fn of(store: &Store) -> Result<Option<Self>, StoreError> {
        Ok(Self::told(&store.verify(&[], false).await?))
    }

    fn told(report: &VerifyReport) -> Option<Self> {
        let is_whole = report.unreadable.is_empty();
        let unreadable = report.unreadable.iter().map(|what| format!("{what} does not parse"));
        let unknown = report.unknown.iter().map(|sku| format!("{} is gone", Sku::as_str(sku)));
        let findings = report.findings.iter().map(|found| {
            let sku = &found.sku;
            match found.kind {
                FindingKind::Mismatch => format!(
                    "{sku} has {} on hand and {} held where its events and holds have {} and {}",
                    found.on_hand_stored, found.held_stored, found.on_hand_computed, found.held_computed
                ),
                FindingKind::Broken => format!("the record of {sku} is broken"),
                FindingKind::Repaired => format!("{sku} was wrong"),
                FindingKind::Busy => format!("{sku} is changing"),
            }
        });
        // Of a shop that is not whole the sums say nothing.
        let all: Vec<String> =
            if is_whole { unknown.chain(findings).collect() } else { unreadable.collect() };
        let remove = report.unreadable.first().map(|what| match what {
            Unreadable::Entry { key, id } => format!("redis-cli XDEL {key} {id}"),
            Unreadable::Hold { key, id } => format!("redis-cli HDEL {key} {id}"),
        });
        let more = if all.len() > SHOWN_MAX { "; …" } else { "" };
        let shown = format!("{}{more}", all[..all.len().min(SHOWN_MAX)].join("; "));
        (!all.is_empty()).then_some(Self { count: all.len(), shown, remove })
    }

    /// Before anything was moved.
    pub(super) fn refusal(self) -> RepartitionError {
        let Self { count, shown, remove } = self;
        match remove {
            Some(remove) => RepartitionError::Unreadable { unreadable: count, shown, remove },
            None => RepartitionError::Wrong { wrong: count, shown },
        }
    }
}
