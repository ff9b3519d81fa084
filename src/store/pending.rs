//! Mutations under way, for callers that keep the time themselves: one timer serves many of them, or the layer around has one.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

use crate::domain::{Answer, Mutation};

use super::{
    AtomicDomain, Store, StoreError, cart,
    committer::{Lane, Reply},
    decode, encode,
};

/// A mutation under way. Dropped, it is given up: not sent if it was not yet, else its outcome is unknown.
pub struct Pending {
    mutation: Mutation,
    answer: Coming,
    /// Goes on where an answer is a question; None where one script decides everything.
    store: Option<Store>,
}

enum Coming {
    Known(Option<Answer>),
    Queued(oneshot::Receiver<Result<Reply, StoreError>>),
    /// In a task of its own: it takes more than one script.
    Carried(oneshot::Receiver<Result<Answer, StoreError>>),
}

impl Store {
    /// Asks for a mutation and does not wait for it. Mutations with one home SKU go to Redis in the order of these
    /// calls, save those that must go again or meet a broken connection, and those that wait to be more durable than memory:
    /// they have a queue of their own.
    pub fn begin(&self, mutation: Mutation) -> Result<Pending, StoreError> {
        let answer = if let Some(answer) = self.foreign(&mutation) {
            Coming::Known(Some(answer))
        } else if let Some(hold) = self.hold_of_cart(&mutation) {
            Coming::Carried(self.begin_cart(mutation.clone(), hold)?)
        } else {
            let operation = encode::mutation(&mutation, self.partitions());
            Coming::Queued(self.enqueue(operation, self.durability(mutation.durability))?)
        };
        let store = (self.atomic_domain() == AtomicDomain::Partition).then(|| self.clone());
        Ok(Pending { mutation, answer, store })
    }

    /// Whether the queue has room for one who can wait: a quarter of it, and of the part of a SKU, is left to those who
    /// cannot.
    pub fn has_room(&self, mutation: &Mutation) -> bool {
        self.queue(self.durability(mutation.durability)).backlog.has_room(Lane::of(mutation.home()))
    }

    /// How many operations may wait for the next script of their queue.
    pub fn queue_max(&self) -> usize {
        self.inner.settings.queue_max
    }
}

impl Future for Pending {
    type Output = Result<Answer, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match &mut this.answer {
                Coming::Known(answer) => {
                    return Poll::Ready(Ok(answer
                        .take()
                        .expect("a future is not polled after it was ready")));
                }
                Coming::Queued(queued) => {
                    let reply = ready!(Pin::new(queued).poll(cx)).unwrap_or(Err(StoreError::Draining))?;
                    let asking = match &this.store {
                        Some(store) => cart::to_ask(&reply.text)?.map(|children| (store, children)),
                        None => None,
                    };
                    match asking {
                        Some((store, children)) => {
                            this.answer = Coming::Carried(store.go_on(this.mutation.clone(), children)?);
                        }
                        None => return Poll::Ready(decode::mutation(&reply, &this.mutation)),
                    }
                }
                Coming::Carried(carried) => {
                    let answer = ready!(Pin::new(carried).poll(cx));
                    return Poll::Ready(answer.unwrap_or(Err(StoreError::Draining)));
                }
            }
        }
    }
}
