//! Connections of which each serves one call at a time, in whatever order calls come.

use std::{
    ops::Deref,
    sync::{Mutex, PoisonError},
};

use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::Status;

/// A fixed number of connections.
pub(super) struct Pool<T> {
    idle: Mutex<Vec<T>>,
    places: Semaphore,
}

/// One of them, until it is dropped.
pub(super) struct Taken<'a, T> {
    connection: Option<T>,
    pool: &'a Pool<T>,
    _place: SemaphorePermit<'a>,
}

impl<T> Pool<T> {
    pub(super) fn new(connections: Vec<T>) -> Self {
        Self { places: Semaphore::new(connections.len()), idle: Mutex::new(connections) }
    }

    /// Waits until one is idle.
    pub(super) async fn take(&self) -> Result<Taken<'_, T>, Status> {
        let closed = |_| Status::internal("the pool is closed");
        let place = self.places.acquire().await.map_err(closed)?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Taken { connection, pool: self, _place: place })
    }
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.connection.as_ref().expect("as many places as connections")
    }
}

impl<T> Drop for Taken<'_, T> {
    // Before the place is given back, since fields are dropped afterwards.
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.connection.take());
    }
}
