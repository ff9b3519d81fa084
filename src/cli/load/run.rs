//! Sends each call when it is due, however many are under way: an open loop, so that a stall of the gateway is measured
//! in full and not hidden by callers that wait.
//!
//! One task holds everything, so nothing is locked; calls under way are its futures.

use std::{
    iter::Peekable,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, StreamExt as _, future::LocalBoxFuture, stream::FuturesUnordered};
use tonic::transport::Channel;

use super::{
    super::gateway::Gateway,
    call::{Ask, Outcome, call},
    ledger::Ledger,
    metronome::Metronome,
    plan::{Fate, Plan},
    schedule::{self, Due, Dues, GRID, Phase},
    tally::{Tally, Took},
};
use crate::proto::stock_service_client::StockServiceClient;

/// Calls of unknown outcome that a run bears; each is asked again afterwards. With more the gateway is gone.
const UNKNOWN_MAX: usize = 10_000;
/// Repeats without an answer that a run bears; each is asked again afterwards. With more it repeats no further.
const REPEATS_LOST_MAX: usize = 10_000;
/// Calls that were never sent are counted so many at a time.
const COUNTED_IN_A_ROW: u64 = 10_000;
/// First answers kept to be asked for again after the run.
const KEPT_MAX: usize = 1_000;

/// How long before the end of a hold a refusal of its Commit or Release is surely wrong: half its life, or this.
const HOLD_END_MARGIN_MAX: Duration = Duration::from_secs(1);

/// What a call is, in the life of its order.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// The one that was due by the schedule.
    First,
    /// Sells what the hold promises.
    Commit(OwnHold),
    /// Gives it back.
    Release(OwnHold),
    /// The first one once more, with what it was answered.
    Repeat(Box<Outcome>),
}

/// A hold this run made.
#[derive(Debug, Clone)]
pub(super) struct OwnHold {
    id: String,
    /// The gateway must not refuse to end it before.
    pub(super) surely_live_until: Instant,
}

/// A call.
#[derive(Debug)]
struct Shot {
    number: u64,
    what: What,
    due: Instant,
    phase: usize,
}

/// A call that came to its end.
#[derive(Debug)]
struct Landed {
    shot: Shot,
    sent: Instant,
    answered: Instant,
    outcome: Outcome,
}

/// A call whose outcome is unknown.
#[derive(Debug, Clone)]
pub(super) struct Unknown {
    pub(super) number: u64,
    pub(super) what: What,
}

/// A first answer.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) outcome: Outcome,
}

/// One connection.
#[derive(Debug, Clone)]
struct Caller {
    gateway: Gateway,
    stock: StockServiceClient<Channel>,
}

/// A run: what it needs, and what came of it so far.
pub(super) struct Run<'a> {
    plan: &'a Plan,
    callers: Vec<Caller>,
    in_flight_max: usize,
    interrupted: Arc<AtomicBool>,
    metronome: Metronome,
    started: Instant,
    under_way: FuturesUnordered<LocalBoxFuture<'static, Landed>>,
    next_number: u64,
    /// Draws what is kept.
    random: fastrand::Rng,
    kept_of: usize,
    pub(super) tally: Tally,
    pub(super) ledger: Ledger,
    pub(super) unknown: Vec<Unknown>,
    pub(super) kept: Vec<Kept>,
    /// What was answered first, of the repeats that got no answer.
    pub(super) repeats_lost: Vec<Kept>,
}

impl<'a> Run<'a> {
    /// A run over these connections, of at most this length.
    pub(super) fn new(
        plan: &'a Plan,
        gateways: &[Gateway],
        in_flight_max: usize,
        length_max: Duration,
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        let started = Instant::now();
        let caller = |gateway: &Gateway| Caller { gateway: gateway.clone(), stock: gateway.stock() };
        Self {
            plan,
            callers: gateways.iter().map(caller).collect(),
            in_flight_max,
            interrupted,
            metronome: Metronome::start(started),
            started,
            under_way: FuturesUnordered::new(),
            next_number: 0,
            random: fastrand::Rng::with_seed(plan.seed),
            kept_of: 0,
            tally: Tally::new(length_max),
            ledger: Ledger::new(plan),
            unknown: Vec::new(),
            kept: Vec::new(),
            repeats_lost: Vec::new(),
        }
    }

    /// True when nothing more should be sent: somebody said so, or the gateway is gone.
    pub(super) fn is_over(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) || self.has_given_up()
    }

    /// True when so many calls had no answer that the gateway must be gone.
    pub(super) fn has_given_up(&self) -> bool {
        self.unknown.len() >= UNKNOWN_MAX
    }

    /// Since the run began.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sends all calls of some phases, and waits for their answers. `watch` is called now and then.
    pub(super) async fn drive(&mut self, phases: &[Phase], mut watch: impl FnMut(&Tally, Duration)) {
        let first_phase = self.tally.begin(phases);
        let start = self.next_beat();
        let end = start + schedule::length(phases);
        let mut dues = Dues::new(phases).peekable();
        let mut now = Instant::now();
        loop {
            while self.under_way.len() < self.in_flight_max
                && !self.is_over()
                && let Some(due) = dues.next_if(|due| start + due.after <= now)
            {
                self.send_first(start, due, first_phase, now);
            }
            // Looked at last: what was due at the very end is sent too.
            if now >= end || self.is_over() {
                break;
            }
            tokio::select! {
                biased;
                Some(landed) = self.under_way.next() => self.land(landed),
                () = self.metronome.beat() => watch(&self.tally, self.started.elapsed()),
            }
            now = Instant::now();
        }
        let elapsed = now.min(end).saturating_duration_since(start);
        self.tally.over(first_phase, elapsed, now - self.started);
        // First what is under way, as the counting takes time too.
        self.drain().await;
        let (start, now) = (start - self.started, now - self.started);
        count_unsent(&mut self.tally, &mut dues, first_phase, (start, now)).await;
    }

    /// The next moment of the grid.
    fn next_beat(&self) -> Instant {
        let beats = self.started.elapsed().as_micros() / GRID.as_micros() + 1;
        self.started + GRID * u32::try_from(beats).unwrap_or(u32::MAX)
    }

    /// Waits for what is under way: each call ends by its own deadline, and has at most two that follow it.
    async fn drain(&mut self) {
        let Some(caller) = self.callers.first() else { return };
        let patience = caller.gateway.timeout() * 3 + Duration::from_secs(1);
        let all = async {
            while let Some(landed) = self.under_way.next().await {
                self.land(landed);
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            // A deadline that is not kept leaves no answer to repeat.
            self.ledger.unresolved += self.under_way.len() as u64;
            self.under_way.clear();
        }
    }

    fn send_first(&mut self, start: Instant, due: Due, first_phase: usize, now: Instant) {
        let (moment, phase) = (start + due.after, first_phase + due.phase);
        self.tally.sent(phase, moment - self.started, now - moment);
        let number = self.next_number;
        self.next_number += 1;
        self.send(Shot { number, what: What::First, due: moment, phase });
    }

    fn send(&mut self, shot: Shot) {
        let ask = shot.what.ask(self.plan, shot.number);
        // Calls of one order share a connection, as those of one checkout do.
        let index = shot.number % self.callers.len() as u64;
        let Caller { gateway, mut stock } = self.callers[usize::try_from(index).unwrap_or(0)].clone();
        let call = async move {
            let sent = Instant::now();
            let outcome = call(&gateway, &mut stock, ask).await;
            Landed { shot, sent, answered: Instant::now(), outcome }
        };
        self.under_way.push(call.boxed_local());
    }

    fn land(&mut self, landed: Landed) {
        let Landed { shot, sent, answered, outcome } = landed;
        let took = Took { latency: answered - shot.due, service: answered - sent };
        match &shot.what {
            What::First => self.tally.landed(shot.phase, shot.due - self.started, took, &outcome),
            What::Commit(_) => self.tally.followed(|tally| &mut tally.commits, took.latency, &outcome),
            What::Release(_) => self.tally.followed(|tally| &mut tally.releases, took.latency, &outcome),
            What::Repeat(_) => self.tally.followed(|tally| &mut tally.repeats, took.latency, &outcome),
        }
        if let What::Repeat(first) = shot.what {
            return match outcome {
                Outcome::Failed(_) => self.repeats_lost.push(Kept { number: shot.number, outcome: *first }),
                Outcome::Done(_) | Outcome::Refused(_) => self.ledger.repeated(shot.number, &first, &outcome),
            };
        }
        self.ledger.enter(self.plan, (shot.number, &shot.what), answered, &outcome);
        if matches!(&outcome, Outcome::Failed(fault) if fault.is_unknown) {
            return self.unknown.push(Unknown { number: shot.number, what: shot.what });
        }
        if matches!(shot.what, What::First) && !self.is_over() {
            self.follow(shot, (sent, answered), outcome);
        }
    }

    /// What comes after the answer to the first call of an order; due at the moment of the answer.
    fn follow(&mut self, shot: Shot, (sent, answered): (Instant, Instant), outcome: Outcome) {
        let order = self.plan.order(shot.number);
        let (number, phase) = (shot.number, shot.phase);
        if let Outcome::Done(reply) = &outcome
            && let Some(hold_id) = reply.hold_id()
        {
            let hold = OwnHold::new(hold_id, sent, self.plan.hold_ttl);
            match order.fate {
                Fate::Commit => {
                    self.send(Shot { number, what: What::Commit(hold), due: answered, phase });
                }
                Fate::Release => {
                    self.send(Shot { number, what: What::Release(hold), due: answered, phase });
                }
                Fate::Leave => {}
            }
        }
        let may_repeat = order.is_repeated && self.repeats_lost.len() < REPEATS_LOST_MAX;
        if may_repeat && !matches!(outcome, Outcome::Failed(_)) {
            self.keep(Kept { number, outcome: outcome.clone() });
            self.send(Shot { number, what: What::Repeat(Box::new(outcome)), due: answered, phase });
        }
    }

    /// Keeps each with the same chance, however many come.
    fn keep(&mut self, kept: Kept) {
        self.kept_of += 1;
        if self.kept.len() < KEPT_MAX {
            return self.kept.push(kept);
        }
        let place = self.random.usize(..self.kept_of);
        if let Some(old) = self.kept.get_mut(place) {
            *old = kept;
        }
    }
}

/// What was due between `start` and `now` and never sent is part of the picture. That can be millions of calls: those of
/// one moment are counted at once, and a second Ctrl-C is heard in between.
async fn count_unsent(
    tally: &mut Tally,
    dues: &mut Peekable<Dues<'_>>,
    first_phase: usize,
    (start, now): (Duration, Duration),
) {
    let mut in_a_row = 0;
    while let Some(due) = dues.next_if(|due| start + due.after <= now) {
        let mut count = 1;
        while dues.next_if_eq(&due).is_some() {
            count += 1;
        }
        let moment = start + due.after;
        tally.unsent(first_phase + due.phase, moment, now - moment, count);
        in_a_row += count;
        if in_a_row >= COUNTED_IN_A_ROW {
            in_a_row = 0;
            tokio::task::yield_now().await;
        }
    }
}

impl OwnHold {
    /// `reserve_sent` is before the gateway began to count its life.
    pub(super) fn new(id: &str, reserve_sent: Instant, ttl: Duration) -> Self {
        let surely_live = ttl - HOLD_END_MARGIN_MAX.min(ttl / 2);
        Self { id: id.to_owned(), surely_live_until: reserve_sent + surely_live }
    }
}

impl What {
    /// The request; always the very same.
    pub(super) fn ask(&self, plan: &Plan, number: u64) -> Ask {
        match self {
            Self::First | Self::Repeat(_) => plan.ask(number),
            Self::Commit(hold) => plan.commit(number, hold.id.clone()),
            Self::Release(hold) => plan.release(number, hold.id.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counting_what_was_never_sent_lets_others_have_their_turn() {
        let phases = schedule::steady(1_000_000.0, Duration::from_secs(1));
        let mut tally = Tally::new(Duration::from_secs(1));
        let first = tally.begin(&phases);
        let mut dues = Dues::new(&phases).peekable();
        let times = (Duration::from_millis(5), Duration::from_millis(35));
        let mut counting = Box::pin(count_unsent(&mut tally, &mut dues, first, times));
        assert!(counting.as_mut().now_or_never().is_none(), "30,000 calls take more than one turn");
        counting.await;
        let counts = tally.counts();
        assert_eq!((counts.due, counts.unsent), (30_001, 30_001), "up to now, and no further");
    }
}
