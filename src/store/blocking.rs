//! The pools of connections for blocking reads, one to each server that is a master now.

use std::sync::{Arc, Mutex, PoisonError};

use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime};
use redis::{AsyncConnectionConfig, ConnectionAddr};
use tokio::sync::watch;

use super::{
    StoreError,
    link::{Layout, PerServer, Route},
};

/// A pool to the server of a key.
pub(super) struct Pools(PerServer<Blocking>);

impl Pools {
    /// At most so many connections to each server.
    pub(super) fn new(layout: &Layout, size_max: usize) -> Self {
        Self(PerServer::new(layout, move |route| Blocking::new(route, size_max)))
    }

    /// Takes a connection to the server that has a key, and what tells when it is of no more use; waits at most the connect
    /// timeout for a free one.
    pub(super) async fn take(&self, key: &str) -> Result<(Connection, watch::Receiver<u64>), StoreError> {
        self.0.of(key).await?.take().await
    }
}

/// A pool that follows the master: one of an old master is dropped, with what was idle in it.
struct Blocking {
    route: Arc<Route>,
    size_max: usize,
    pool: Mutex<Option<(ConnectionAddr, Pool)>>,
}

impl Blocking {
    /// At most so many connections to one master.
    fn new(route: Arc<Route>, size_max: usize) -> Self {
        Self { route, size_max, pool: Mutex::new(None) }
    }

    async fn take(&self) -> Result<(Connection, watch::Receiver<u64>), StoreError> {
        let gone = || StoreError::Unavailable { source: None };
        let master = self.route.find().await?;
        let info = master.client.get_connection_info();
        let pool = self.pool_to(info)?;
        let mut connection = pool.get().await.map_err(|error| match error {
            PoolError::Backend(source) => StoreError::Unavailable { source: Some(source) },
            _ => gone(),
        })?;
        let term = match self.route.admit(&mut connection, &master).await {
            Ok(term) => term,
            Err(fault) => {
                drop(Connection::take(connection));
                return Err(fault);
            }
        };
        let terms = self.route.terms();
        let is_over = *terms.borrow() != term;
        if is_over {
            drop(Connection::take(connection));
            return Err(gone());
        }
        Ok((connection, terms))
    }

    fn pool_to(&self, info: &redis::ConnectionInfo) -> Result<Pool, StoreError> {
        let mut kept = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((address, pool)) = &*kept
            && address == info.addr()
        {
            return Ok(pool.clone());
        }
        let pool = self.open(info)?;
        *kept = Some((info.addr().clone(), pool.clone()));
        Ok(pool)
    }

    fn open(&self, info: &redis::ConnectionInfo) -> Result<Pool, StoreError> {
        let wait = Some(self.route.settings().connect_timeout);
        // Each blocking read has its own deadline, longer than its BLOCK.
        let config = AsyncConnectionConfig::new().set_connection_timeout(wait).set_response_timeout(None);
        let manager = Manager::new_with_config(info.clone(), config)
            .map_err(|source| StoreError::Refused { source })?;
        Pool::builder(manager)
            .max_size(self.size_max)
            .runtime(Runtime::Tokio1)
            .wait_timeout(wait)
            .create_timeout(wait)
            .recycle_timeout(wait)
            .build()
            .map_err(|_| StoreError::Unavailable { source: None })
    }
}
