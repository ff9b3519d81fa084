//! The long-lived connections scripts run on: to each server one that all calls of a thread share, and one for each way on which
//! batches wait to be confirmed. A broken one is discarded and made again by the next caller, so recovery needs no restart. A pool
//! would cost a round trip per checkout.

mod cluster;
mod current;
mod layout;
mod route;
mod sentinels;
mod slots;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::{sync::Mutex, time::Instant};

pub(super) use current::Current;
pub(super) use layout::{Layout, PerServer};
pub(super) use route::Route;
pub(super) use slots::{NodeAddress, slot_of};

use cluster::Cluster;

use super::{Address, Certificates, Login, StoreError};

/// After a failed connect, callers are answered at once for so long; else a queue would wait behind each timeout.
const COOL_DOWN: Duration = Duration::from_millis(100);

/// How Redis is reached.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Where it is.
    pub address: Address,
    /// Who we are to it, where the address does not say.
    pub login: Login,
    /// Who we are to the sentinels.
    pub sentinel_login: Login,
    /// For encrypted connections, to Redis and to the sentinels.
    pub certificates: Certificates,
    /// How long a connect may take; also how long the sentinels may take to name the master.
    pub connect_timeout: Duration,
    /// How long an answer may take; afterwards the outcome is unknown.
    pub response_timeout: Duration,
}

impl LinkSettings {
    /// A Redis that asks nobody who he is, with the timeouts of `config.default.toml`.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            login: Login::default(),
            sentinel_login: Login::default(),
            certificates: Certificates::default(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
        }
    }
}

/// Numbers connections: no two have the same, from 1 on.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

pub(super) struct Link {
    route: Arc<Route>,
    /// How long an answer may take here.
    response_timeout: Duration,
    state: Mutex<State>,
    /// Counts the connections made here, and by links like it.
    opened: Arc<AtomicU64>,
}

enum State {
    Up { redis: Current, generation: u64 },
    Down { retry_at: Instant },
}

/// A connection and which one it is, so that only the broken one is discarded.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) redis: Current,
    /// Which one.
    pub(super) generation: u64,
    link: Arc<Link>,
}

impl Link {
    pub(super) fn new(route: Arc<Route>, response_timeout: Duration, opened: Arc<AtomicU64>) -> Self {
        let state = Mutex::new(State::Down { retry_at: Instant::now() });
        Self { route, response_timeout, state, opened }
    }

    /// The shared connection; connects when there is none, or when another server is the master now.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Connection, StoreError> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Up { redis, generation } if redis.term() == self.route.term() => {
                return Ok(self.made(redis.clone(), *generation));
            }
            State::Down { retry_at } if Instant::now() < *retry_at => {
                return Err(StoreError::Unavailable { source: None });
            }
            State::Up { .. } | State::Down { .. } => {}
        }
        match self.route.connect(self.response_timeout).await {
            Ok(redis) => {
                let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed) + 1;
                self.opened.fetch_add(1, Ordering::Relaxed);
                *state = State::Up { redis: redis.clone(), generation };
                Ok(self.made(redis, generation))
            }
            Err(fault) => {
                *state = State::Down { retry_at: Instant::now() + COOL_DOWN };
                Err(fault)
            }
        }
    }

    fn made(self: &Arc<Self>, redis: Current, generation: u64) -> Connection {
        Connection { redis, generation, link: Arc::clone(self) }
    }
}

impl Connection {
    /// Turns what the client said after a command was sent into a fault; discards the connection when it is of no more use.
    pub(super) async fn fault(&self, error: RedisError) -> StoreError {
        // A connection that gave no answer in time may be dead without anybody having been told.
        let silent = error.is_timeout();
        let is_demoted = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        if is_demoted {
            // For everybody: who only reads would not notice.
            self.link.route.end_term(self.redis.term());
        }
        if silent || is_demoted || error.is_unrecoverable_error() {
            self.discard().await;
        }
        self.classify(error)
    }

    /// The next caller gets another one.
    pub(super) async fn discard(&self) {
        let mut state = self.link.state.lock().await;
        if matches!(&*state, State::Up { generation, .. } if *generation == self.generation) {
            *state = State::Down { retry_at: Instant::now() };
        }
    }

    /// What the client said, as a fault.
    pub(super) fn classify(&self, error: RedisError) -> StoreError {
        classify(error, self.link.response_timeout)
    }
}

/// What an error of the client means for a caller who waited so long at most.
pub(super) fn classify(error: RedisError, waited: Duration) -> StoreError {
    if error.is_timeout() {
        return StoreError::NoAnswer { waited_ms: millis(waited) };
    }
    if error.is_io_error() || error.is_connection_dropped() {
        return StoreError::Disconnected { source: error };
    }
    match error.code().unwrap_or_default() {
        // UNBLOCKED: a blocking read of a master that was demoted.
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK" | "READONLY" | "BUSY"
        | "NOREPLICAS" | "MISCONF" | "EXECABORT" | "UNBLOCKED" => {
            StoreError::NotReady { code: error.code().unwrap_or_default().to_owned() }
        }
        "OOM" => StoreError::OutOfMemory,
        "WRONGTYPE" => StoreError::WrongType { detail: error.detail().unwrap_or_default().to_owned() },
        _ => StoreError::Refused { source: error },
    }
}

/// Whether an error says that nothing was carried out, and that the slot is served soon: by this server of a cluster or another.
/// What says so of the server and not of the slot (no replicas, no disk) lasts, and is told.
pub(super) fn passes(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, ExecAbort, Moved, ReadOnly, TryAgain};
    // A transaction that is refused does not say which of these it met.
    matches!(
        error.kind(),
        ErrorKind::Server(Moved | Ask | TryAgain | ClusterDown | BusyLoading | ReadOnly | ExecAbort)
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
