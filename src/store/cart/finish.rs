//! After home has decided: the other partitions follow, and the answer says what they came to.

use crate::{
    domain::{Achieved, Answer, Applied, Cause, Rpc},
    store::{
        AtomicDomain, Store, StoreError,
        committer::Reply,
        decode::{self, Change, Resolved, Words},
    },
};

use super::{
    Cart,
    answers::{self, Aligned, Told},
};

/// The first thing home says of a hold.
const FIRST_REVISION: i64 = 1;

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
        let acts_on_hold = matches!(rpc, Rpc::Commit | Rpc::Release);
        // A sale's children have its cause already.
        let cause = acts_on_hold.then(|| self.asked.cause.clone());
        let aligned = match self.align_all(&told, cause.as_ref()).await {
            Ok(aligned) => aligned,
            Err(fault) => {
                tracing::warn!(hold = %self.hold, %fault, "a cart is decided, and one of its partitions did not follow yet");
                return Err(after_decision(fault));
            }
        };
        if acts_on_hold {
            // Nobody waits for it.
            let (store, durability) = (self.store.clone(), self.durability);
            self.store.inner.carts.tasks.spawn(async move {
                let _ = store.have_followed(&told, durability).await;
            });
        }
        let is_repeat = answer.replayed;
        if let Ok(applied) = &mut answer.result {
            self.complete(applied, &aligned, is_repeat)?;
        }
        answer.durability = self.achieved.unwrap_or_default();
        Ok(answer)
    }

    /// None of a repeat: what home decided then is over, or its children have heard of it.
    fn told_of_reserve(&self, applied: &Applied) -> Option<Told> {
        let (hold, attempt) = (applied.hold.clone()?, self.attempt?);
        Some(Told::of(hold, attempt, FIRST_REVISION, self.store.partitions()))
    }

    /// Puts what the others told in the place of the lines home could not speak of. A line nobody tells of is lost, by a failover:
    /// its counts are not made up, and no repeat brings them back.
    fn complete(
        &self,
        applied: &mut Applied,
        aligned: &[Aligned],
        is_repeat: bool,
    ) -> Result<(), StoreError> {
        for line in &mut applied.lines {
            if self.partition_of(&line.sku) == self.home() {
                continue;
            }
            match aligned.iter().find_map(|one| one.lines.get(&line.sku)) {
                Some(told) => {
                    line.level = told.level.clone();
                    line.event_id = told.event_id;
                }
                // Parts that have ended are left behind then.
                None if is_repeat && self.store.was_repartitioned() => {}
                None => {
                    let what = format!("{} in cart {}", line.sku, self.hold);
                    tracing::error!(
                        what,
                        "a partition has lost its part of a cart that is decided: run VerifyStock"
                    );
                    return Err(StoreError::Broken { what });
                }
            }
        }
        Ok(())
    }

    /// Brings all others to what home told.
    pub(super) async fn align_all(
        &mut self,
        told: &Told,
        cause: Option<&Cause>,
    ) -> Result<Vec<Aligned>, StoreError> {
        let (aligned, achieved) = self.store.align_all(told, cause, self.durability).await?;
        if let Some(achieved) = achieved {
            self.note(achieved);
        }
        Ok(aligned)
    }

    fn align_later(mut self, told: Told) {
        let tasks = self.store.inner.carts.tasks.clone();
        tasks.spawn(async move {
            // Whoever meets the children when their time is over asks home.
            let is_done = self.align_all(&told, None).await.is_ok();
            // A reserve's home waits for its deadline alone.
            if is_done && self.asked.rpc() == Rpc::ExtendHold {
                let _ = self.store.have_followed(&told, self.durability).await;
            }
        });
    }
}

/// What a caller is told of a fault when home has decided: repeating it helps, unless a person must mend something first.
fn after_decision(fault: StoreError) -> StoreError {
    match fault {
        StoreError::Broken { .. }
        | StoreError::WrongType { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Refused { .. } => fault,
        // Those of them that say that nothing was changed mean a step, not the request.
        StoreError::Unavailable { .. }
        | StoreError::Disconnected { .. }
        | StoreError::NoAnswer { .. }
        | StoreError::NotReady { .. }
        | StoreError::Unsettled { .. }
        | StoreError::NotFollowed { .. }
        | StoreError::OutOfMemory
        | StoreError::Unconfirmed { .. }
        | StoreError::DurabilityUnavailable { .. }
        | StoreError::Overloaded { .. }
        | StoreError::Draining => StoreError::NotFollowed { source: Box::new(fault) },
    }
}

impl Store {
    /// What a key was answered, with the events of all partitions.
    pub(in crate::store) async fn resolved(
        &self,
        reply: Reply,
        durability: crate::domain::Durability,
    ) -> Result<(Resolved, Achieved), StoreError> {
        let mut words = Words::new(&reply.text);
        let (mut resolved, changes) = decode::resolved(&mut words)?;
        let mut achieved = reply.achieved;
        if let (AtomicDomain::Partition, Resolved::Applied { rpc, event_ids, .. }) =
            (self.atomic_domain(), &mut resolved)
            && let Some(told) = answers::told_behind(&mut words, *rpc, self.partitions())?
        {
            let (aligned, least) = self.align_all(&told, None, durability).await?;
            achieved = least.map_or(achieved, |least| achieved.and(least));
            let event_of = |(index, (sku, event)): (usize, &Change)| {
                // A sale's changes are its lines. Those in other partitions have told nothing yet.
                let sku = || sku.as_ref().or_else(|| told.lines.get(index).map(|line| &line.sku));
                event.or_else(|| {
                    sku().and_then(|sku| aligned.iter().find_map(|one| one.lines.get(sku)?.event_id))
                })
            };
            *event_ids = changes.iter().enumerate().filter_map(event_of).collect();
        }
        Ok((resolved, achieved))
    }
}
