//! A connection that is good for one term: what a server says after another one became the master counts for nothing.

use std::io;

use redis::{
    Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::sync::watch;

/// A connection to the master of a term. When the term ends, whoever waits for an answer is told at once that none will come: an
/// old master that froze and goes on would otherwise say that it sold what the new one knows nothing of.
#[derive(Clone)]
pub(in super::super) struct Current {
    redis: MultiplexedConnection,
    term: u64,
    terms: watch::Receiver<u64>,
}

impl Current {
    pub(super) fn new(redis: MultiplexedConnection, term: u64, terms: watch::Receiver<u64>) -> Self {
        Self { redis, term, terms }
    }

    pub(super) fn term(&self) -> u64 {
        self.term
    }

    /// The connection itself, for looks at this one server.
    pub(in super::super) fn into_plain(self) -> MultiplexedConnection {
        self.redis
    }
}

impl ConnectionLike for Current {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(within(&mut self.terms, self.term, self.redis.req_packed_command(command)))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(within(&mut self.terms, self.term, self.redis.req_packed_commands(commands, offset, count)))
    }

    fn get_db(&self) -> i64 {
        self.redis.get_db()
    }
}

async fn within<T>(
    terms: &mut watch::Receiver<u64>,
    term: u64,
    answer: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    tokio::select! {
        biased;
        // Its sender lives as long as the store.
        _ = terms.wait_for(|now| *now != term) => Err(is_over()),
        answer = answer => answer,
    }
}

fn is_over() -> RedisError {
    io::Error::new(io::ErrorKind::ConnectionAborted, "another server is the master now").into()
}
