//! Knowing at once that the streams grew: one blocking reader per process, however many watch, and none while nobody does.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError, changes};

/// How long one read waits for entries.
const READ_WAIT_MS: u64 = 5000;
/// Watchers are told at most so often: what comes in between goes together.
const TELL_INTERVAL: Duration = Duration::from_millis(2);
/// After a fault of the store, so long until the next try.
const FAULT_PAUSE: Duration = Duration::from_millis(500);

/// Where those who watch hear that a stream grew.
#[derive(Clone)]
pub struct Tail {
    grown: Arc<watch::Sender<u64>>,
    begun: Arc<Notify>,
}

impl Default for Tail {
    fn default() -> Self {
        Self { grown: Arc::new(watch::Sender::new(0)), begun: Arc::default() }
    }
}

impl Tail {
    /// Counts up whenever a stream grew, and after a fault, since entries may have been missed.
    pub fn listen(&self) -> watch::Receiver<u64> {
        let listener = self.grown.subscribe();
        self.begun.notify_one();
        listener
    }

    fn tell(&self) {
        self.grown.send_modify(|count| *count += 1);
    }
}

impl Store {
    /// Follows the streams for those who listen, until told to stop.
    pub async fn follow(self, tail: Tail, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let followed = tokio::select! {
                () = stop.cancelled() => return,
                followed = self.follow_while_heard(&tail) => followed,
            };
            let Err(fault) = followed;
            tracing::debug!(error = &fault as &dyn std::error::Error, "cannot follow the event streams now");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FAULT_PAUSE) => {} // why: no connection to wait on
            }
        }
    }

    async fn follow_while_heard(&self, tail: &Tail) -> Result<Infallible, StoreError> {
        let partitions: Vec<_> = self.partitions().all().collect();
        let keys: Vec<String> =
            partitions.iter().map(|partition| self.inner.keys.events(*partition)).collect();
        loop {
            while tail.grown.receiver_count() == 0 {
                tail.begun.notified().await;
            }
            let mut places = Vec::with_capacity(partitions.len());
            for partition in &partitions {
                places.push(self.last_entry(*partition).await?);
            }
            tail.tell();
            let mut reader = self.reader_at(&keys[0]).await?;
            while tail.grown.receiver_count() > 0 {
                let mut command = redis::cmd("XREAD");
                command.arg("COUNT").arg(1).arg("BLOCK").arg(READ_WAIT_MS).arg("STREAMS").arg(&keys);
                for place in &places {
                    command.arg(place.to_string());
                }
                let streams = changes::streams(reader.query(&command, READ_WAIT_MS).await?)?;
                if streams.is_empty() {
                    continue;
                }
                for (key, _) in streams {
                    if let Some(index) = keys.iter().position(|known| *known == key) {
                        places[index] = self.last_entry(partitions[index]).await?.max(places[index]);
                    }
                }
                tail.tell();
                tokio::time::sleep(TELL_INTERVAL).await; // why: batches at our own pace, not one read per entry
            }
        }
    }
}
