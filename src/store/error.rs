//! What can go wrong between a request and its answer. Refusals are answers, not errors: see `domain::Refusal`.

use tokio::time::Instant;

/// A fault of the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Redis cannot be reached; nothing was sent.
    #[error("redis is not reachable; nothing was changed")]
    Unavailable {
        /// What the client said, when it said something.
        #[source]
        source: Option<redis::RedisError>,
    },
    /// The connection broke after the request was sent: it may or may not have been carried out.
    #[error("the connection to redis broke before its answer came")]
    Disconnected {
        /// What the client said.
        #[source]
        source: redis::RedisError,
    },
    /// The request was sent and no answer came in time: it may or may not have been carried out.
    #[error("redis did not answer within {waited_ms} ms")]
    NoAnswer {
        /// How long was waited.
        waited_ms: u64,
    },
    /// Redis is there and cannot serve yet or for now (loading, failover, busy, no replicas); nothing was changed.
    #[error("redis cannot serve now: {code}")]
    NotReady {
        /// The error code Redis gave, e.g. `LOADING`.
        code: String,
    },
    /// What other carts hold is not settled yet, so nothing can be decided now; nothing was changed.
    #[error("cannot be decided now: {what}")]
    Unsettled {
        /// What stands in the way.
        what: &'static str,
    },
    /// It is decided and stays so, and a partition has not followed yet: its counts are not known.
    #[error("it is decided, and one of its partitions has not followed yet")]
    NotFollowed {
        /// Why not.
        #[source]
        source: Box<StoreError>,
    },
    /// Redis is over `maxmemory`; nothing was changed.
    #[error("redis is out of memory")]
    OutOfMemory,
    /// The request was carried out, and Redis could not go on confirming it: whether it stays is not known.
    #[error("redis carried it out and then could not confirm it")]
    Unconfirmed {
        /// What it said.
        #[source]
        source: redis::RedisError,
    },
    /// Redis cannot confirm this level of durability; nothing was changed.
    #[error("durability {level} cannot be had: {lack}")]
    DurabilityUnavailable {
        /// The level asked for.
        level: &'static str,
        /// What is missing.
        lack: Lack,
    },
    /// The queue in front of Redis is full; nothing was sent.
    #[error("{queued} calls are waiting already")]
    Overloaded {
        /// How many.
        queued: usize,
    },
    /// The gateway is going down; nothing was sent.
    #[error("this gateway is shutting down")]
    Draining,
    /// A stored record does not parse; only requests that touch it fail.
    #[error("the stored record of {what} is broken")]
    Broken {
        /// The SKU or hold.
        what: String,
    },
    /// A key holds another type than it must.
    #[error("a redis key has the wrong type: {detail}")]
    WrongType {
        /// Which key, as the script said.
        detail: String,
    },
    /// Redis answered something that is not in the script's contract.
    #[error("unexpected answer from {script}: {detail}")]
    Corrupt {
        /// The script or command.
        script: &'static str,
        /// What was wrong.
        detail: String,
    },
    /// Redis refused the command: no permission, or a fault of ours.
    #[error("redis refused the command")]
    Refused {
        /// What it said.
        #[source]
        source: redis::RedisError,
    },
}

impl StoreError {
    /// No answer came since then.
    pub(super) fn no_answer_since(started: Instant) -> Self {
        Self::NoAnswer { waited_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX) }
    }

    /// Whether it tells of the server, and not of what was asked: whatever else is asked there now fails too.
    pub fn is_of_server(&self) -> bool {
        match self {
            Self::Unavailable { .. }
            | Self::Disconnected { .. }
            | Self::NoAnswer { .. }
            | Self::NotReady { .. }
            | Self::OutOfMemory => true,
            Self::Unsettled { .. }
            | Self::NotFollowed { .. }
            | Self::Unconfirmed { .. }
            | Self::DurabilityUnavailable { .. }
            | Self::Overloaded { .. }
            | Self::Draining
            | Self::Broken { .. }
            | Self::WrongType { .. }
            | Self::Corrupt { .. }
            | Self::Refused { .. } => false,
        }
    }
}

/// What a Redis lacks to confirm a level of durability, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// The right to wait for replicas.
    #[error("this redis user may not run WAIT: give it `+wait`")]
    WaitWithheld,
    /// An append-only file.
    #[error(
        "redis keeps no append-only file: run `CONFIG SET appendonly yes` and put `appendonly yes` into redis.conf"
    )]
    NoAppendOnly,
    /// Answers that come after the disk.
    #[error(
        "redis answers before a change is on disk (appendfsync {appendfsync}) and cannot be asked to wait for it (WAITAOF): \
        upgrade to redis 7.2, or run `CONFIG SET appendfsync always` and put `appendfsync always` into redis.conf; for the \
        redis stockgate starts itself, set embedded.fsync = \"always\""
    )]
    NotAlways {
        /// The policy in force.
        appendfsync: String,
    },
    /// The right to ask.
    #[error(
        "this redis user may run neither WAITAOF nor CONFIG GET, so nobody can tell what is on disk: give it `+waitaof` \
        (redis 7.2 or later) or `+config|get`"
    )]
    ConfigWithheld,
}
