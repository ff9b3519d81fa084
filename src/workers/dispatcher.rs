//! Tells one channel the stock: permit, claim, push, settle. Each channel has its own, so a sick one hurts nobody else.
//!
//! What is pushed is read at the claim, so a retry carries the newest number. A push whose worker dies leaves its lease to run
//! out; the SKU is then due again. At shutdown pushes are given some time, then cut off and their leases handed back.

mod judge;
mod meters;
mod push;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{
    domain::Partition,
    store::{Shut, Store, StoreError},
};

use super::{
    ChannelSetup, Ears, FAULT_PAUSE,
    gate::{Gate, Pass, Ticket},
    outage::Outage,
    pause,
};

use meters::Meters;
use push::InHand;

/// The longest sleep of a dispatcher nobody wakes; the lookout wakes it for what others left.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// The task of one channel.
pub(super) struct ChannelWorker {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    drain_timeout: Duration,
}

struct Shared {
    store: Store,
    setup: ChannelSetup,
    gate: Gate,
    ears: Ears,
    meters: Meters,
    /// SKUs in a call: fewer after one that was rejected as a whole and could not be told by halves at once.
    batch: AtomicUsize,
    /// Whether the last call brought nothing.
    is_failing: AtomicBool,
    /// Falls when pushes have had their time at shutdown.
    cut: CancellationToken,
}

/// How a look for work ended.
enum Round {
    /// Nothing is due for so long.
    Idle(Duration),
    /// The channel is to be left alone for so long, whatever is due.
    Shut(Duration),
}

impl ChannelWorker {
    pub(super) fn new(store: Store, setup: ChannelSetup, drain_timeout: Duration, ears: Ears) -> Self {
        let permits = Arc::new(Semaphore::new(setup.concurrency));
        let meters = Meters::new(setup.id.as_str());
        let gate = Gate::new(store.clone(), setup.id.clone(), setup.terms);
        let (is_failing, cut) = (AtomicBool::new(false), CancellationToken::new());
        let batch = AtomicUsize::new(setup.channel.batch_max());
        let shared = Shared { store, setup, gate, ears, meters, batch, is_failing, cut };
        Self { shared: Arc::new(shared), permits, drain_timeout }
    }

    /// Serves the channel until told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let pushes = TaskTracker::new();
        let mut partition_first: u16 = 0;
        let mut outage = Outage::of("claim what is due", Some(self.shared.setup.id.as_str()));
        while !stop.is_cancelled() {
            let round = match self.round(partition_first, &pushes, &stop).await {
                Ok(round) => {
                    outage.is_over();
                    round
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
            let ears = &self.shared.ears;
            match round {
                Round::Idle(wait) => tokio::select! {
                    () = stop.cancelled() => break,
                    () = ears.due.notified() => {}
                    () = ears.bell.notified() => {}
                    () = tokio::time::sleep(wait) => {} // why: until the next retry is due, by its own clock
                },
                // What becomes due changes nothing while the channel is left alone; an operator's word may.
                Round::Shut(wait) => tokio::select! {
                    () = stop.cancelled() => break,
                    () = ears.bell.notified() => {}
                    () = tokio::time::sleep(wait) => {} // why: until the channel may be called again
                },
            }
        }
        pushes.close();
        if tokio::time::timeout(self.drain_timeout, pushes.wait()).await.is_err() {
            let channel = self.shared.setup.id.as_str();
            warn!(
                channel,
                on_their_way = pushes.len(),
                "calls are cut off to shut down; their SKUs are told again"
            );
            self.shared.cut.cancel();
            pushes.wait().await;
        }
        // What was handed back or parked is news to other processes: their sleep was measured before.
        let channel = std::slice::from_ref(&self.shared.setup.id);
        if let Err(fault) = self.shared.store.ring(channel).await {
            debug!(
                error = &fault as &dyn std::error::Error,
                "cannot ring for others; they look by themselves"
            );
        }
    }

    /// Claims and pushes until a full turn finds nothing due, or the channel is to be left alone.
    async fn round(
        &self,
        partition_first: u16,
        pushes: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Round, StoreError> {
        let count = self.shared.store.partitions().count();
        loop {
            let (mut next, mut is_done) = (SLEEP_MAX, true);
            for step in 0..count {
                // One claim each, another partition first each time: none is starved while calls are scarce.
                let partition = Partition((partition_first % count + step) % count);
                let permit = tokio::select! {
                    () = stop.cancelled() => return Ok(Round::Idle(Duration::ZERO)),
                    permit = Arc::clone(&self.permits).acquire_owned() => permit,
                };
                let Ok(permit) = permit else { return Ok(Round::Idle(SLEEP_MAX)) };
                let limit = self.shared.batch.load(Ordering::Relaxed);
                let ticket = match self.shared.gate.ask().await? {
                    Pass::Go(ticket) | Pass::Probe(ticket) => ticket,
                    Pass::Wait { wait, why } => {
                        self.shared.count_wait(why);
                        return Ok(Round::Shut(wait));
                    }
                };
                match self.claim_and_push(partition, ticket, limit, permit, pushes).await? {
                    Some(next_in) => next = next.min(next_in),
                    None => is_done = false,
                }
            }
            if is_done {
                return Ok(Round::Idle(next));
            }
        }
    }

    /// Claims once and pushes what it got; when there is more to do, or None when there is more now.
    async fn claim_and_push(
        &self,
        partition: Partition,
        ticket: Ticket,
        limit: usize,
        permit: OwnedSemaphorePermit,
        pushes: &TaskTracker,
    ) -> Result<Option<Duration>, StoreError> {
        let shared = &self.shared;
        let (store, setup) = (&shared.store, &shared.setup);
        // Names one lease among those a SKU ever had; short, since it is written for every SKU.
        let token = format!("{:016x}", fastrand::u64(..));
        let lease_end = Instant::now() + store.lease();
        let claim = match store.claim(partition, &setup.id, &setup.rules, &token, limit).await {
            Ok(claim) => claim,
            Err(fault) => {
                shared.give_back(ticket).await;
                return Err(fault);
            }
        };
        if claim.items.is_empty() && claim.broken.is_empty() {
            shared.give_back(ticket).await;
            return Ok(Some(claim.next_in_ms.map_or(SLEEP_MAX, Duration::from_millis)));
        }
        // A claim that is not full has left nothing that is due now.
        let is_full = claim.items.len() + claim.broken.len() >= limit;
        let next_in = claim.next_in_ms.map_or(SLEEP_MAX, Duration::from_millis);
        let shared = Arc::clone(shared);
        pushes.spawn(async move {
            shared.push(InHand { partition, token, claim, lease_end }, ticket).await;
            drop(permit);
        });
        Ok((!is_full).then_some(next_in))
    }
}

impl Shared {
    fn count_wait(&self, why: Shut) {
        let waits = &self.meters.waits;
        match why {
            Shut::Paused => waits.paused.increment(1),
            Shut::BreakerOpen => waits.breaker_open.increment(1),
            Shut::Throttled => waits.throttled.increment(1),
            Shut::RateLimit => waits.rate_limit.increment(1),
        }
    }
}
