//! Transact: many operations over one stream.
//!
//! No task, no channel and no timer per operation: the stream of answers itself reads the requests while there is room, and
//! hands answers out as they come. It is asked for more only while the connection takes what it gives, so a caller that
//! does not read is not read.

mod operation;

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, Streaming};

use crate::{proto, store::StoreError};

use super::{
    convert::{self, ContractLimits, Problem, transact_response},
    deadline::Deadline,
    decide::{Decider, Undecided, caller},
    ending::Ending,
};

use operation::{Asked, Decided, Operation, Term};

/// When an operation that found no room in the queue asks again: a full queue makes room in a few of these.
const ROOM_RETRY: Duration = Duration::from_millis(2);
/// For one part in so many of its time an operation leaves the last of the queue to single calls; longer, and they could keep
/// it out for good, and with it all that its caller sent after it.
const PATIENT_PART: u32 = 10;

/// What every stream of a gateway needs.
pub(super) struct Transacts {
    pub(super) decider: Decider,
    pub(super) limits: ContractLimits,
    pub(super) in_flight_max: usize,
    /// How long an operation may wait for its answer.
    pub(super) patience: Duration,
    pub(super) stop: CancellationToken,
}

impl Transacts {
    /// Starts a stream; `deadline` is that of the stream as a whole, `ending` that of its connection.
    pub(super) fn start(
        &self,
        requests: Streaming<proto::TransactRequest>,
        deadline: Option<Deadline>,
        ending: Ending,
    ) -> TransactStream {
        let until = deadline.map(|deadline| deadline.0);
        TransactStream {
            requests,
            decider: self.decider.clone(),
            limits: self.limits,
            in_flight_max: self.in_flight_max,
            patience: self.patience,
            until,
            under_way: FuturesUnordered::new(),
            held_back: None,
            late: VecDeque::new(),
            end: None,
            clock: Box::pin(sleep_until(until.unwrap_or_else(Instant::now))),
            clock_at: until,
            told_to_end: Box::pin(ending.falls().clone().cancelled_owned()),
            ending,
        }
    }
}

/// The answers of one stream.
pub(super) struct TransactStream {
    requests: Streaming<proto::TransactRequest>,
    decider: Decider,
    limits: ContractLimits,
    in_flight_max: usize,
    patience: Duration,
    /// The deadline of the whole stream.
    until: Option<Instant>,
    under_way: FuturesUnordered<Operation>,
    /// Read when the queue had no room.
    held_back: Option<Asked>,
    /// Answers to operations whose time is over.
    late: VecDeque<proto::TransactResponse>,
    /// Why nothing more is read.
    end: Option<End>,
    /// One timer for all: never later than the next thing that is due.
    clock: Pin<Box<Sleep>>,
    /// When it rings, if it is set.
    clock_at: Option<Instant>,
    told_to_end: Pin<Box<WaitForCancellationFutureOwned>>,
    ending: Ending,
}

enum End {
    /// The caller has no more.
    HalfClosed,
    /// The status for the caller, once all that was read is answered.
    Told(Status),
}

/// What its caller left behind counts as single calls do that are given up.
impl Drop for TransactStream {
    fn drop(&mut self) {
        let under_way = self.under_way.iter().map(|operation| operation.rpc);
        let held_back = self.held_back.iter().map(|asked| asked.mutation.rpc());
        for rpc in under_way.chain(held_back) {
            drop(Undecided { decider: &self.decider, rpc });
        }
    }
}

impl Stream for TransactStream {
    type Item = Result<proto::TransactResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(late) = this.late.pop_front() {
                return Poll::Ready(Some(Ok(late)));
            }
            if let Poll::Ready(Some(decided)) = this.under_way.poll_next_unpin(cx) {
                return Poll::Ready(Some(Ok(this.answer(decided))));
            }
            if let Poll::Ready(refused) = this.read_on(cx) {
                match refused {
                    Some(refused) => return Poll::Ready(Some(Ok(refused))),
                    None => continue,
                }
            }
            if this.under_way.is_empty() && this.held_back.is_none() {
                match this.end.take() {
                    Some(End::HalfClosed) => return Poll::Ready(None),
                    Some(End::Told(status)) => return Poll::Ready(Some(Err(status))),
                    None => {}
                }
            }
            ready!(this.look_at_clock(cx));
        }
    }
}

impl TransactStream {
    /// Reads while there is room and something to read. Ready with an answer that needs no waiting, or with None when
    /// operations are newly under way or reading came to its end.
    fn read_on(&mut self, cx: &mut Context<'_>) -> Poll<Option<proto::TransactResponse>> {
        let mut is_news = false;
        loop {
            let asked = match self.held_back.take() {
                Some(asked) => asked,
                None if self.end.is_some() || self.under_way.len() >= self.in_flight_max => break,
                None => match self.requests.poll_next_unpin(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Some(Ok(request))) => match self.take_in(request) {
                        Ok(asked) => asked,
                        Err((tag, problem)) => {
                            return Poll::Ready(Some(transact_response(tag, Err(problem))));
                        }
                    },
                    Poll::Ready(Some(Err(status))) => return self.read_no_more(End::Told(status)),
                    Poll::Ready(None) => return self.read_no_more(End::HalfClosed),
                },
            };
            let now = Instant::now();
            let is_patient = now < asked.term.began + self.patience / PATIENT_PART;
            if is_patient && !self.decider.store.has_room(&asked.mutation) {
                self.wake_at(now + ROOM_RETRY);
                self.held_back = Some(asked);
                break;
            }
            if let Some(refused) = self.begin(asked) {
                return Poll::Ready(Some(refused));
            }
            is_news = true;
        }
        if is_news { Poll::Ready(None) } else { Poll::Pending }
    }

    fn read_no_more(&mut self, end: End) -> Poll<Option<proto::TransactResponse>> {
        self.end = Some(end);
        Poll::Ready(None)
    }

    fn take_in(&self, request: proto::TransactRequest) -> Result<Asked, (u64, Problem)> {
        let proto::TransactRequest { tag, operation } = request;
        let (mutation, respond) =
            convert::operation(operation, caller(), &self.limits).map_err(|problem| (tag, problem))?;
        let began = Instant::now();
        let due = began + self.patience;
        let due = self.until.map_or(due, |until| due.min(until));
        Ok(Asked { tag, mutation, respond, term: Term { began, due } })
    }

    /// Hands an operation to the store; an answer when the store does not take it.
    fn begin(&mut self, asked: Asked) -> Option<proto::TransactResponse> {
        let Asked { tag, mutation, respond, term } = asked;
        let rpc = mutation.rpc();
        match self.decider.store.begin(mutation) {
            Ok(pending) => {
                self.under_way.push(Operation { tag, rpc, respond, term, pending });
                self.wake_at(term.due);
                None
            }
            Err(fault) => Some(self.answer(Decided { tag, rpc, respond, outcome: Err(fault) })),
        }
    }

    fn answer(&self, decided: Decided) -> proto::TransactResponse {
        let Decided { tag, rpc, respond, outcome } = decided;
        self.decider.count(rpc, &outcome);
        transact_response(tag, outcome.map_err(Problem::from).and_then(respond))
    }

    /// Ready when something came of the clock, or of the end of the gateway or the connection.
    fn look_at_clock(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.end.is_none() && self.told_to_end.as_mut().poll(cx).is_ready() {
            self.end = Some(End::Told(self.ending.problem().into()));
            return Poll::Ready(());
        }
        if self.clock_at.is_none() {
            return Poll::Pending;
        }
        ready!(self.clock.as_mut().poll(cx));
        self.clock_at = None;
        self.give_up_what_is_due(Instant::now());
        Poll::Ready(())
    }

    fn wake_at(&mut self, at: Instant) {
        if self.clock_at.is_none_or(|set| at < set) {
            self.clock.as_mut().reset(at);
            self.clock_at = Some(at);
        }
    }

    /// Answers what waited too long, and sets the clock for the next.
    fn give_up_what_is_due(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) && self.end.is_none() {
            self.end = Some(End::Told(convert::stream_expired().into()));
        }
        if let Some(Asked { tag, mutation, respond, .. }) =
            self.held_back.take_if(|asked| asked.term.due <= now)
        {
            // It never got into the queue, so nothing came of it.
            let outcome = Err(StoreError::Overloaded { queued: self.decider.store.queue_max() });
            let late = self.answer(Decided { tag, rpc: mutation.rpc(), respond, outcome });
            self.late.push_back(late);
        }
        if self.under_way.iter().any(|operation| operation.term.due <= now) {
            for operation in std::mem::take(&mut self.under_way) {
                if operation.term.due <= now {
                    let late = self.answer(operation.too_late(now));
                    self.late.push_back(late);
                } else {
                    self.under_way.push(operation);
                }
            }
        }
        let next = self.under_way.iter().map(|operation| operation.term.due).min();
        let until = self.until.filter(|_| self.end.is_none());
        if let Some(next) = next.into_iter().chain(until).min() {
            self.wake_at(next);
        }
    }
}
