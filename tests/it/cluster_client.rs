//! A connection of the tests' own that follows slots over a cluster, so that a test pokes at keys there as on one server.

use std::collections::{HashMap, hash_map::Entry};

use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};

use crate::cluster_nodes::{Cluster, MASTERS};

/// Redirections in a row: more means that the nodes do not agree.
const REDIRECTIONS_MAX: usize = 16;
/// Commands about a whole server, which every master is told.
const FOR_ALL: [&[u8]; 3] = [b"KEYS", b"SCRIPT", b"CONFIG"];

/// To one server, or to a cluster.
#[derive(Clone)]
pub(crate) enum Raw {
    One(MultiplexedConnection),
    Cluster(Follower),
}

impl ConnectionLike for Raw {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command),
            Self::Cluster(follower) => Box::pin(follower.run(command)),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(follower) => Box::pin(follower.run_each(pipeline)),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// Goes where it is sent.
#[derive(Clone)]
pub(crate) struct Follower {
    cluster: &'static Cluster,
    connections: HashMap<usize, MultiplexedConnection>,
    /// Where the last command ended up.
    node: usize,
}

impl Follower {
    pub(crate) fn new(cluster: &'static Cluster) -> Self {
        Self { cluster, connections: HashMap::new(), node: 0 }
    }

    async fn run(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        let name = command.args_iter().next();
        let is_for_all = matches!(name, Some(redis::Arg::Simple(name)) if FOR_ALL.iter().any(|all| name.eq_ignore_ascii_case(all)));
        if !is_for_all {
            return self.follow(command).await;
        }
        let mut answers = Vec::new();
        for node in 0..MASTERS {
            answers.push(self.at(node, command).await?);
        }
        // The names of keys are put together; everything else is the same everywhere.
        let first = answers.remove(0);
        Ok(match first {
            Value::Array(mut all) => {
                for answer in answers {
                    let Value::Array(more) = answer else { continue };
                    all.extend(more);
                }
                Value::Array(all)
            }
            other => other,
        })
    }

    /// The first one finds the way; most pipelines stay in its slot.
    async fn run_each(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let commands: Vec<&Cmd> = pipeline.cmd_iter().collect();
        let Some((first, rest)) = commands.split_first() else { return Ok(Vec::new()) };
        let mut answers = vec![self.run(first).await?];
        let mut following = redis::pipe();
        for command in rest {
            following.add_command((*command).clone());
        }
        let there = self.connection(self.node).await.req_packed_commands(&following, 0, rest.len()).await?;
        for (command, answer) in rest.iter().zip(there) {
            answers.push(match answer.extract_error() {
                Err(fault) if fault.redirect_node().is_some() => self.run(command).await?,
                answer => answer?,
            });
        }
        Ok(answers)
    }

    async fn follow(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        for _ in 0..REDIRECTIONS_MAX {
            match self.at(self.node, command).await {
                Err(fault) => match fault.redirect_node() {
                    Some((host, _)) => self.node = self.cluster.node_at(host),
                    None => return Err(fault),
                },
                answer => return answer,
            }
        }
        Err(RedisError::from((ErrorKind::Client, "the nodes do not agree who has a slot")))
    }

    async fn at(&mut self, node: usize, command: &Cmd) -> Result<Value, RedisError> {
        self.connection(node).await.req_packed_command(command).await.and_then(Value::extract_error)
    }

    async fn connection(&mut self, node: usize) -> &mut MultiplexedConnection {
        match self.connections.entry(node) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => {
                let connection = self.cluster.patient_connection(node).await;
                place.insert(connection.expect("no test kills a node of this cluster"))
            }
        }
    }
}
