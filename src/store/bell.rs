//! The bell: wakes workers of other processes, by a small stream each of them reads with a blocking read. Missing one ring costs
//! time, not a number: workers look for themselves now and then.

use redis::Value;

use crate::domain::{ChannelId, Partition};

use super::{EntryId, Store, StoreError, reader::Reader};

/// Rings kept, about: a reader that was away hears of these and looks at everything anyway.
const RINGS_KEPT: usize = 256;
/// Rings heard by one read.
const RINGS_READ: usize = 256;

/// The fields of a ring: the channels with a space between, the one partition it is about, that workers came or went.
const CHANNELS: &str = "c";
const PARTITION: &str = "p";
const CREW: &str = "w";

/// What rang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ring {
    /// Something became due on a channel, in this partition.
    Marked {
        /// The channel.
        channel: ChannelId,
        /// The partition.
        partition: Partition,
    },
    /// Something became due on a channel, or an operator said something about it.
    Channel(ChannelId),
    /// Workers came or went.
    Crew,
}

/// Hears rings, on a connection of its own.
pub struct BellReader {
    reader: Reader,
    key: String,
    after: EntryId,
}

impl Store {
    /// Tells all workers that something of these channels became due, or that an operator said something about them.
    pub async fn ring(&self, channels: &[ChannelId]) -> Result<(), StoreError> {
        self.ring_for(channels, None).await
    }

    /// Tells all workers that something of these channels became due in a partition.
    pub async fn ring_in(&self, channels: &[ChannelId], partition: Partition) -> Result<(), StoreError> {
        self.ring_for(channels, Some(partition)).await
    }

    /// Tells all workers that one of them came or goes.
    pub async fn ring_crew(&self) -> Result<(), StoreError> {
        self.add_ring(&[(CHANNELS, String::new()), (CREW, "1".to_owned())]).await
    }

    async fn ring_for(&self, channels: &[ChannelId], partition: Option<Partition>) -> Result<(), StoreError> {
        if channels.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = channels.iter().map(ChannelId::as_str).collect();
        let mut fields = vec![(CHANNELS, names.join(" "))];
        fields.extend(partition.map(|partition| (PARTITION, partition.to_string())));
        self.add_ring(&fields).await
    }

    async fn add_ring(&self, fields: &[(&str, String)]) -> Result<(), StoreError> {
        let key = self.inner.keys.bell();
        let mut command = redis::cmd("XADD");
        command.arg(&key).arg("MAXLEN").arg("~").arg(RINGS_KEPT).arg("*").arg(fields);
        let _: String = self.query_at(&key, &command).await?;
        Ok(())
    }

    /// Begins to listen: what rang before is not heard.
    pub async fn bell_reader(&self) -> Result<BellReader, StoreError> {
        let key = self.inner.keys.bell();
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&key).arg("+").arg("-").arg("COUNT").arg(1);
        let newest: Vec<(String, Value)> = self.query_at(&key, &command).await?;
        let after = newest.first().and_then(|(id, _)| EntryId::parse(id)).unwrap_or_default();
        Ok(BellReader { reader: self.reader_at(&key).await?, key, after })
    }
}

impl BellReader {
    /// Waits up to `wait_ms` for rings, in order. After a fault, begin anew.
    pub async fn next(&mut self, wait_ms: u64) -> Result<Vec<Ring>, StoreError> {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(RINGS_READ).arg("BLOCK").arg(wait_ms);
        command.arg("STREAMS").arg(&self.key).arg(self.after.to_string());
        let value = self.reader.query(&command, wait_ms).await?;
        let corrupt = |_| StoreError::Corrupt { script: "XREAD", detail: super::scripts::sketch(&value) };
        type Rings = Vec<(String, Vec<(String, Vec<String>)>)>;
        let streams: Option<Rings> = redis::from_redis_value_ref(&value).map_err(corrupt)?;
        let mut rung = Vec::new();
        for (id, fields) in streams.into_iter().flatten().flat_map(|(_, rings)| rings) {
            self.after = EntryId::parse(&id).unwrap_or(self.after);
            rung.extend(rings(&fields));
        }
        Ok(rung)
    }
}

/// What one entry of the bell says; a field that is not known here is passed over.
fn rings(fields: &[String]) -> Vec<Ring> {
    let value = |name: &str| {
        let mut pairs = fields.chunks_exact(2).filter(|pair| pair[0] == name);
        pairs.next().map(|pair| pair[1].as_str())
    };
    let partition = value(PARTITION).and_then(|text| text.parse().ok()).map(Partition);
    let channels = value(CHANNELS).unwrap_or_default().split(' ');
    let channels = channels.filter_map(|name| ChannelId::parse(name).ok());
    let mut rings: Vec<Ring> = channels
        .map(|channel| match partition {
            Some(partition) => Ring::Marked { channel, partition },
            None => Ring::Channel(channel),
        })
        .collect();
    rings.extend(value(CREW).map(|_| Ring::Crew));
    rings
}
