//! One operation of a stream: read, under way, decided.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;

use crate::{
    domain::{Answer, Mutation, Rpc},
    store::{Pending, StoreError},
};

use super::super::convert::Respond;

/// An operation that was read.
pub(super) struct Asked {
    pub(super) tag: u64,
    pub(super) mutation: Mutation,
    pub(super) respond: Respond,
    pub(super) term: Term,
}

/// An operation in the hands of the store.
pub(super) struct Operation {
    pub(super) tag: u64,
    pub(super) rpc: Rpc,
    pub(super) respond: Respond,
    pub(super) term: Term,
    pub(super) pending: Pending,
}

/// From when until when an operation may be under way.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) began: Instant,
    pub(super) due: Instant,
}

/// What became of an operation.
pub(super) struct Decided {
    pub(super) tag: u64,
    pub(super) rpc: Rpc,
    pub(super) respond: Respond,
    pub(super) outcome: Result<Answer, StoreError>,
}

impl Future for Operation {
    type Output = Decided;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Decided> {
        let outcome = ready!(Pin::new(&mut self.pending).poll(cx));
        Poll::Ready(Decided { tag: self.tag, rpc: self.rpc, respond: self.respond, outcome })
    }
}

impl Operation {
    /// Gives it up.
    pub(super) fn too_late(self, now: Instant) -> Decided {
        let waited_ms = u64::try_from((now - self.term.began).as_millis()).unwrap_or(u64::MAX);
        let outcome = Err(StoreError::NoAnswer { waited_ms });
        Decided { tag: self.tag, rpc: self.rpc, respond: self.respond, outcome }
    }
}
