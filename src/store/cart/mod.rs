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

use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

pub(super) use child::ChildId;
pub(super) use waiting::to_ask;

use crate::domain::{Achieved, Answer, Durability, HoldId, HoldKind, Mutation, Partition, Rpc, Sku};

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
}

impl Store {
    /// The hold through which it goes when one script cannot do it; None when one can.
    pub(super) fn hold_of_cart(&self, asked: &Mutation) -> Option<HoldId> {
        if self.atomic_domain() != AtomicDomain::Partition {
            return None;
        }
        let partitions = self.partitions();
        if let Some(hold) = asked.hold() {
            // One of an earlier layout has ended, and lies at home as a whole.
            return (hold.partitions().len() > 1 && hold.fits(partitions)).then(|| hold.clone());
        }
        let lines = asked.lines()?;
        let home = partitions.of(lines.home());
        if lines.as_slice().iter().all(|line| partitions.of(&line.sku) == home) {
            return None;
        }
        let kind = match asked.rpc() {
            Rpc::Reserve => HoldKind::Reserved,
            _ => HoldKind::Unasked,
        };
        Some(HoldId::derive(&asked.cause, lines, partitions, kind))
    }

    /// Starts a cart; it goes on when nobody waits for its answer any more.
    pub(super) fn begin_cart(
        &self,
        asked: Mutation,
        hold: HoldId,
    ) -> Result<oneshot::Receiver<Result<Answer, StoreError>>, StoreError> {
        let (store, durability) = (self.clone(), self.durability(asked.durability));
        self.carry(Cart { store, asked, hold, durability, achieved: None, attempt: None }.run())
    }

    /// Goes on with a mutation of one partition that was answered to ask the homes of overdue children first.
    pub(super) fn go_on(
        &self,
        asked: Mutation,
        children: Vec<ChildId>,
    ) -> Result<oneshot::Receiver<Result<Answer, StoreError>>, StoreError> {
        let store = self.clone();
        self.carry(async move { store.ask_and_mutate(&asked, children).await })
    }

    /// Whether its partitions were changed since it was first started.
    fn was_repartitioned(&self) -> bool {
        self.inner.earlier.get().is_some_and(|counts| !counts.is_empty())
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
    async fn run(mut self) -> Result<Answer, StoreError> {
        let text = match self.asked.lines().cloned() {
            Some(lines) => self.make(&lines).await?,
            None => self.act().await?,
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
    StoreError::Unsettled { what: "another request with this key is under way" }
}
