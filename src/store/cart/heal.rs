//! What becomes of children whose cart was left in the middle, or has ended elsewhere: home is asked, and they follow.

use futures_util::future::join_all;

use crate::{
    domain::{Achieved, Cause, Durability, Partition},
    store::{Store, StoreError},
};

use super::{
    answers::{self, Aligned, Asked, Told},
    child::ChildId,
    packing,
};

/// Children asked about side by side.
const SIDE_BY_SIDE: usize = 16;

/// What became of overdue children.
#[derive(Debug, Default)]
pub(in crate::store) struct Healed {
    pub(in crate::store) ended: u32,
    /// Those whose home, or own partition, could not be reached.
    pub(in crate::store) unasked: u32,
    /// Why not the first of them.
    pub(in crate::store) fault: Option<StoreError>,
}

impl Store {
    /// Asks the homes of overdue children in one partition, and does what they say; one whose home is here is a home that its
    /// children have not followed yet. One that is broken is put off, so that it
    /// keeps nobody waiting.
    pub(in crate::store) async fn heal(
        &self,
        partition: Partition,
        children: Vec<ChildId>,
        durability: Durability,
    ) -> Healed {
        let mut healed = Healed::default();
        for some in children.chunks(SIDE_BY_SIDE) {
            let places = [partition];
            let settled =
                join_all(some.iter().map(|child| self.follow_home(child, &places, durability))).await;
            for (child, settled) in some.iter().zip(settled) {
                match settled {
                    Ok(ended) => healed.ended += ended,
                    Err(StoreError::Broken { what }) => {
                        tracing::error!(%child, what, "a cart cannot be ended: run VerifyStock");
                        // Not put off, it is met again, and put off then.
                        let _ = self.execute(packing::put_off(partition, child), durability, None).await;
                    }
                    Err(fault) => {
                        healed.unasked += 1;
                        healed.fault.get_or_insert(fault);
                    }
                }
            }
        }
        healed
    }

    /// Brings all others to what home told: what they came to, and the least durable of it; None when there are no others.
    /// `cause`: why, when that is not why they were made. The first fault comes when all have answered.
    pub(super) async fn align_all(
        &self,
        told: &Told,
        cause: Option<&Cause>,
        durability: Durability,
    ) -> Result<(Vec<Aligned>, Option<Achieved>), StoreError> {
        let align = |partition| self.execute(packing::align(partition, told, cause), durability, None);
        let replies = join_all(told.away().into_iter().map(align)).await;
        let (mut aligned, mut least) = (Vec::with_capacity(replies.len()), None);
        for reply in replies {
            let reply = reply?;
            least = Some(least.map_or(reply.achieved, |least: Achieved| least.and(reply.achieved)));
            aligned.push(answers::aligned(&reply.text)?);
        }
        Ok((aligned, least))
    }

    /// Tells home that all others have followed. Without it the sweeper tells them once more.
    pub(super) async fn have_followed(&self, told: &Told, durability: Durability) -> Result<(), StoreError> {
        self.execute(packing::told(told), durability, None).await.map(drop)
    }

    /// Asks home what became of an attempt, and brings its children in these partitions there; how many ended by it. An attempt
    /// that is not decided is given up for good.
    pub(super) async fn follow_home(
        &self,
        child: &ChildId,
        partitions: &[Partition],
        durability: Durability,
    ) -> Result<u32, StoreError> {
        if partitions.is_empty() {
            return Ok(0);
        }
        let reply = self.execute(packing::ask(child), durability, None).await?;
        let asked = answers::asked(&reply.text, self.partitions())?;
        if let (Asked::Decided(told), [only]) = (&asked, partitions)
            && *only == child.hold.home()
        {
            // Whoever changed it did not see the others follow.
            self.align_all(told, None, durability).await?;
            self.have_followed(told, durability).await?;
            return Ok(0);
        }
        let steps = partitions.iter().map(|partition| match &asked {
            Asked::Decided(told) => packing::align(*partition, told, None),
            Asked::GivenUp => packing::undo(*partition, child),
        });
        let replies = join_all(steps.map(|step| self.execute(step, durability, None))).await;
        let mut ended = 0;
        for reply in replies {
            ended += u32::from(answers::aligned(&reply?.text)?.has_ended);
        }
        Ok(ended)
    }
}
