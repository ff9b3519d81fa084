//! Where calls wait for their committer: one queue for those that ask for memory only, and one for those that wait for more, so
//! that the former never wait behind the latter.

use tokio::{
    sync::{mpsc, mpsc::error::TrySendError, oneshot},
    time::{Instant, timeout_at},
};

use crate::domain::Durability;

use super::{
    Store, StoreError,
    committer::{Backlog, Call, Reply},
    encode::Operation,
};

/// The queue of one committer.
pub(super) struct Queue {
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) backlog: Backlog,
}

impl Store {
    /// Where calls that ask for this wait.
    pub(super) fn queue(&self, durability: Durability) -> &Queue {
        match durability {
            Durability::Memory => &self.inner.quick,
            Durability::Replicated(_) | Durability::Fsync => &self.inner.confirmed,
        }
    }

    /// Queues one operation to be sent with whatever else is waiting; refused at once when the queue is full.
    pub(super) fn enqueue(
        &self,
        operation: Operation,
        durability: Durability,
    ) -> Result<oneshot::Receiver<Result<Reply, StoreError>>, StoreError> {
        let queue = self.queue(durability);
        let (reply, answer) = oneshot::channel();
        let place = Some(queue.backlog.admit(operation.lane)?);
        let call = Call { operation, durability, reply, place, rounds: 0, patient_until: None, number: 0 };
        queue.calls.try_send(call).map_err(|error| match error {
            // Never: a place is given back after its call has left the queue.
            TrySendError::Full(_) => StoreError::Overloaded { queued: self.queue_max() },
            TrySendError::Closed(_) => StoreError::Draining,
        })?;
        Ok(answer)
    }

    /// Sends one operation and waits for its answer.
    pub(super) async fn execute(
        &self,
        operation: Operation,
        durability: Durability,
        deadline: Option<Instant>,
    ) -> Result<Reply, StoreError> {
        let answer = self.enqueue(operation, durability)?;
        let answered = match deadline {
            Some(deadline) => {
                let started = Instant::now();
                timeout_at(deadline, answer).await.map_err(|_| StoreError::no_answer_since(started))?
            }
            None => answer.await,
        };
        answered.unwrap_or(Err(StoreError::Draining))
    }

    /// Sends what nobody waits for more than memory of, and waits for its answer.
    pub(super) async fn execute_quick(&self, operation: Operation) -> Result<String, StoreError> {
        Ok(self.execute(operation, Durability::Memory, None).await?.text)
    }
}
