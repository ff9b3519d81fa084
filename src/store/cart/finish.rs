//! After home has decided: the other partitions follow, and the answer says what they came to.

use futures_util::future::join_all;

use crate::{
    domain::{Achieved, Answer, Applied, Cause, HoldState, Rpc},
    store::{
        AtomicDomain, Store, StoreError,
        committer::Reply,
        decode::{self, Resolved, Words},
    },
};

use super::{
    Cart,
    answers::{self, Aligned, Told, ToldLine},
    child::ChildId,
    packing,
};

impl Cart {
    /// Brings the others to what home decided, and completes its answer. From here on a fault is one of the answer only: the
    /// repeat goes on where this one ended.
    pub(super) async fn finish(mut self, text: String) -> Result<Answer, StoreError> {
        let mut answer = decode::mutation(&self.reply(text.clone()), &self.asked)?;
        let rpc = self.asked.rpc();
        let told = match &answer.result {
            Err(_) => None,
            // The record of a reserve says all there is to say; a repeat has nothing to bring anywhere.
            Ok(applied) if rpc == Rpc::Reserve => self.told_of_reserve(applied),
            Ok(_) => {
                let first = text.strip_prefix("replayed ").unwrap_or(&text);
                answers::told_with(first, rpc, self.store.partitions())?
            }
        };
        let Some(told) = told else { return Ok(answer) };
        if matches!(rpc, Rpc::Reserve | Rpc::ExtendHold) {
            // Only a deadline: a child that has not heard of it asks before it ends.
            self.align_later(told);
            return Ok(answer);
        }
        let cause = self.asked.cause.clone();
        // A sale's children have its cause already.
        let cause = matches!(rpc, Rpc::Commit | Rpc::Release).then_some(&cause);
        let aligned = match self.align_all(&told, cause).await {
            Ok(aligned) => aligned,
            Err(fault) => {
                tracing::warn!(hold = %self.hold, %fault, "a cart is decided, and one of its partitions did not follow yet");
                let waited_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Err(StoreError::NoAnswer { waited_ms });
            }
        };
        let is_made = self.attempt.is_some() && matches!(rpc, Rpc::Decrement | Rpc::Restock);
        if is_made && aligned.iter().any(|one| one.lines.is_empty()) {
            // It was prepared a moment ago: a failover has lost it, and its lines are not sold.
            tracing::error!(hold = %self.hold, "a partition has lost its part of a cart that is decided: its redis failed over; run VerifyStock");
            let waited_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Err(StoreError::NoAnswer { waited_ms });
        }
        if let Ok(applied) = &mut answer.result {
            self.complete(applied, &aligned);
        }
        if matches!(rpc, Rpc::Commit | Rpc::Release) {
            let (store, durability) = (self.store.clone(), self.durability);
            self.store.inner.carts.tasks.spawn(async move {
                // Without it the sweeper tells them once more.
                let _ = store.execute(packing::told(&told.hold, told.revision), durability, None).await;
            });
        }
        answer.durability = self.achieved.unwrap_or_default();
        Ok(answer)
    }

    fn told_of_reserve(&self, applied: &Applied) -> Option<Told> {
        let (hold, attempt) = (applied.hold.as_ref()?, self.attempt?);
        let lines = hold.lines.iter().map(|line| ToldLine {
            partition: self.partition_of(&line.sku),
            sku: line.sku.clone(),
            reserved: line.reserved,
            held: line.held,
            committed: line.committed,
            back: 0,
        });
        let state = if hold.state == HoldState::Held { "h" } else { return None };
        Some(Told {
            hold: hold.id.clone(),
            attempt,
            // The first thing home said of it.
            revision: 1,
            state: state.to_owned(),
            deadline_ms: hold.deadline_ms,
            lines: lines.collect(),
        })
    }

    /// Puts what the others told in the place of the lines home could not speak of.
    fn complete(&self, applied: &mut Applied, aligned: &[Aligned]) {
        for line in &mut applied.lines {
            if self.partition_of(&line.sku) != self.home()
                && let Some(told) = aligned.iter().find_map(|one| one.lines.get(&line.sku))
            {
                line.level = told.level.clone();
                line.event_id = told.event_id;
            }
        }
    }

    /// Brings all others to what home told; the first fault when all have answered.
    pub(super) async fn align_all(
        &mut self,
        told: &Told,
        cause: Option<&Cause>,
    ) -> Result<Vec<Aligned>, StoreError> {
        let child = ChildId { attempt: told.attempt, hold: told.hold.clone() };
        let steps = told.away().into_iter().map(|partition| packing::align(partition, &child, told, cause));
        let texts = self.steps(steps.collect()).await?;
        texts.iter().map(|text| answers::aligned(text)).collect()
    }

    fn align_later(mut self, told: Told) {
        let tasks = self.store.inner.carts.tasks.clone();
        tasks.spawn(async move {
            // Whoever meets the children when their time is over asks home.
            let _ = self.align_all(&told, None).await;
        });
    }
}

impl Store {
    /// What a key was answered, with the events of all partitions.
    pub(in crate::store) async fn resolved(
        &self,
        reply: Reply,
        durability: crate::domain::Durability,
    ) -> Result<(Resolved, Achieved), StoreError> {
        let mut resolved = decode::resolved(&reply.text)?;
        let mut achieved = reply.achieved;
        if let (AtomicDomain::Partition, Resolved::Applied { rpc, event_ids, .. }) =
            (self.atomic_domain(), &mut resolved)
        {
            let mut words = Words::new(&reply.text);
            words.word("found")?;
            words.word("fingerprint")?;
            let text = words.rest();
            if let Some(told) = answers::told_with(text, *rpc, self.partitions())? {
                let child = ChildId { attempt: told.attempt, hold: told.hold.clone() };
                let away = told.away();
                let steps = away.into_iter().map(|partition| packing::align(partition, &child, &told, None));
                let replies = join_all(steps.map(|step| self.step(step, durability))).await;
                let mut aligned = Vec::with_capacity(replies.len());
                for reply in replies {
                    let reply = reply?;
                    achieved = achieved.and(reply.achieved);
                    aligned.push(answers::aligned(&reply.text)?);
                }
                let of = |sku| aligned.iter().find_map(|one: &Aligned| one.lines.get(&sku)?.event_id);
                let events = answers::events_of(text, *rpc, &told)?.into_iter();
                *event_ids = events.filter_map(|event| event.map_or_else(of, Some)).collect();
            }
        }
        Ok((resolved, achieved))
    }
}
