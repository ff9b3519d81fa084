//! The bell: wakes workers of other processes, by a small stream each of them reads with a blocking read. Missing one ring costs
//! time, not a number: workers look for themselves now and then.

use redis::Value;

use crate::domain::ChannelId;

use super::{EntryId, Store, StoreError, reader::Reader};

/// Rings kept, about: a reader that was away hears of these and looks at everything anyway.
const RINGS_KEPT: usize = 256;
/// Rings heard by one read.
const RINGS_READ: usize = 256;

/// Hears rings, on a connection of its own.
pub struct BellReader {
    reader: Reader,
    key: String,
    after: EntryId,
}

impl Store {
    /// Tells all workers that something of these channels became due.
    pub async fn ring(&self, channels: &[ChannelId]) -> Result<(), StoreError> {
        if channels.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = channels.iter().map(ChannelId::as_str).collect();
        let mut command = redis::cmd("XADD");
        let key = self.inner.keys.bell();
        command.arg(&key).arg("MAXLEN").arg("~").arg(RINGS_KEPT);
        command.arg("*").arg("c").arg(names.join(" "));
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
    /// Waits up to `wait_ms` for rings; the channels that rang. After a fault, begin anew.
    pub async fn next(&mut self, wait_ms: u64) -> Result<Vec<ChannelId>, StoreError> {
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
            let names = fields.get(1).map(String::as_str).unwrap_or_default();
            rung.extend(names.split(' ').filter_map(|name| ChannelId::parse(name).ok()));
        }
        Ok(rung)
    }
}
