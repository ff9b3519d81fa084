//! A master and its replica, both a test's own: over loopback, since replication knows no Unix socket.

use std::net::TcpListener;

use crate::{
    gateway::{SOON, eventually},
    gateway_redis::Redis,
};

/// A master and a replica that follows it.
pub(crate) struct Pair {
    pub(crate) master: Redis,
    pub(crate) replica: Redis,
}

impl Pair {
    /// Starts both and waits until the replica follows.
    pub(crate) async fn start() -> Self {
        let port = free_port().to_string();
        let master = Redis::start_with(&[
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--appendonly",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ])
        .await;
        let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &port, "--appendonly", "no"]).await;
        let pair = Self { master, replica };
        pair.follows().await;
        pair
    }

    /// Waits until the replica has all the master has.
    pub(crate) async fn follows(&self) {
        let mut connection = self.master.connection().await;
        eventually("the replica follows", SOON, async || {
            redis::cmd("SET").arg("pair").arg(1).query_async::<()>(&mut connection).await.unwrap();
            let wait = redis::cmd("WAIT").arg(1).arg(100).query_async::<u32>(&mut connection).await;
            (wait.unwrap() == 1).then_some(())
        })
        .await;
    }
}

/// One that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
