//! The consumer group that carries events to due sets: reading as one of its consumers, and taking over what the dead had read.

use redis::Value;

use crate::domain::Partition;

use super::{
    super::{
        EntryId, Store, StoreError,
        changes::{self, Delivery},
        reader::Reader,
        scripts,
    },
    GROUP,
};

/// What was read before is given at once; Redis waits for nothing then.
const UNFINISHED_WAIT_MS: u64 = 1;

/// Reads the streams of all partitions as one consumer of the group, on a connection of its own.
pub struct EventReader {
    reader: Reader,
    connection_id: i64,
    consumer: String,
    partitions: Vec<Partition>,
    keys: Vec<String>,
}

impl EventReader {
    /// Names its connection, to [`Store::cut_short`] a read.
    pub fn connection_id(&self) -> i64 {
        self.connection_id
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
        let create = |partition| {
            let key = self.inner.keys.events(partition);
            let mut command = redis::cmd("XGROUP");
            command.arg("CREATE").arg(&key).arg(GROUP).arg("0").arg("MKSTREAM");
            (key, command)
        };
        let asks: Vec<_> = self.partitions().all().map(create).collect();
        for made in self.query_each(&asks).await {
            match made {
                Err(StoreError::Refused { source }) if source.code() == Some("BUSYGROUP") => {}
                made => drop(made?),
            }
        }
        Ok(())
    }

    /// Begins to read the streams as one consumer of the group.
    pub async fn event_reader(&self, consumer: &str) -> Result<EventReader, StoreError> {
        let partitions: Vec<_> = self.partitions().all().collect();
        let keys: Vec<_> = partitions.iter().map(|partition| self.inner.keys.events(*partition)).collect();
        let mut reader = self.reader_at(&keys[0]).await?;
        let answer = reader.query(redis::cmd("CLIENT").arg("ID"), 0).await?;
        let Value::Int(connection_id) = answer else {
            return Err(StoreError::Corrupt { script: "CLIENT ID", detail: scripts::sketch(&answer) });
        };
        Ok(EventReader { reader, connection_id, consumer: consumer.to_owned(), partitions, keys })
    }

    /// Ends a read that waits, as if its time were over: a read that is dropped instead may be given entries nobody sees.
    pub async fn cut_short(&self, connection_id: i64) -> Result<(), StoreError> {
        let _: i64 = self
            .query_at(
                &self.inner.keys.events(Partition(0)),
                redis::cmd("CLIENT").arg("UNBLOCK").arg(connection_id),
            )
            .await?;
        Ok(())
    }

    /// Takes a consumer out of the group wherever nothing is pending for it; elsewhere it stays until others have adopted
    /// that. Only for a consumer that reads no more.
    pub async fn leave_group(&self, consumer: &str) -> Result<(), StoreError> {
        for partition in self.partitions().all() {
            let key = self.inner.keys.events(partition);
            let mut pending = redis::cmd("XPENDING");
            pending.arg(&key).arg(GROUP).arg("-").arg("+").arg(1).arg(consumer);
            let pending: Vec<Value> = self.query_at(&key, &pending).await?;
            if pending.is_empty() {
                let mut command = redis::cmd("XGROUP");
                command.arg("DELCONSUMER").arg(&key).arg(GROUP).arg(consumer);
                let _: i64 = self.query_at(&key, &command).await?;
            }
        }
        Ok(())
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
