//! Where one script touches one partition only, a sale may have to ask the homes of overdue children before it is refused.

use tokio::time::{Instant, timeout_at};

use crate::{
    domain::{Answer, Durability, Mutation, Partition},
    store::{
        Store, StoreError,
        committer::Reply,
        decode::{self, Words},
        encode::{self, Operation},
    },
};

use super::child::ChildId;

/// How often a sale comes again after homes were asked: up to 16 children are asked about each time.
const ROUNDS_MAX: u32 = 64;

impl Store {
    /// Sends one operation until it is decided.
    pub(super) async fn step(
        &self,
        operation: Operation,
        durability: Durability,
    ) -> Result<Reply, StoreError> {
        for _ in 0..ROUNDS_MAX {
            let reply = self.execute(operation.clone(), durability, None).await?;
            match to_ask(&reply.text)? {
                None => return Ok(reply),
                Some(children) => self.free(operation.partitions[0], children, durability).await?,
            }
        }
        Err(StoreError::Unsettled { what: "too many carts are overdue" })
    }

    /// Asks for a mutation of one partition, or for a cart, and waits for it until the deadline.
    pub(in crate::store) async fn mutate_apart(
        &self,
        mutation: &Mutation,
        deadline: Option<Instant>,
    ) -> Result<Answer, StoreError> {
        let (pending, started) = (self.begin(mutation.clone())?, Instant::now());
        match deadline {
            Some(deadline) => timeout_at(deadline, pending)
                .await
                .unwrap_or_else(|_| Err(StoreError::no_answer_since(started))),
            None => pending.await,
        }
    }

    /// Goes on with a mutation of one partition that was answered to ask homes first.
    pub(in crate::store) async fn ask_and_mutate(
        &self,
        mutation: &Mutation,
        children: Vec<ChildId>,
    ) -> Result<Answer, StoreError> {
        let durability = self.durability(mutation.durability);
        let operation = encode::mutation(mutation, self.partitions());
        self.free(operation.partitions[0], children, durability).await?;
        let reply = self.step(operation, durability).await?;
        decode::mutation(&reply, mutation)
    }

    /// Ends overdue children, if their homes can be asked: a sale is not refused for units nobody may hold any more.
    async fn free(
        &self,
        partition: Partition,
        children: Vec<ChildId>,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let healed = self.heal(partition, children, durability).await;
        match healed.fault {
            None => Ok(()),
            Some(fault) => {
                tracing::debug!(%fault, "the home of an overdue cart cannot be asked");
                Err(StoreError::Unsettled { what: "the home of an overdue cart is away" })
            }
        }
    }
}

/// The children an answer asks to ask about; None when it is one.
pub(in crate::store) fn to_ask(text: &str) -> Result<Option<Vec<ChildId>>, StoreError> {
    if !text.starts_with("ask ") {
        return Ok(None);
    }
    let mut words = Words::new(text);
    words.word("ask")?;
    words.list(|words| words.parse("child")).map(Some)
}
