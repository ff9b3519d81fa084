//! Tells one channel the stock: permit, claim, push, settle. Each channel has its own, so a sick one hurts nobody else.
//!
//! It looks only into partitions it was told of, or where a retry is due by then: an idle channel asks Redis nothing. What is pushed is
//! read at the claim, so a retry carries the newest number. A push whose worker dies leaves its lease to run
//! out; the SKU is then due again. At shutdown pushes are given some time, then cut off and their leases handed back.

mod agenda;
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
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{
    domain::Partition,
    store::{Claim, Shut, Store, StoreError},
};

use super::{
    ChannelSetup, Ears, FAULT_PAUSE,
    gate::{Gate, Pass, Ticket},
    outage::Outage,
};

use agenda::Agenda;
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

/// What a look into a partition showed.
struct Look {
    partition: Partition,
    /// When there is something to do there; None: nothing is known of.
    found: Result<Option<Instant>, StoreError>,
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
        let (looked, mut looks) = mpsc::channel(self.permits.available_permits());
        let channel = self.shared.setup.id.as_str();
        let mut outage = Outage::of("claim what is due", Some(channel));
        let mut agenda = Agenda::new(self.shared.store.partitions());
        self.look_everywhere(&mut agenda).await;
        let mut shut_until = None;
        let ears = &self.shared.ears;
        while !stop.is_cancelled() {
            let now = Instant::now();
            let is_open = shut_until.is_none_or(|until| until <= now);
            if is_open {
                self.hear(&mut agenda).await;
            }
            let next_at = if is_open { agenda.next_at() } else { shut_until };
            let is_ready = is_open && next_at.is_some_and(|at| at <= now);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(look) = looks.recv() => self.note(look, &mut agenda, &mut outage).await,
                Ok(permit) = Arc::clone(&self.permits).acquire_owned(), if is_ready => {
                    let begun = self.begin(permit, &mut agenda, &pushes, &looked).await;
                    shut_until = begun.unwrap_or_else(|fault| {
                        outage.is_felt(&fault);
                        Some(FAULT_PAUSE)
                    }).map(|wait| Instant::now() + wait);
                }
                () = ears.bell.notified() => shut_until = None,
                // What becomes due changes nothing while the channel is left alone; an operator's word may.
                () = ears.due.notified(), if is_open => {}
                () = sleep_until(next_at.unwrap_or(now + SLEEP_MAX)), if !is_ready => {} // why: until the next retry is due, or a call may go
            }
        }
        // Nobody hears any more what is found.
        drop(looks);
        pushes.close();
        if timeout(self.drain_timeout, pushes.wait()).await.is_err() {
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

    /// Puts on the agenda what somebody woke us for.
    async fn hear(&self, agenda: &mut Agenda) {
        let news = self.shared.ears.take_news();
        let now = Instant::now();
        for partition in news.partitions {
            agenda.look(partition, now);
        }
        if news.everywhere {
            self.look_everywhere(agenda).await;
        }
    }

    /// Puts on the agenda every partition where something is due or leased.
    async fn look_everywhere(&self, agenda: &mut Agenda) {
        let shared = &self.shared;
        let now = Instant::now();
        for partition in shared.store.partitions_with_work(&shared.setup.id).await {
            agenda.look(partition, now);
        }
    }

    /// Begins to look into the next partition, if a call may go; else for how long none may.
    async fn begin(
        &self,
        permit: OwnedSemaphorePermit,
        agenda: &mut Agenda,
        pushes: &TaskTracker,
        looked: &mpsc::Sender<Look>,
    ) -> Result<Option<Duration>, StoreError> {
        let limit = self.shared.batch.load(Ordering::Relaxed);
        let ticket = match self.shared.gate.ask().await? {
            Pass::Go(ticket) | Pass::Probe(ticket) => ticket,
            Pass::Wait { wait, why } => {
                self.shared.count_wait(why);
                return Ok(Some(wait));
            }
        };
        let Some(partition) = agenda.begin(Instant::now()) else {
            self.shared.give_back(ticket).await;
            return Ok(None);
        };
        let (shared, looked) = (Arc::clone(&self.shared), looked.clone());
        pushes.spawn(async move {
            shared.claim_and_push(partition, ticket, limit, &looked).await;
            drop(permit);
        });
        Ok(None)
    }

    /// Takes in what a look into a partition showed.
    async fn note(&self, look: Look, agenda: &mut Agenda, outage: &mut Outage) {
        let Look { partition, found } = look;
        match found {
            Ok(next) => {
                if agenda.is_sick(partition) {
                    agenda.is_well(&self.shared.store.beside(partition).await);
                }
                agenda.done(partition, next);
                if !agenda.is_failing() {
                    outage.is_over();
                }
            }
            Err(fault) => {
                let others = match fault.is_of_server() {
                    true => self.shared.store.beside(partition).await,
                    false => Vec::new(),
                };
                agenda.failed(partition, &others, Instant::now(), FAULT_PAUSE);
                outage.is_felt(&fault);
            }
        }
    }
}

impl Shared {
    /// Claims once, says when there is more to do, and pushes what it got.
    async fn claim_and_push(
        &self,
        partition: Partition,
        ticket: Ticket,
        limit: usize,
        looked: &mpsc::Sender<Look>,
    ) {
        // Names one lease among those a SKU ever had; short, since it is written for every SKU.
        let token = format!("{:016x}", fastrand::u64(..));
        let lease_end = Instant::now() + self.store.lease();
        let (setup, is_probe) = (&self.setup, ticket.is_probe());
        let claimed = self.store.claim(partition, &setup.id, &setup.rules, &token, limit).await;
        let count = |claim: &Claim| claim.items.len() + claim.broken.len();
        let next_at = |claim: &Claim| {
            // A claim that is not full has left nothing that is due now.
            let in_ms = if count(claim) >= limit { Some(0) } else { claim.next_in_ms };
            in_ms.map(|ms| Instant::now() + Duration::from_millis(ms).min(SLEEP_MAX))
        };
        let found = claimed.as_ref().map(next_at).map_err(StoreError::clone);
        let in_hand = match claimed {
            Ok(claim) if count(&claim) > 0 => Some((InHand { partition, token, claim, lease_end }, ticket)),
            Ok(_) | Err(_) => {
                self.give_back(ticket).await;
                None
            }
        };
        // Nobody listens any more who was told to stop.
        let _ = looked.send(Look { partition, found }).await;
        match in_hand {
            Some((in_hand, ticket)) => self.push(in_hand, ticket).await,
            // It is to be had again at once, where something is due.
            None if is_probe => self.ears.reopened(),
            None => {}
        }
    }

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
