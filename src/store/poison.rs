//! Entries of the stream that cannot be carried to channels: set aside one by one, so that they keep no other from being told.

use redis::Value;

use crate::domain::Partition;

use super::{EntryId, Store, StoreError, propagation::GROUP, scripts};

/// Of an entry so many bytes are kept; the stream keeps the whole.
const TEXT_BYTES_MAX: usize = 4096;

impl Store {
    /// Sets an entry aside: its text is kept under its id, and it is acknowledged. Repeating it is harmless, even after the
    /// stream was trimmed.
    pub async fn quarantine(&self, partition: Partition, entry: EntryId) -> Result<(), StoreError> {
        let events = self.inner.keys.events(partition);
        let mut range = redis::cmd("XRANGE");
        range.arg(&events).arg(entry.to_string()).arg(entry.to_string());
        let stored: Value = self.query_at(&events, &range).await?;
        let mut text = legible(&stored);
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        pipeline.hset_nx(self.inner.keys.poison(partition), entry.to_string(), text).ignore();
        pipeline.cmd("XACK").arg(&events).arg(GROUP).arg(entry.to_string()).ignore();
        self.pipeline_at(&events, &pipeline).await
    }
}

/// The texts of an entry, one after the other; what is no text is sketched.
fn legible(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(legible).collect::<Vec<_>>().join(" "),
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        other => scripts::sketch(other),
    }
}
