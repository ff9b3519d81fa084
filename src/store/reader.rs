//! Blocking reads, each on a connection of its own: on the shared one they would hold up every call. Taken from the pool
//! once, and kept for as long as the reader reads.

use std::time::Duration;

use deadpool_redis::Connection;
use redis::Value;
use tokio::{sync::watch, time::timeout};

use super::{Store, StoreError, link};

/// A connection that may block.
pub(super) struct Reader {
    store: Store,
    /// None after a fault: the connection may still be blocked, or be to a Redis that is gone.
    connection: Option<Connection>,
    /// Moves on when another server became the master: this one would be waited on for nothing.
    terms: watch::Receiver<u64>,
}

impl Store {
    /// Takes a connection for blocking reads to the server that has a key; waits at most the connect timeout for a free one.
    pub(super) async fn reader_at(&self, key: &str) -> Result<Reader, StoreError> {
        let (connection, terms) = self.inner.blocking.take(key).await?;
        Ok(Reader { store: self.clone(), connection: Some(connection), terms })
    }
}

impl Reader {
    /// Runs a command that blocks up to `wait_ms`. After a fault the reader is of no more use.
    pub(super) async fn query(&mut self, command: &redis::Cmd, wait_ms: u64) -> Result<Value, StoreError> {
        let patience = Duration::from_millis(wait_ms) + self.store.inner.settings.link.response_timeout;
        let gone = StoreError::Unavailable { source: None };
        let Some(connection) = self.connection.as_mut() else { return Err(gone) };
        let answer = tokio::select! {
            biased;
            // Its sender lives as long as the store.
            _ = self.terms.changed() => None,
            answer = timeout(patience, command.query_async(connection)) => Some(answer),
        };
        let fault = match answer {
            Some(Ok(Ok(value))) => return Ok(value),
            Some(Ok(Err(error))) => link::classify(error, patience),
            Some(Err(_)) => {
                StoreError::NoAnswer { waited_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX) }
            }
            None => gone,
        };
        // Never back into the pool.
        self.connection.take().map(Connection::take);
        Err(fault)
    }
}

impl Drop for Reader {
    /// A reader that is dropped in the middle of a read leaves a connection that is blocked: never back into the pool.
    fn drop(&mut self) {
        self.connection.take().map(Connection::take);
    }
}
