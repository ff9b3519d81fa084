//! What can go wrong between a request and its answer. Refusals are answers, not errors: see `domain::Refusal`.

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
    /// Redis is over `maxmemory`; nothing was changed.
    #[error("redis is out of memory")]
    OutOfMemory,
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
