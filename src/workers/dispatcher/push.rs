//! One claim on its way: what the channel shows already is confirmed, the rest is told, what was answered is written down.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, timeout};
use tracing::{debug, error, info, warn};

use crate::{
    channels::PushOutcome,
    domain::{BreakerState, DesiredState, Partition, Sku},
    outbound::ErrorText,
    store::{Claim, Claimed, SettleOutcome, Settled, Settlement, Told},
    telemetry,
};

use super::{
    super::gate::{Pass, Ticket, Verdict},
    Shared,
    judge::{is_rejected_whole, settle_outcome, verdict},
};

/// A SKU whose record is broken is looked at again after so long; VerifyStock mends it.
const BROKEN_PAUSE_MS: i64 = 60_000;

/// A claim, and until when it is ours.
pub(super) struct InHand {
    pub(super) partition: Partition,
    pub(super) token: String,
    pub(super) claim: Claim,
    pub(super) lease_end: Instant,
}

impl Shared {
    /// Tells the channel what was claimed and writes down what came of it.
    pub(super) async fn push(&self, in_hand: InHand, ticket: Ticket) {
        let InHand { partition, token, claim, lease_end } = in_hand;
        let mut settlements: Vec<Settlement> = claim.broken.into_iter().map(broken).collect();
        let (shown, mut to_tell): (Vec<Claimed>, Vec<Claimed>) =
            claim.items.into_iter().partition(Claimed::is_shown);
        self.meters.unchanged.increment(u64::try_from(shown.len()).unwrap_or(u64::MAX));
        settlements.extend(shown.iter().map(|item| settlement(item, SettleOutcome::Applied)));
        let is_probe = ticket.is_probe();
        if is_probe {
            // One SKU shows as well as a hundred whether the channel works again.
            let rest = to_tell.split_off(to_tell.len().min(1));
            settlements.extend(
                rest.iter().map(|item| settlement(item, SettleOutcome::Returned { sure: item.sure })),
            );
        }
        if to_tell.is_empty() {
            self.give_back(ticket).await;
            if is_probe {
                // It is to be had again at once.
                self.ears.reopened();
            }
        } else {
            self.tell(to_tell, ticket, lease_end, &mut settlements).await;
        }
        let (store, setup) = (&self.store, &self.setup);
        match store.settle(partition, &setup.id, &setup.rules, &token, &settlements).await {
            Ok(settled) => self.account(partition, &settled),
            // The lease runs out and the SKU is told again: a channel may hear a number twice, never miss one.
            Err(fault) => warn!(
                channel = setup.id.as_str(),
                error = &fault as &dyn std::error::Error,
                "cannot write down what the channel answered; it will be told again"
            ),
        }
    }

    /// Tells the channel all items in one call. A call that is refused as a whole is told by halves, so that one bad item is
    /// found and keeps nobody else from being told; each half is a call like any other.
    async fn tell(
        &self,
        items: Vec<Claimed>,
        ticket: Ticket,
        lease_end: Instant,
        settlements: &mut Vec<Settlement>,
    ) {
        let mut parts = vec![items];
        let mut ticket = Some(ticket);
        while let Some(mut part) = parts.pop() {
            // A worker that was frozen since its claim may be late: another has the SKUs then, and an old number must not go out.
            let has_time = Instant::now() + self.setup.terms.call_timeout + CALL_GRACE < lease_end;
            let ticket = match ticket.take() {
                Some(ticket) if has_time => Some(ticket),
                Some(ticket) => {
                    self.give_back(ticket).await;
                    None
                }
                None if has_time => self.next_ticket().await,
                None => None,
            };
            let Some(ticket) = ticket else {
                // Told another time, and in smaller calls: were as many claimed again, none would ever be told. They went out
                // in one that was rejected, and who knows whether all of it was.
                self.batch.fetch_min(part.len(), Ordering::Relaxed);
                settlements.extend(part.iter().map(|item| settlement(item, HANDED_BACK)));
                continue;
            };
            let Some(outcomes) = self.call(&part).await else {
                self.give_back(ticket).await;
                settlements.extend(part.iter().map(|item| settlement(item, HANDED_BACK)));
                continue;
            };
            let verdict = verdict(&outcomes);
            // A probe asks about the channel: its failure is none of the SKU's.
            let is_spared = ticket.is_probe() && verdict == Verdict::Failed;
            self.report(ticket, verdict).await;
            if is_rejected_whole(&outcomes) {
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
                continue;
            }
            if verdict == Verdict::Worked {
                self.widen();
            }
            self.tell_of_health(&outcomes);
            for (item, outcome) in part.iter().zip(&outcomes) {
                let mut judged = self.judged(item, outcome);
                if let SettleOutcome::Failed { burns_attempt, .. } = &mut judged.outcome {
                    *burns_attempt &= !is_spared;
                }
                settlements.push(judged);
            }
        }
    }

    /// One call; None when it was cut off at shutdown.
    async fn call(&self, items: &[Claimed]) -> Option<Vec<PushOutcome>> {
        let states: Vec<DesiredState> = items.iter().map(|item| item.desired.clone()).collect();
        let started = Instant::now();
        // The channel keeps its own time; this is for one that does not.
        let patience = self.setup.terms.call_timeout + CALL_GRACE;
        let answered = tokio::select! {
            // No call begins once calls are cut off.
            biased;
            () = self.cut.cancelled() => return None,
            answered = timeout(patience, self.setup.channel.push(&states)) => answered,
        };
        self.meters.push.record(started.elapsed());
        self.meters.calls.increment(1);
        self.meters.batched.increment(u64::try_from(states.len() - 1).unwrap_or(0));
        let error = || ErrorText::new(&format!("no answer within {} ms", patience.as_millis()));
        Some(
            answered
                .unwrap_or_else(|_| states.iter().map(|_| PushOutcome::Unknown { error: error() }).collect()),
        )
    }

    /// Leave for one call more; None when the channel is to be left alone.
    async fn next_ticket(&self) -> Option<Ticket> {
        match self.gate.ask().await {
            Ok(Pass::Go(ticket) | Pass::Probe(ticket)) => Some(ticket),
            Ok(Pass::Wait { .. }) => None,
            Err(fault) => {
                debug!(
                    error = &fault as &dyn std::error::Error,
                    "cannot ask whether a channel may be called"
                );
                None
            }
        }
    }

    /// After a call that worked and was not rejected as a whole: the next may carry twice as many, up to what the channel takes.
    fn widen(&self) {
        let batch_max = self.setup.channel.batch_max();
        let batch = self.batch.load(Ordering::Relaxed);
        if batch < batch_max {
            self.batch.store((batch * 2).min(batch_max), Ordering::Relaxed);
        }
    }

    async fn report(&self, ticket: Ticket, verdict: Verdict) {
        let channel = self.setup.id.as_str();
        match self.gate.report(ticket, verdict).await {
            Ok(None) => {}
            Ok(Some(BreakerState::Closed)) => {
                info!(channel, "the breaker of a channel is closed: it is called again");
                self.ears.reopened();
            }
            Ok(Some(BreakerState::Open | BreakerState::HalfOpen)) => {
                self.meters.breaker_opened.increment(1);
                warn!(
                    channel,
                    "the breaker of a channel is open: only a probe goes now and then until it works"
                );
            }
            // It is told with the next call's.
            Err(fault) => {
                debug!(channel, error = &fault as &dyn std::error::Error, "cannot report how a call went")
            }
        }
    }

    pub(super) async fn give_back(&self, ticket: Ticket) {
        if let Err(fault) = self.gate.give_back(ticket).await {
            // A call of the rate is lost, or a probe goes later.
            debug!(error = &fault as &dyn std::error::Error, "cannot give a call back");
        }
    }

    fn judged(&self, item: &Claimed, outcome: &PushOutcome) -> Settlement {
        if let Some(error) = outcome.error() {
            debug!(
                channel = self.setup.id.as_str(),
                sku = item.desired.sku.as_str(),
                attempts = item.attempts,
                error = %error,
                "a channel was not told about a SKU"
            );
        }
        settlement(item, settle_outcome(item, outcome, &self.setup.backoff, &self.meters.outcomes))
    }

    /// Logs when the channel begins to fail and when it works again; a call that was answered for its items is one
    /// that works, whatever it said of them.
    fn tell_of_health(&self, outcomes: &[PushOutcome]) {
        let channel = self.setup.id.as_str();
        let error = outcomes.iter().find_map(PushOutcome::error);
        let works = verdict(outcomes) == Verdict::Worked;
        let failed_before = self.is_failing.swap(!works, Ordering::Relaxed);
        match error {
            Some(error) if !works && !failed_before => {
                warn!(channel, error = %error, "a channel fails: what it was not told is retried");
            }
            _ if works && failed_before => info!(channel, "a channel works again"),
            _ => {}
        }
        if let Some(PushOutcome::PermanentAuth { error }) =
            outcomes.iter().find(|outcome| matches!(outcome, PushOutcome::PermanentAuth { .. }))
        {
            error!(channel, error = %error, "a channel refuses us: mend its credentials or address; it is asked again now and then");
        }
    }

    fn account(&self, partition: Partition, settled: &[Settled]) {
        let mut due_now = false;
        for one in settled {
            match one {
                Settled::Confirmed(told) => self.account_told(told),
                Settled::Moved(told) => {
                    self.account_told(told);
                    due_now = true;
                }
                Settled::Parked => due_now = true,
                Settled::Buried { lag_ms } => {
                    self.meters.dead_letters.increment(1);
                    error!(
                        channel = self.setup.id.as_str(),
                        lag_ms,
                        "a SKU is a dead letter: its channel shows an old number until it is replayed; see stockgate dead list"
                    );
                }
                Settled::Lost => warn!(
                    channel = self.setup.id.as_str(),
                    "a push took longer than its lease; the channel is told again"
                ),
            }
        }
        // Parked ones are not due at once, but their channel's sleep was measured before they were parked.
        if due_now {
            self.ears.due_in(partition);
        }
    }

    fn account_told(&self, told: &Told) {
        // Lags are far below 2^53 ms.
        self.meters.lag.record(told.lag_ms as f64 / 1000.0);
        self.meters.coalesced.increment(u64::try_from(told.versions - 1).unwrap_or(0));
        if let Some(sold_out_ms) = told.sold_out_ms {
            self.meters.sold_out.record(sold_out_ms as f64 / 1000.0);
        }
        if told.supersedes {
            self.meters.superseded.increment(1);
        }
    }
}

/// Due again at once, for whoever comes; a call went out, so nobody is sure what the channel shows.
const HANDED_BACK: SettleOutcome = SettleOutcome::Returned { sure: false };

/// A channel that does not keep its own timeout is given so much more.
const CALL_GRACE: Duration = Duration::from_millis(250);

fn settlement(item: &Claimed, outcome: SettleOutcome) -> Settlement {
    let DesiredState { sku, version, published, paused, .. } = &item.desired;
    Settlement { sku: sku.clone(), version: *version, quantity: *published, paused: *paused, outcome }
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
    Settlement { sku, version: 0, quantity: 0, paused: false, outcome }
}
