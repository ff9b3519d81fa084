//! Knowing at once that the streams grew: one blocking reader per process, however many watch.

use std::time::Duration;

use redis::streams::StreamReadReply;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{EntryId, Store, StoreError};

/// How long one read waits for entries.
const READ_WAIT_MS: u64 = 5000;
/// After a fault of the store, so long until the next try.
const FAULT_PAUSE: Duration = Duration::from_millis(500);

impl Store {
    /// Follows the streams until told to stop; `grown` counts up whenever one grew, and after a fault, since entries may have
    /// been missed.
    pub async fn follow(self, grown: watch::Sender<u64>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let followed = tokio::select! {
                () = stop.cancelled() => return,
                followed = self.follow_while_well(&grown) => followed,
            };
            let Err(fault) = followed;
            tracing::debug!(error = &fault as &dyn std::error::Error, "cannot follow the event streams now");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FAULT_PAUSE) => {} // why: no connection to wait on
            }
        }
    }

    async fn follow_while_well(
        &self,
        grown: &watch::Sender<u64>,
    ) -> Result<std::convert::Infallible, StoreError> {
        let partitions: Vec<_> = self.partitions().all().collect();
        let mut places = Vec::with_capacity(partitions.len());
        for partition in &partitions {
            places.push(self.last_entry(*partition).await?);
        }
        grown.send_modify(|count| *count += 1);
        loop {
            let mut command = redis::cmd("XREAD");
            command.arg("COUNT").arg(1).arg("BLOCK").arg(READ_WAIT_MS).arg("STREAMS");
            for partition in &partitions {
                command.arg(self.inner.keys.events(*partition));
            }
            for place in &places {
                command.arg(place.to_string());
            }
            let reply: Option<StreamReadReply> = self.query_blocking(&command, READ_WAIT_MS).await?;
            let Some(reply) = reply else { continue };
            for stream in reply.keys {
                let index = partitions.iter().position(|one| self.inner.keys.events(*one) == stream.key);
                if let Some(index) = index {
                    // One entry tells that it grew; watchers read the rest themselves, so go on from its end.
                    let newest = self.last_entry(partitions[index]).await?;
                    let read =
                        stream.ids.last().and_then(|entry| EntryId::parse(&entry.id)).unwrap_or_default();
                    places[index] = newest.max(read);
                }
            }
            grown.send_modify(|count| *count += 1);
        }
    }
}
