//! The servers that keep the keys: one, or the masters of a cluster, each with some of the slots. Who has a key is asked here, and
//! what a server says of it that is not an answer (it moved, it is on its way, nobody serves it now) becomes a wait within a bound.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Value};
use tokio::time::{Instant, sleep};

use crate::domain::Backoff;

use super::{
    Store, StoreError,
    link::{Connection, Current, Layout, Link, NodeAddress, PerServer, passes, slot_of},
    scripts::Script,
};

/// The pauses between tries at a slot that nobody serves.
const PAUSES: Backoff =
    Backoff { first: Duration::from_millis(2), cap: Duration::from_millis(50), jitter: 0.0 };

/// How long to wait after so many tries (1 and up) at a slot that nobody serves.
pub(super) fn pause_after(tries: u32) -> Duration {
    PAUSES.delay(tries, 0.5)
}

/// A connection to each server, made when it is first needed.
pub(super) struct Nodes {
    layout: Layout,
    cluster_wait: Duration,
    links: PerServer<Link>,
    opened: Arc<AtomicU64>,
}

/// What is asked of the server that has a key.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    Command(&'a Cmd),
    /// All keys in one slot.
    Pipeline(&'a Pipeline),
    Script(&'a Script, &'a Cmd),
}

impl Ask<'_> {
    async fn of(self, redis: &mut Current) -> RedisResult<Value> {
        match self {
            Self::Command(command) => command.query_async(redis).await,
            Self::Pipeline(pipeline) => pipeline.query_async(redis).await,
            Self::Script(script, command) => script.run(redis, command).await,
        }
    }
}

/// What an error comes to.
pub(super) enum Course {
    /// Nothing was carried out: to be tried again soon.
    Again(StoreError),
    /// To be told to the caller.
    Over(StoreError),
}

/// How often one caller has tried, and how long he still may.
pub(super) struct Tries {
    until: Instant,
    count: u32,
}

impl Tries {
    /// Waits a moment; false when there is no more time for that.
    pub(super) async fn rest(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        self.count += 1;
        sleep(pause_after(self.count)).await; // why: nothing tells when a slot is served again
        true
    }
}

impl Nodes {
    /// Answers may take `response_timeout`; a slot that nobody serves is waited for up to `cluster_wait`.
    pub(super) fn new(layout: Layout, response_timeout: Duration, cluster_wait: Duration) -> Self {
        let opened = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&opened);
        let link = move |route| Link::new(route, response_timeout, Arc::clone(&counted));
        let links = PerServer::new(&layout, link);
        Self { layout, cluster_wait, links, opened }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Moves on when another connection was made, and on a cluster when a slot changed hands: what was known of the servers may be
    /// no more so.
    pub(super) fn generation(&self) -> u64 {
        let moves = match &self.layout {
            Layout::One(_) => 0,
            Layout::Cluster(cluster) => cluster.moves(),
        };
        self.opened.load(Ordering::Relaxed) + moves
    }

    /// A connection to the server that has a key.
    pub(super) async fn connection(&self, key: &str) -> Result<Connection, StoreError> {
        self.links.of(key).await?.connection().await
    }

    /// The server of a cluster that has a key, as far as is known; None too when there is only one.
    pub(super) fn server_of(&self, key: &str) -> Option<NodeAddress> {
        match &self.layout {
            Layout::One(_) => None,
            Layout::Cluster(cluster) => cluster.known_owner(slot_of(key)),
        }
    }

    /// A connection to every master, by its address; without cluster to the only one.
    pub(super) async fn all(&self) -> Result<Vec<Connection>, StoreError> {
        let mut all = Vec::new();
        for link in self.links.all().await? {
            all.push(link.connection().await?);
        }
        Ok(all)
    }

    /// A caller who may try from now on.
    pub(super) fn tries(&self) -> Tries {
        Tries { until: Instant::now() + self.cluster_wait, count: 0 }
    }

    /// How long a slot that nobody serves is waited for.
    pub(super) fn cluster_wait(&self) -> Duration {
        self.cluster_wait
    }

    /// What it means that there was no connection.
    pub(super) fn unsent(&self, fault: StoreError) -> Course {
        match (&self.layout, fault) {
            (
                Layout::Cluster(cluster),
                fault @ (StoreError::Unavailable { .. } | StoreError::NotReady { .. }),
            ) => {
                cluster.look_soon();
                Course::Again(fault)
            }
            (Layout::One(_) | Layout::Cluster(_), fault) => Course::Over(fault),
        }
    }

    /// What an error after something was sent means.
    pub(super) async fn sent(&self, connection: &Connection, error: RedisError) -> Course {
        let Layout::Cluster(cluster) = &self.layout else {
            return Course::Over(connection.fault(error).await);
        };
        if let Some((to, slot)) = error.redirect_node()
            && error.code() == Some("MOVED")
        {
            cluster.moved(slot, to);
        }
        let passes = passes(&error);
        let fault = connection.fault(error).await;
        if passes {
            cluster.look_soon();
            return Course::Again(fault);
        }
        if matches!(fault, StoreError::Disconnected { .. } | StoreError::NoAnswer { .. }) {
            cluster.look_soon();
        }
        Course::Over(fault)
    }

    /// Asks the server that has `key`; waits while nobody has it.
    pub(super) async fn ask(&self, key: &str, ask: Ask<'_>) -> Result<Value, StoreError> {
        let mut tries = self.tries();
        loop {
            let course = match self.connection(key).await {
                Ok(mut connection) => match ask.of(&mut connection.redis).await {
                    Ok(value) => return Ok(value),
                    Err(error) => self.sent(&connection, error).await,
                },
                Err(fault) => self.unsent(fault),
            };
            match course {
                Course::Over(fault) => return Err(fault),
                Course::Again(fault) => {
                    if !tries.rest().await {
                        return Err(fault);
                    }
                }
            }
        }
    }

    /// Asks each of several keys' servers: one pipeline per server, the answers in order. What is not answered at once is asked by
    /// itself.
    pub(super) async fn ask_each(&self, asks: &[(String, Cmd)]) -> Vec<Result<Value, StoreError>> {
        if let [(key, command)] = asks {
            return vec![self.ask(key, Ask::Command(command)).await];
        }
        let mut by_server: HashMap<u64, (Connection, Vec<usize>)> = HashMap::new();
        let mut answers: Vec<Option<Result<Value, StoreError>>> = asks.iter().map(|_| None).collect();
        for (index, (key, _)) in asks.iter().enumerate() {
            // Who cannot be reached now is waited for below.
            if let Ok(connection) = self.connection(key).await {
                by_server
                    .entry(connection.generation)
                    .or_insert_with(|| (connection, Vec::new()))
                    .1
                    .push(index);
            }
        }
        let pipelines = by_server.into_values().map(|(connection, indexes)| async move {
            let mut pipeline = redis::pipe();
            pipeline.ignore_errors();
            for index in &indexes {
                pipeline.add_command(asks[*index].1.clone());
            }
            let answers: RedisResult<Vec<RedisResult<Value>>> =
                pipeline.query_async(&mut connection.redis.clone()).await;
            (connection, indexes, answers)
        });
        for (connection, indexes, replies) in join_all(pipelines).await {
            match replies {
                Ok(replies) => {
                    for (index, reply) in indexes.into_iter().zip(replies) {
                        answers[index] = match reply {
                            Ok(value) => Some(Ok(value)),
                            Err(error) => match self.sent(&connection, error).await {
                                Course::Again(_) => None,
                                Course::Over(fault) => Some(Err(fault)),
                            },
                        };
                    }
                }
                Err(error) => {
                    if let Course::Over(fault) = self.sent(&connection, error).await {
                        for index in indexes {
                            answers[index] = Some(Err(fault.clone()));
                        }
                    }
                }
            }
        }
        let left = answers.into_iter().zip(asks).map(|(answer, (key, command))| async move {
            match answer {
                Some(answer) => answer,
                None => self.ask(key, Ask::Command(command)).await,
            }
        });
        join_all(left).await
    }

    /// A value that is not what was asked for.
    pub(super) fn read<T: FromRedisValue>(&self, value: Value) -> Result<T, StoreError> {
        T::from_redis_value(value).map_err(|error| StoreError::Refused { source: error.into() })
    }
}

impl Store {
    /// Runs one plain command on the server that has `key`; the connection's response timeout bounds it.
    pub(super) async fn query_at<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let nodes = &self.inner.nodes;
        nodes.read(nodes.ask(key, Ask::Command(command)).await?)
    }

    /// Runs a pipeline, all of whose keys are in the slot of `key`.
    pub(super) async fn pipeline_at<T: FromRedisValue>(
        &self,
        key: &str,
        pipeline: &Pipeline,
    ) -> Result<T, StoreError> {
        let nodes = &self.inner.nodes;
        nodes.read(nodes.ask(key, Ask::Pipeline(pipeline)).await?)
    }

    /// Runs commands, each on the server that has its key: one pipeline per server. The answers come in order, each by itself.
    pub(super) async fn query_each(&self, asks: &[(String, Cmd)]) -> Vec<Result<Value, StoreError>> {
        self.inner.nodes.ask_each(asks).await
    }

    /// The same, when nothing but the first fault of any is of interest.
    pub(super) async fn command_each(&self, asks: &[(String, Cmd)]) -> Result<(), StoreError> {
        self.query_each(asks).await.into_iter().try_for_each(|answer| answer.map(drop))
    }

    /// Moves on when what was known of the servers may be no more so.
    pub(super) fn topology_generation(&self) -> u64 {
        self.inner.nodes.generation()
    }
}
