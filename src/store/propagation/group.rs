//! The consumer group that carries events to due sets: reading as one of its consumers, and taking over what the dead had read.

use futures_util::{StreamExt as _, stream};
use redis::Value;

use crate::domain::Partition;

use super::{
    super::{
        EntryId, Store, StoreError,
        changes::{self, Delivery},
        reader::Reader,
        scripts::{self, LEAVE_GROUP_SCRIPT},
    },
    GROUP,
};

/// What was read before is given at once; Redis waits for nothing then.
const UNFINISHED_WAIT_MS: u64 = 1;
/// Partitions whose group is left at the same time.
const LEFT_AT_ONCE: usize = 64;

/// Reads streams as one consumer of the group, on a connection of its own. On a cluster only those of one partition: a read that
/// blocks can name keys of one slot.
pub struct EventReader {
    reader: Reader,
    place: ReadPlace,
    consumer: String,
    partitions: Vec<Partition>,
    keys: Vec<String>,
}

/// Where a reader reads: names its connection, to [`Store::cut_short`] a read.
#[derive(Debug, Clone)]
pub struct ReadPlace {
    connection_id: i64,
    /// A key on the same server.
    key: String,
}

impl EventReader {
    /// Names its connection.
    pub fn place(&self) -> ReadPlace {
        self.place.clone()
    }

    /// Waits up to `wait_ms` for new entries; each is given to one consumer only. After a fault, begin anew.
    pub async fn next(
        &mut self,
        count: usize,
        wait_ms: u64,
    ) -> Result<Vec<(Partition, Vec<Delivery>)>, StoreError> {
        self.read(count, wait_ms, ">").await
    }

    /// What this consumer has read and never acknowledged, the oldest of each partition.
    pub async fn unfinished(&mut self, count: usize) -> Result<Vec<(Partition, Vec<Delivery>)>, StoreError> {
        let mut found = self.read(count, UNFINISHED_WAIT_MS, "0").await?;
        found.retain(|(_, entries)| !entries.is_empty());
        Ok(found)
    }

    async fn read(
        &mut self,
        count: usize,
        wait_ms: u64,
        from: &str,
    ) -> Result<Vec<(Partition, Vec<Delivery>)>, StoreError> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(count).arg("BLOCK").arg(wait_ms);
        command.arg("STREAMS").arg(&self.keys);
        for _ in &self.keys {
            command.arg(from);
        }
        let mut found = Vec::new();
        for (key, entries) in changes::streams(self.reader.query(&command, wait_ms).await?)? {
            if let Some(index) = self.keys.iter().position(|known| *known == key) {
                found.push((self.partitions[index], entries));
            }
        }
        Ok(found)
    }
}

impl Store {
    /// Makes the consumer group of every partition, from the beginning of the stream, where there is none.
    pub async fn ensure_group(&self) -> Result<(), StoreError> {
        self.ensure_group_in(&self.partitions().all().collect::<Vec<_>>()).await
    }

    /// The same of some partitions.
    pub async fn ensure_group_in(&self, partitions: &[Partition]) -> Result<(), StoreError> {
        let create = |partition: &Partition| {
            let key = self.inner.keys.events(*partition);
            let mut command = redis::cmd("XGROUP");
            command.arg("CREATE").arg(&key).arg(GROUP).arg("0").arg("MKSTREAM");
            (key, command)
        };
        let asks: Vec<_> = partitions.iter().map(create).collect();
        for made in self.query_each(&asks).await {
            match made {
                Err(StoreError::Refused { source }) if source.code() == Some("BUSYGROUP") => {}
                made => drop(made?),
            }
        }
        Ok(())
    }

    /// Begins to read the streams of partitions as one consumer of the group; on a cluster of one partition.
    pub async fn event_reader(
        &self,
        consumer: &str,
        partitions: &[Partition],
    ) -> Result<EventReader, StoreError> {
        let keys: Vec<_> = partitions.iter().map(|partition| self.inner.keys.events(*partition)).collect();
        let mut reader = self.reader_at(&keys[0]).await?;
        let answer = reader.query(redis::cmd("CLIENT").arg("ID"), 0).await?;
        let Value::Int(connection_id) = answer else {
            return Err(StoreError::Corrupt { script: "CLIENT ID", detail: scripts::sketch(&answer) });
        };
        let place = ReadPlace { connection_id, key: keys[0].clone() };
        Ok(EventReader {
            reader,
            place,
            consumer: consumer.to_owned(),
            partitions: partitions.to_vec(),
            keys,
        })
    }

    /// New entries of some partitions as one consumer of the group, without waiting for any: one command each, all at once.
    pub async fn read_each(
        &self,
        consumer: &str,
        partitions: &[Partition],
        count: usize,
    ) -> Vec<(Partition, Result<Vec<Delivery>, StoreError>)> {
        let asks = partitions.iter().map(|partition| {
            let key = self.inner.keys.events(*partition);
            let mut command = redis::cmd("XREADGROUP");
            command.arg("GROUP").arg(GROUP).arg(consumer).arg("COUNT").arg(count);
            command.arg("STREAMS").arg(&key).arg(">");
            (key, command)
        });
        let answers = self.query_each(&asks.collect::<Vec<_>>()).await;
        let entries = |answer: Result<Value, StoreError>| {
            Ok(changes::streams(answer?)?.into_iter().flat_map(|(_, entries)| entries).collect())
        };
        partitions.iter().copied().zip(answers.into_iter().map(entries)).collect()
    }

    /// Ends a read that waits, as if its time were over: a read that is dropped instead may be given entries nobody sees.
    pub async fn cut_short(&self, place: &ReadPlace) -> Result<(), StoreError> {
        let mut command = redis::cmd("CLIENT");
        command.arg("UNBLOCK").arg(place.connection_id);
        let _: i64 = self.query_at(&place.key, &command).await?;
        Ok(())
    }

    /// Takes a consumer out of the group wherever nothing is pending for it; elsewhere it stays until others have adopted
    /// that. A read of its own that comes later makes it anew. A partition that cannot be asked now is left as it is.
    pub async fn leave_group(&self, consumer: &str) {
        let leave = async |partition: Partition| {
            let key = self.inner.keys.events(partition);
            let mut command = LEAVE_GROUP_SCRIPT.call([key.as_str()].into_iter());
            command.arg(GROUP).arg(consumer);
            // A consumer that is left behind costs Redis some bytes.
            drop(self.run_script(&LEAVE_GROUP_SCRIPT, &command).await);
        };
        stream::iter(self.partitions().all()).for_each_concurrent(LEFT_AT_ONCE, leave).await;
    }

    /// Takes over entries another consumer read and never acknowledged; from `cursor` on, `None` at the end.
    pub async fn adopt_entries(
        &self,
        partition: Partition,
        consumer: &str,
        idle_ms: u64,
        cursor: EntryId,
        count: usize,
    ) -> Result<(Vec<Delivery>, Option<EntryId>), StoreError> {
        let mut command = redis::cmd("XAUTOCLAIM");
        let key = self.inner.keys.events(partition);
        command.arg(&key).arg(GROUP).arg(consumer).arg(idle_ms);
        command.arg(cursor.to_string()).arg("COUNT").arg(count);
        // Redis adds the ids of deleted entries; none is ever deleted while it is pending.
        let (next, entries, _deleted): (String, Value, Value) = self.query_at(&key, &command).await?;
        let next = EntryId::parse(&next).filter(|next| *next != EntryId::default());
        Ok((changes::deliveries(entries)?, next))
    }
}
