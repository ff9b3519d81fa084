//! Reading holds, and ending overdue ones.

use std::collections::BTreeMap;

use redis::Value;

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

/// Up to which window each partition has dropped what is over.
#[derive(Debug, Clone, Default)]
pub struct DroppedWindows(BTreeMap<Partition, i64>);

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

    /// Partitions with a hold whose time is over, and the fault of the first that cannot be asked. One command per partition and the
    /// time of each server, all at once.
    pub async fn overdue(&self) -> (Vec<Partition>, Option<StoreError>) {
        let all: Vec<Partition> = self.partitions().all().collect();
        let mut asks: Vec<_> = all.iter().map(|partition| self.first_deadline(*partition)).collect();
        let servers = self.by_server(&all).await;
        let firsts = servers.iter().filter_map(|beside| beside.first());
        asks.extend(firsts.map(|partition| (self.inner.keys.stock(*partition), redis::cmd("TIME"))));
        let mut answers = self.query_each(&asks).await;
        let clocks = answers.split_off(all.len());
        let mut deadlines: BTreeMap<Partition, Result<Value, StoreError>> =
            all.into_iter().zip(answers).collect();
        let (mut overdue, mut fault) = (Vec::new(), None);
        for (beside, clock) in servers.into_iter().zip(clocks) {
            let now_ms = self.moved_ms().map_or_else(|| self.time_of(clock?), Ok);
            for partition in beside {
                let deadline =
                    deadlines.remove(&partition).map(|answer| self.deadline_of(answer?)).transpose();
                match (deadline.map(Option::flatten), &now_ms) {
                    (Ok(Some(deadline_ms)), Ok(now_ms)) if deadline_ms <= *now_ms => overdue.push(partition),
                    (Ok(Some(_)), Err(one)) => fault = fault.or(Some(one.clone())),
                    (Ok(Some(_) | None), _) => {}
                    (Err(one), _) => fault = fault.or(Some(one)),
                }
            }
        }
        (overdue, fault)
    }

    /// When the first hold of a partition must be looked at, in ms of the Redis clock: its time is over, or its cart must be told
    /// of once more. None when there is none.
    pub async fn first_deadline_ms(&self, partition: Partition) -> Result<Option<i64>, StoreError> {
        let (key, command) = self.first_deadline(partition);
        self.deadline_of(self.query_at(&key, &command).await?)
    }

    fn first_deadline(&self, partition: Partition) -> (String, redis::Cmd) {
        let key = self.inner.keys.deadlines(partition);
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg(0).arg(0).arg("WITHSCORES");
        (key, command)
    }

    fn deadline_of(&self, answer: Value) -> Result<Option<i64>, StoreError> {
        let first: Vec<(String, f64)> = self.inner.nodes.read(answer)?;
        // Deadlines are whole ms below 2^53.
        Ok(first.first().map(|(_, score)| *score as i64))
    }

    /// Drops records and ended holds of windows that are over, and writes down how far each partition has come; goes on after one
    /// that cannot be asked, and then returns the first fault. Freed in the background by Redis, so a window of millions does not
    /// stall it.
    pub async fn drop_old_windows(&self, dropped: &mut DroppedWindows) -> Result<(), StoreError> {
        /// Windows dropped by one call at most; an older one is only left by a very long stop.
        const WINDOWS_MAX: i64 = 64;
        let current = self.now_ms().await?.div_euclid(self.retention_ms());
        let end = current - 1;
        let mut fault = None;
        let mut reachable: Vec<Partition> = self.partitions().all().collect();
        for window in end - WINDOWS_MAX..end {
            let is_left = |partition: &Partition| dropped.0.get(partition).is_none_or(|next| *next <= window);
            let left: Vec<Partition> = reachable.iter().copied().filter(is_left).collect();
            let unlink = |partition: &Partition| {
                let records = self.inner.keys.records(*partition, window);
                let mut command = redis::cmd("UNLINK");
                command.arg(&records).arg(self.inner.keys.ended(*partition, window));
                (records, command)
            };
            let answers = self.query_each(&left.iter().map(unlink).collect::<Vec<_>>()).await;
            for (partition, answer) in left.into_iter().zip(answers) {
                match answer {
                    Ok(_) => drop(dropped.0.insert(partition, window + 1)),
                    Err(one) => {
                        // Waited for once is enough.
                        reachable.retain(|other| *other != partition);
                        fault = fault.or(Some(one));
                    }
                }
            }
        }
        fault.map_or(Ok(()), Err)
    }
}
