//! What becomes of children whose cart was left in the middle, or has ended elsewhere: home is asked, and they follow.

use futures_util::future::join_all;

use crate::{
    domain::{Durability, Partition},
    store::{Store, StoreError},
};

use super::{
    answers::{self, Asked, Told},
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

    /// Tells all others what home has come to, on behalf of whoever changed it and did not see them follow.
    async fn tell(&self, child: &ChildId, told: &Told, durability: Durability) -> Result<u32, StoreError> {
        let steps = told.away().into_iter().map(|partition| packing::align(partition, child, told, None));
        for reply in join_all(steps.map(|step| self.execute(step, durability, None))).await {
            answers::aligned(&reply?.text)?;
        }
        self.execute(packing::told(&told.hold, told.revision), durability, None).await?;
        Ok(0)
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
        let reply = self.execute(packing::ask(&child.hold, child.attempt), durability, None).await?;
        let asked = answers::asked(&reply.text, self.partitions())?;
        if let (Asked::Decided(told), [only]) = (&asked, partitions)
            && *only == child.hold.home()
        {
            return self.tell(child, told, durability).await;
        }
        let steps = partitions.iter().map(|partition| match &asked {
            Asked::Decided(told) => packing::align(*partition, child, told, None),
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
