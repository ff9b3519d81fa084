//! What the streams hold, and what of it was not carried to channels yet.

use redis::{
    Value,
    streams::{StreamInfoGroup, StreamInfoGroupsReply},
};

use crate::domain::Partition;

use super::{EntryId, Store, StoreError, propagation::GROUP};

/// The stream of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Entries it holds.
    pub entries: u64,
    /// Time of its first entry, in ms of the Redis clock.
    pub first_ms: Option<i64>,
    /// Time of its last entry.
    pub last_ms: Option<i64>,
    /// Entries a worker has read and not carried yet.
    pub pending: u64,
    /// Time of the oldest of these.
    pub oldest_pending_ms: Option<i64>,
    /// Entries no worker has read yet; None: Redis cannot say.
    pub undelivered: Option<u64>,
    /// Workers that read it.
    pub consumers: u64,
    /// Entries that cannot be carried.
    pub poison: u64,
}

impl Store {
    /// Time of the oldest entry that is not carried to channels yet, in ms of the Redis clock; None when all are. One command per
    /// partition while all is carried, up to three more where it is not; in three round trips at most. A partition that cannot be
    /// asked now is left out, unless none can.
    pub async fn oldest_uncarried_ms(&self) -> Result<Option<i64>, StoreError> {
        let standings = self.standings().await;
        let all_fail = standings.iter().all(Result::is_err);
        let (mut unread, mut pending) = (Vec::new(), Vec::new());
        for (partition, standing) in self.partitions().all().zip(standings) {
            let standing = match standing {
                Ok(Some(standing)) => standing,
                Err(fault) if all_fail => return Err(fault),
                Ok(None) | Err(_) => continue,
            };
            let key = self.inner.keys.events(partition);
            if standing.has_unread {
                let mut next = redis::cmd("XRANGE");
                next.arg(&key).arg(format!("({}", standing.read_to)).arg("+").arg("COUNT").arg(1);
                unread.push((key.clone(), next));
            }
            if standing.pending > 0 {
                let mut oldest = redis::cmd("XPENDING");
                oldest.arg(&key).arg(GROUP).arg("-").arg("+").arg(1);
                pending.push((key, oldest));
            }
        }
        let (unread, oldest) = futures_util::join!(self.query_each(&unread), self.query_each(&pending));
        let entries = pending.iter().zip(oldest).filter_map(|((key, _), oldest)| {
            let oldest: Vec<(String, String, i64, i64)> = redis::from_redis_value(oldest.ok()?).ok()?;
            let (id, ..) = oldest.into_iter().next()?;
            let mut entry = redis::cmd("XRANGE");
            entry.arg(key).arg(&id).arg(&id);
            Some((id, (key.clone(), entry)))
        });
        let (ids, entries): (Vec<_>, Vec<_>) = entries.unzip();
        let entries = self.query_each(&entries).await;
        let pending =
            ids.iter().zip(entries).filter_map(|(id, entry)| at_ms(&entry.ok()?).or_else(|| id_ms(id)));
        Ok(unread.into_iter().filter_map(|entry| at_ms(&entry.ok()?)).chain(pending).min())
    }

    /// Counts the stream of every partition, in order; some five round trips each.
    pub async fn stream_stats(&self) -> Result<Vec<StreamStats>, StoreError> {
        let mut all = Vec::with_capacity(usize::from(self.partitions().count()));
        for partition in self.partitions().all() {
            all.push(self.stats_of(partition).await?);
        }
        Ok(all)
    }

    async fn stats_of(&self, partition: Partition) -> Result<StreamStats, StoreError> {
        let key = self.inner.keys.events(partition);
        let poison = self.inner.keys.poison(partition);
        let mut pipeline = redis::pipe();
        pipeline.cmd("XLEN").arg(&key).hlen(&poison);
        pipeline.cmd("XRANGE").arg(&key).arg("-").arg("+").arg("COUNT").arg(1);
        pipeline.cmd("XREVRANGE").arg(&key).arg("+").arg("-").arg("COUNT").arg(1);
        let (entries, poison, first, last): (u64, u64, Value, Value) =
            self.pipeline_at(&key, &pipeline).await?;
        let stats = StreamStats {
            entries,
            poison,
            first_ms: at_ms(&first),
            last_ms: at_ms(&last),
            ..StreamStats::default()
        };
        let Some(group) = self.carrying_group(&key).await? else {
            return Ok(StreamStats { undelivered: Some(entries), ..stats });
        };
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Ok(StreamStats {
            pending: count(group.pending),
            oldest_pending_ms: self.oldest_pending_ms(&key, group.pending).await?,
            undelivered: group.lag.map(count),
            consumers: count(group.consumers),
            ..stats
        })
    }

    /// The group of a stream; None while there is neither.
    async fn carrying_group(&self, key: &str) -> Result<Option<StreamInfoGroup>, StoreError> {
        // Redis does not tell of the groups of a stream that is not there.
        if !self.query_at::<bool>(key, redis::cmd("EXISTS").arg(key)).await? {
            return Ok(None);
        }
        let groups: StreamInfoGroupsReply =
            self.query_at(key, redis::cmd("XINFO").arg("GROUPS").arg(key)).await?;
        Ok(groups.groups.into_iter().find(|group| group.name == GROUP))
    }

    async fn oldest_pending_ms(&self, key: &str, pending: usize) -> Result<Option<i64>, StoreError> {
        if pending == 0 {
            return Ok(None);
        }
        let mut command = redis::cmd("XPENDING");
        command.arg(key).arg(GROUP).arg("-").arg("+").arg(1);
        let oldest: Vec<(String, String, i64, i64)> = self.query_at(key, &command).await?;
        let Some((id, ..)) = oldest.into_iter().next() else { return Ok(None) };
        let entry = self.query_at(key, redis::cmd("XRANGE").arg(key).arg(&id).arg(&id)).await?;
        Ok(at_ms(&entry).or_else(|| id_ms(&id)))
    }
}

/// The time of the first entry of a reply: as the script that wrote it read its clock, else of the entry's id.
fn at_ms(entries: &Value) -> Option<i64> {
    let Value::Array(entries) = entries else { return None };
    let Value::Array(entry) = entries.first()? else { return None };
    let [Value::BulkString(id), fields] = &entry[..] else { return None };
    let told = match fields {
        Value::Array(fields) => match &fields[..] {
            [Value::BulkString(name), Value::BulkString(at_ms), ..] if name == b"t" => {
                text(at_ms)?.parse().ok()
            }
            _ => None,
        },
        _ => None,
    };
    told.or_else(|| id_ms(text(id)?))
}

fn id_ms(id: &str) -> Option<i64> {
    i64::try_from(EntryId::parse(id)?.ms).ok()
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
