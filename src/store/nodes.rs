//! The servers that keep the keys: one, or the masters of a cluster, each with some of the slots. Who has a key is asked here, and
//! what a server says of it that is not an answer (it moved, it is on its way, nobody serves it now) becomes a wait within a bound.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Value};
use tokio::time::{Instant, sleep};

use super::{
    Store, StoreError,
    link::{Cluster, Connection, Current, Link, NodeAddress, Route, classify, slot_of},
    scripts::Script,
};

/// The first and the longest pause between two tries.
const PAUSE_FIRST: Duration = Duration::from_millis(2);
const PAUSE_LONGEST: Duration = Duration::from_millis(50);

/// How the servers are found.
#[derive(Clone)]
pub(super) enum Layout {
    /// One has all keys.
    One(Arc<Route>),
    /// Each has some slots.
    Cluster(Arc<Cluster>),
}

/// A connection to each server, made when it is first needed.
pub(super) struct Nodes {
    layout: Layout,
    response_timeout: Duration,
    /// How long a slot that nobody serves is waited for.
    patience: Duration,
    /// On a cluster, by address.
    links: Mutex<HashMap<NodeAddress, Arc<Link>>>,
    /// Without.
    only: Option<Arc<Link>>,
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

/// How long one caller has waited, and how long he still may.
pub(super) struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    /// Waits a moment; false when there is no more time for that.
    pub(super) async fn rest(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        sleep(self.pause).await; // why: nothing tells when a slot is served again
        self.pause = (self.pause * 2).min(PAUSE_LONGEST);
        true
    }
}

impl Nodes {
    /// Answers may take `response_timeout`; a slot that nobody serves is waited for up to `patience`.
    pub(super) fn new(layout: Layout, response_timeout: Duration, patience: Duration) -> Self {
        let opened = Arc::<AtomicU64>::default();
        let link = |route| Arc::new(Link::new(route, response_timeout, Arc::clone(&opened)));
        let only = match &layout {
            Layout::One(route) => Some(link(Arc::clone(route))),
            Layout::Cluster(_) => None,
        };
        Self { layout, response_timeout, patience, links: Mutex::default(), only, opened }
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
        match (&self.layout, &self.only) {
            (Layout::Cluster(cluster), _) => {
                let node = cluster.owner(slot_of(key)).await?;
                self.link(cluster, node).connection().await
            }
            (Layout::One(_), Some(link)) => link.connection().await,
            (Layout::One(_), None) => unreachable!("made with its link"),
        }
    }

    /// Tells servers apart; those that nobody knows are one.
    pub(super) fn server_of(&self, key: &str) -> u64 {
        match &self.layout {
            Layout::One(_) => 0,
            Layout::Cluster(cluster) => cluster.known_owner(slot_of(key)).map_or(0, |node| {
                let mut hasher = DefaultHasher::new();
                node.hash(&mut hasher);
                hasher.finish()
            }),
        }
    }

    /// A connection to every master, by its address; without cluster to the only one.
    pub(super) async fn all(&self) -> Result<Vec<Connection>, StoreError> {
        match (&self.layout, &self.only) {
            (Layout::Cluster(cluster), _) => {
                let mut all = Vec::new();
                for node in cluster.masters().await? {
                    all.push(self.link(cluster, node).connection().await?);
                }
                Ok(all)
            }
            (Layout::One(_), Some(link)) => Ok(vec![link.connection().await?]),
            (Layout::One(_), None) => unreachable!("made with its link"),
        }
    }

    fn link(&self, cluster: &Cluster, node: NodeAddress) -> Arc<Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let made = links.entry(node).or_insert_with_key(|node| {
            Arc::new(Link::new(cluster.route(node), self.response_timeout, Arc::clone(&self.opened)))
        });
        Arc::clone(made)
    }

    /// How long a caller may wait from now on.
    pub(super) fn patience(&self) -> Patience {
        let pause = PAUSE_FIRST;
        Patience { until: Instant::now() + self.patience, pause }
    }

    /// How long at most.
    pub(super) fn patience_max(&self) -> Duration {
        self.patience
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
        match connection.fault(error).await {
            // Each of them says that nothing was carried out.
            fault @ StoreError::NotReady { .. } => {
                cluster.look_soon();
                Course::Again(fault)
            }
            fault @ (StoreError::Disconnected { .. } | StoreError::NoAnswer { .. }) => {
                cluster.look_soon();
                Course::Over(fault)
            }
            fault => Course::Over(fault),
        }
    }

    /// Asks the server that has `key`; waits while nobody has it.
    pub(super) async fn ask(&self, key: &str, ask: Ask<'_>) -> Result<Value, StoreError> {
        let mut patience = self.patience();
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
                    if !patience.rest().await {
                        return Err(fault);
                    }
                }
            }
        }
    }

    /// Asks each of several keys' servers: one pipeline per server, the answers in order. What is not answered at once is asked by
    /// itself.
    pub(super) async fn ask_each(&self, asks: &[(String, Cmd)]) -> Vec<Result<Value, StoreError>> {
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
        T::from_redis_value(value).map_err(|error| classify(error.into(), self.response_timeout))
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

    /// Moves on when what was known of the servers may be no more so.
    pub(super) fn topology_generation(&self) -> u64 {
        self.inner.nodes.generation()
    }
}
