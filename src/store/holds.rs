//! Reading holds, and ending overdue ones.

use crate::domain::{Durability, Hold, HoldId, HoldState, Partition, Refusal};

use super::{
    Store, StoreError,
    decode::{self, Words},
    encode,
};

/// What a sweep did.
#[derive(Debug, Clone)]
pub struct Swept {
    /// Holds it ended.
    pub ended: u32,
    /// Whether overdue holds are left that it has not looked at.
    pub more: bool,
    /// Children of carts it could do nothing about, since their homes could not be asked.
    pub unasked: u32,
    /// Why the first of them could not be.
    pub fault: Option<StoreError>,
}

impl Store {
    /// Reads one hold, live or ended; its state is decided by the Redis clock, swept or not.
    pub async fn hold(&self, id: &HoldId) -> Result<Result<Hold, Refusal>, StoreError> {
        if !self.knows(id) {
            return Ok(Err(Refusal::UnknownHold));
        }
        // Not the home it names: that may be of an earlier number of partitions.
        let home = self.partitions().of(id.home_sku());
        let now_ms = self.now_ms_at(home).await?;
        let window = now_ms.div_euclid(self.retention_ms());
        let places = [
            self.inner.keys.holds(home),
            self.inner.keys.ended(home, window),
            self.inner.keys.ended(home, window - 1),
        ];
        for key in places {
            let text: Option<String> =
                self.query_at(&key, redis::cmd("HGET").arg(&key).arg(id.as_str())).await?;
            let Some(text) = text else { continue };
            let mut hold = decode::stored_hold(&text, id)
                .ok_or_else(|| StoreError::Broken { what: format!("hold {id}") })?;
            if hold.state == HoldState::Held && hold.deadline_ms <= now_ms {
                hold.state = HoldState::Expired;
            }
            return Ok(Ok(hold));
        }
        Ok(Err(Refusal::UnknownHold))
    }

    /// Ends at most `limit` overdue holds of one partition.
    pub async fn sweep(&self, partition: Partition, limit: u32) -> Result<Swept, StoreError> {
        self.sweep_past(partition, limit, 0).await
    }

    /// The same after the first `skip` overdue ones: children of carts whose homes could not be asked stay where they are.
    pub async fn sweep_past(&self, partition: Partition, limit: u32, skip: u32) -> Result<Swept, StoreError> {
        let text = self.execute_quick(encode::sweep(partition, limit, skip)).await?;
        let mut words = Words::new(&text);
        match words.word("word")? {
            "swept" => {
                let ended: u32 = words.parse("ended")?;
                let more = words.word("more")? == "1";
                let children = words.list(|words| words.parse("child"))?;
                let healed = self.heal(partition, children, Durability::Memory).await;
                Ok(Swept { ended: ended + healed.ended, more, unasked: healed.unasked, fault: healed.fault })
            }
            _ => Err(StoreError::Corrupt { script: "transact", detail: text }),
        }
    }

    /// When the first hold of a partition must be looked at, in ms of the Redis clock: its time is over, or its cart must be told
    /// of once more. None when there is none.
    pub async fn first_deadline_ms(&self, partition: Partition) -> Result<Option<i64>, StoreError> {
        let key = self.inner.keys.deadlines(partition);
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg(0).arg(0).arg("WITHSCORES");
        let first: Vec<(String, f64)> = self.query_at(&key, &command).await?;
        // Deadlines are whole ms below 2^53.
        Ok(first.first().map(|(_, score)| *score as i64))
    }

    /// Drops records and ended holds of windows that are over; `since` is the first one not dropped yet. Returns the
    /// next such. Freed in the background by Redis, so a window of millions does not stall it.
    pub async fn drop_old_windows(&self, since: Option<i64>) -> Result<i64, StoreError> {
        /// Windows dropped by one call at most; an older one is only left by a very long stop.
        const WINDOWS_MAX: i64 = 64;
        let current = self.now_ms().await?.div_euclid(self.retention_ms());
        let end = current - 1;
        let start = since.unwrap_or(end - WINDOWS_MAX).max(end - WINDOWS_MAX);
        for window in start..end {
            for partition in self.partitions().all() {
                let records = self.inner.keys.records(partition, window);
                let mut command = redis::cmd("UNLINK");
                command.arg(&records).arg(self.inner.keys.ended(partition, window));
                let _: i64 = self.query_at(&records, &command).await?;
            }
        }
        Ok(end)
    }
}
