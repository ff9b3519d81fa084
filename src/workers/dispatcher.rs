//! Tells one channel the stock: permit, claim, push, settle. Each channel has its own, so a sick one hurts nobody else.
//!
//! What is pushed is read at the claim, so a retry carries the newest number. A push that is cut off leaves its lease to run
//! out; the SKU is then due again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics::{Counter, Histogram, counter, histogram};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, info, warn};

use crate::{
    channels::PushOutcome,
    domain::{DesiredState, Partition, Sku},
    store::{Claim, Claimed, SettleOutcome, Settled, Settlement, Store, StoreError},
    telemetry,
};

use super::{ChannelSetup, FAULT_PAUSE, outage::Outage, pause};

/// A SKU whose record is broken is looked at again after so long; VerifyStock mends it.
const BROKEN_PAUSE_MS: i64 = 60_000;

/// The task of one channel.
pub(super) struct ChannelWorker {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    poll_interval: Duration,
}

struct Shared {
    store: Store,
    setup: ChannelSetup,
    /// Rung when something of this channel became due.
    wake: Arc<Notify>,
    meters: Meters,
    /// Whether the last call brought nothing.
    is_failing: AtomicBool,
}

/// Metrics of one channel, looked up once.
struct Meters {
    lag: Histogram,
    push: Histogram,
    coalesced: Counter,
}

impl Meters {
    fn new(channel: &str) -> Self {
        let channel = channel.to_owned();
        Self {
            lag: histogram!(telemetry::SYNC_LAG_SECONDS, "channel" => channel.clone()),
            push: histogram!(telemetry::PUSH_SECONDS, "channel" => channel.clone()),
            coalesced: counter!(telemetry::COALESCED, "channel" => channel),
        }
    }
}

impl ChannelWorker {
    pub(super) fn new(store: Store, setup: ChannelSetup, poll_interval: Duration, wake: Arc<Notify>) -> Self {
        let permits = Arc::new(Semaphore::new(setup.concurrency));
        let meters = Meters::new(setup.id.as_str());
        Self {
            shared: Arc::new(Shared { store, setup, wake, meters, is_failing: AtomicBool::new(false) }),
            permits,
            poll_interval,
        }
    }

    /// Serves the channel until told to stop; pushes on their way are finished.
    pub(super) async fn run(self, stop: CancellationToken) {
        let pushes = TaskTracker::new();
        let mut partition_first: u16 = 0;
        let mut outage = Outage::of("claim what is due", Some(self.shared.setup.id.as_str()));
        while !stop.is_cancelled() {
            let wait = match self.round(partition_first, &pushes, &stop).await {
                Ok(wait) => {
                    outage.is_over();
                    wait.min(self.poll_interval)
                }
                Err(fault) => {
                    outage.is_felt(&fault);
                    if !pause(FAULT_PAUSE, &stop).await {
                        break;
                    }
                    continue;
                }
            };
            partition_first = partition_first.wrapping_add(1);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(wait) => {} // why: until the next retry is due, by its own clock
            }
        }
        pushes.close();
        pushes.wait().await;
    }

    /// Claims and pushes until a full turn finds nothing due; returns how long until something is.
    async fn round(
        &self,
        partition_first: u16,
        pushes: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Duration, StoreError> {
        let count = self.shared.store.partitions().count();
        loop {
            let (mut next, mut is_done) = (Duration::MAX, true);
            for step in 0..count {
                // One claim each, another partition first each time: none is starved while calls are scarce.
                let partition = Partition((partition_first % count + step) % count);
                let permit = tokio::select! {
                    () = stop.cancelled() => return Ok(Duration::ZERO),
                    permit = Arc::clone(&self.permits).acquire_owned() => permit,
                };
                let Ok(permit) = permit else { return Ok(Duration::MAX) };
                let token = uuid::Uuid::now_v7().simple().to_string();
                let claim = self.shared.claim(partition, &token).await?;
                if let Some(next_in_ms) = claim.next_in_ms {
                    next = next.min(Duration::from_millis(next_in_ms));
                }
                if claim.items.is_empty() && claim.broken.is_empty() {
                    continue;
                }
                is_done = false;
                let shared = Arc::clone(&self.shared);
                pushes.spawn(async move {
                    shared.push(partition, &token, claim).await;
                    drop(permit);
                });
            }
            if is_done {
                return Ok(next);
            }
        }
    }
}

impl Shared {
    async fn claim(&self, partition: Partition, token: &str) -> Result<Claim, StoreError> {
        let limit = self.setup.channel.batch_max();
        self.store.claim(partition, &self.setup.id, &self.setup.policy, token, limit).await
    }

    /// Pushes what was claimed and writes down what came of it.
    async fn push(&self, partition: Partition, token: &str, claim: Claim) {
        let mut settlements: Vec<Settlement> = claim.broken.into_iter().map(broken).collect();
        if !claim.items.is_empty() {
            let states: Vec<DesiredState> = claim.items.iter().map(|item| item.desired.clone()).collect();
            let started = Instant::now();
            let outcomes = self.setup.channel.push(&states).await;
            self.meters.push.record(started.elapsed());
            self.tell_of_health(&outcomes);
            let settled =
                claim.items.iter().zip(outcomes).map(|(item, outcome)| self.settlement(item, outcome));
            settlements.extend(settled);
        }
        match self.store.settle(partition, &self.setup.id, token, &settlements).await {
            Ok(settled) => self.account(&settled),
            // The lease runs out and the SKU is told again: a channel may hear a number twice, never miss one.
            Err(fault) => warn!(
                channel = self.setup.id.as_str(),
                error = &fault as &dyn std::error::Error,
                "cannot write down what the channel answered; it will be told again"
            ),
        }
    }

    /// Logs when the channel begins to fail and when it works again; a call that brought anything is one that works.
    fn tell_of_health(&self, outcomes: &[PushOutcome]) {
        let channel = self.setup.id.as_str();
        let error = outcomes.iter().find_map(PushOutcome::error);
        let works = outcomes.iter().any(|outcome| outcome.error().is_none());
        let failed_before = self.is_failing.swap(!works, Ordering::Relaxed);
        match error {
            Some(error) if !works && !failed_before => {
                warn!(channel, error = %error, "a channel fails: what it was not told is retried");
            }
            _ if works && failed_before => info!(channel, "a channel works again"),
            _ => {}
        }
    }

    fn settlement(&self, item: &Claimed, outcome: PushOutcome) -> Settlement {
        let DesiredState { sku, version, published, .. } = &item.desired;
        let after_failure = || {
            let failures = item.attempts.saturating_add(1);
            millis(self.setup.backoff.delay(failures, fastrand::f64()))
        };
        let failed = |delay_ms, burns_attempt, error: String| {
            let channel = self.setup.id.as_str();
            debug!(
                channel,
                sku = sku.as_str(),
                attempts = item.attempts,
                delay_ms,
                error,
                "a channel was not told about a SKU"
            );
            SettleOutcome::Failed { delay_ms, burns_attempt, error }
        };
        let channel = self.setup.id.to_string();
        counter!(telemetry::PUSHES, "channel" => channel, "outcome" => outcome.word()).increment(1);
        let outcome = match outcome {
            PushOutcome::Applied | PushOutcome::AlreadyApplied => SettleOutcome::Applied,
            PushOutcome::AcceptedPending { verify_after } => {
                failed(millis(verify_after), false, "accepted, and not shown yet".to_owned())
            }
            PushOutcome::RetryAfter { after, throttled, error } => {
                failed(after.map_or_else(after_failure, millis), !throttled, error.to_string())
            }
            PushOutcome::PermanentAuth { error } => {
                failed(millis(self.setup.backoff.cap), false, error.to_string())
            }
            PushOutcome::Conflict { error }
            | PushOutcome::PermanentItem { error }
            | PushOutcome::BatchRejected { error }
            | PushOutcome::Unknown { error } => failed(after_failure(), true, error.to_string()),
        };
        Settlement { sku: sku.clone(), version: *version, quantity: *published, outcome }
    }

    fn account(&self, settled: &[Settled]) {
        let mut due_now = false;
        for one in settled {
            match one {
                Settled::Confirmed { lag_ms, versions } | Settled::Moved { lag_ms, versions } => {
                    // Lags are far below 2^53 ms.
                    self.meters.lag.record(*lag_ms as f64 / 1000.0);
                    self.meters.coalesced.increment(u64::try_from(versions - 1).unwrap_or(0));
                    due_now |= matches!(one, Settled::Moved { .. });
                }
                Settled::Parked => due_now = true,
                Settled::Lost => warn!(
                    channel = self.setup.id.as_str(),
                    "a push took longer than its lease; the channel is told again"
                ),
            }
        }
        // Parked ones are not due at once, but their channel's sleep was measured before they were parked.
        if due_now {
            self.wake.notify_one();
        }
    }
}

fn broken(sku: Sku) -> Settlement {
    metrics::counter!(telemetry::BROKEN_RECORDS).increment(1);
    error!(
        sku = sku.as_str(),
        "a stock record does not parse; channels keep their last number: run verify --repair"
    );
    let outcome = SettleOutcome::Failed {
        delay_ms: BROKEN_PAUSE_MS,
        burns_attempt: false,
        error: "the stock record is broken: run verify --repair".to_owned(),
    };
    Settlement { sku, version: 0, quantity: 0, outcome }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
