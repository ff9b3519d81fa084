//! Carts: requests whose lines live in several partitions, where one script touches one partition only. All lines or none,
//! through a crash at any point.
//!
//! The partition of the first SKU is home, and decides in one script; before that the others prepare their part, each in a child
//! hold with a short deadline; after it they are brought to what home says. Whoever meets an overdue child, the sweeper or a sale,
//! asks its home (`heal`). What is not decided then never can be: home remembers that the attempt was given up. So
//! nothing but home's word ends a child, and every step may be repeated, or come late, or never.
//!
//! A cart runs in a task of its own: a caller that stops waiting does not cut it in the middle.

mod act;
mod answers;
mod child;
mod finish;
mod heal;
mod make;
mod merge;
mod packing;
mod waiting;

use std::sync::Arc;

use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};
use tokio_util::task::TaskTracker;

pub(super) use child::ChildId;
pub(super) use waiting::to_ask;

use crate::domain::{Achieved, Action, Answer, Durability, HoldId, Mutation, Partition, Sku};

use super::{AtomicDomain, Store, StoreError, committer::Reply, encode::Operation};

/// This part of the queue is the most carts that may be under way: each has a script on its way in several partitions.
const PART_OF_QUEUE: usize = 16;
/// How often a cart is begun anew because its attempt was given up while it was under way.
const ATTEMPTS_MAX: u32 = 8;

/// Those under way.
pub(super) struct Carts {
    tasks: TaskTracker,
    places: Arc<Semaphore>,
    places_max: usize,
}

impl Carts {
    /// Runs them on `tasks`.
    pub(super) fn new(tasks: &TaskTracker, queue_max: usize) -> Self {
        let places_max = (queue_max / PART_OF_QUEUE).max(1);
        Self { tasks: tasks.clone(), places: Arc::new(Semaphore::new(places_max)), places_max }
    }
}

/// One under way.
struct Cart {
    store: Store,
    asked: Mutation,
    hold: HoldId,
    durability: Durability,
    /// The least of its steps so far; None before the first.
    achieved: Option<Achieved>,
    /// The attempt home decided for it.
    attempt: Option<i64>,
    begun: Instant,
}

impl Store {
    /// Whether one script cannot do it.
    pub(super) fn is_cart(&self, asked: &Mutation) -> bool {
        let partitions = self.partitions();
        self.atomic_domain() == AtomicDomain::Partition
            && match &asked.action {
                Action::Decrement(lines) | Action::Restock(lines) | Action::Reserve { lines, .. } => {
                    let mut places = lines.as_slice().iter().map(|line| partitions.of(&line.sku));
                    let first = places.next();
                    places.any(|place| Some(place) != first)
                }
                Action::Commit { hold, .. }
                | Action::Release { hold, .. }
                | Action::ExtendHold { hold, .. } => {
                    // One of an earlier layout has ended, and lies at home as a whole.
                    hold.partitions().len() > 1 && hold.fits(partitions)
                }
                Action::AdjustStock { .. } | Action::SetStock { .. } => false,
            }
    }

    /// Starts a cart; it goes on when nobody waits for its answer any more.
    pub(super) fn begin_cart(
        &self,
        asked: Mutation,
    ) -> Result<oneshot::Receiver<Result<Answer, StoreError>>, StoreError> {
        let cart = Cart::new(self.clone(), asked);
        self.carry(cart.run())
    }

    /// Goes on with a mutation of one partition that was answered to ask the homes of overdue children first.
    pub(super) fn go_on(
        &self,
        asked: Mutation,
        answered: Reply,
    ) -> Result<oneshot::Receiver<Result<Answer, StoreError>>, StoreError> {
        let store = self.clone();
        self.carry(async move { store.ask_and_mutate(&asked, &answered).await })
    }

    fn carry(
        &self,
        work: impl Future<Output = Result<Answer, StoreError>> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<Answer, StoreError>>, StoreError> {
        let carts = &self.inner.carts;
        let place = Arc::clone(&carts.places)
            .try_acquire_owned()
            .map_err(|_| StoreError::Overloaded { queued: carts.places_max })?;
        let (reply, answer) = oneshot::channel();
        carts.tasks.spawn(async move {
            // A caller that has gone will find its answer in the record.
            let _ = reply.send(work.await);
            drop(place);
        });
        Ok(answer)
    }
}

impl Cart {
    fn new(store: Store, asked: Mutation) -> Self {
        let durability = store.durability(asked.durability);
        let hold = match &asked.action {
            Action::Commit { hold, .. } | Action::Release { hold, .. } | Action::ExtendHold { hold, .. } => {
                hold.clone()
            }
            Action::Reserve { lines, .. } => {
                let (cause, skus) = (&asked.cause, lines.as_slice().iter().map(|line| &line.sku));
                HoldId::derive(&cause.client, &cause.key, lines.home(), skus, store.partitions())
            }
            Action::Decrement(lines) | Action::Restock(lines) => {
                let (cause, skus) = (&asked.cause, lines.as_slice().iter().map(|line| &line.sku));
                HoldId::derive_unasked(&cause.client, &cause.key, lines.home(), skus, store.partitions())
            }
            Action::AdjustStock { sku, .. } | Action::SetStock { sku, .. } => {
                let (cause, only) = (&asked.cause, std::iter::once(sku));
                HoldId::derive_unasked(&cause.client, &cause.key, sku, only, store.partitions())
            }
        };
        Self { store, asked, hold, durability, achieved: None, attempt: None, begun: Instant::now() }
    }

    async fn run(mut self) -> Result<Answer, StoreError> {
        let text = match &self.asked.action {
            Action::Decrement(lines) | Action::Restock(lines) | Action::Reserve { lines, .. } => {
                let lines = lines.clone();
                self.make(&lines).await?
            }
            Action::Commit { .. }
            | Action::Release { .. }
            | Action::ExtendHold { .. }
            | Action::AdjustStock { .. }
            | Action::SetStock { .. } => self.act().await?,
        };
        self.finish(text).await
    }

    fn home(&self) -> Partition {
        self.hold.home()
    }

    fn partition_of(&self, sku: &Sku) -> Partition {
        self.store.partitions().of(sku)
    }

    fn note(&mut self, achieved: Achieved) {
        self.achieved = Some(self.achieved.map_or(achieved, |before| before.and(achieved)));
    }

    fn reply(&self, text: String) -> Reply {
        Reply { text, achieved: self.achieved.unwrap_or_default() }
    }

    /// One script, and what it answers.
    async fn step(&mut self, operation: Operation) -> Result<String, StoreError> {
        let reply = self.store.step(operation, self.durability).await?;
        self.note(reply.achieved);
        Ok(reply.text)
    }

    /// Scripts side by side, each in its own partition; all answers, or the first fault when all have come back.
    async fn steps(&mut self, operations: Vec<Operation>) -> Result<Vec<String>, StoreError> {
        let steps = operations.into_iter().map(|operation| self.store.step(operation, self.durability));
        let replies = futures_util::future::join_all(steps).await;
        let mut texts = Vec::with_capacity(replies.len());
        for reply in replies {
            let reply = reply?;
            self.note(reply.achieved);
            texts.push(reply.text);
        }
        Ok(texts)
    }
}

/// An attempt at one key was given up again and again.
fn contested() -> StoreError {
    StoreError::NotReady { code: "another request with this key is under way".to_owned() }
}
