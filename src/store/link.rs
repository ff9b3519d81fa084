//! The long-lived connection scripts run on. One multiplexed connection is shared by all; a broken one is discarded and
//! made again by the next caller, so recovery needs no restart. A pool would cost a round trip per checkout.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, RedisError,
    ServerErrorKind, aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio::{sync::Mutex, time::Instant};

use super::StoreError;

/// After a failed connect, callers are answered at once for so long; else a queue would wait behind each timeout.
const COOL_DOWN: Duration = Duration::from_millis(100);

/// How Redis is reached.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// `redis://`, `rediss://` or `redis+unix://`.
    pub url: String,
    /// How long a connect may take.
    pub connect_timeout: Duration,
    /// How long an answer may take; afterwards the outcome is unknown.
    pub response_timeout: Duration,
}

pub(super) struct Link {
    client: Client,
    settings: LinkSettings,
    state: Mutex<State>,
    generation: AtomicU64,
}

enum State {
    Up(Connection),
    Down { retry_at: Instant },
}

/// A connection and which one it is, so that only the broken one is discarded.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) redis: MultiplexedConnection,
    /// Which one: no two of a link have the same, from 1 on.
    pub(super) generation: u64,
}

impl Link {
    pub(super) fn new(settings: LinkSettings) -> Result<Self, StoreError> {
        let info = connection_info(&settings.url).map_err(|source| StoreError::Refused { source })?;
        let client = Client::open(info).map_err(|source| StoreError::Refused { source })?;
        let state = Mutex::new(State::Down { retry_at: Instant::now() });
        Ok(Self { client, settings, state, generation: AtomicU64::new(0) })
    }

    /// The shared connection; connects when there is none.
    pub(super) async fn connection(&self) -> Result<Connection, StoreError> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Up(connection) => return Ok(connection.clone()),
            State::Down { retry_at } if Instant::now() < *retry_at => {
                return Err(StoreError::Unavailable { source: None });
            }
            State::Down { .. } => {}
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.connect_timeout))
            .set_response_timeout(Some(self.settings.response_timeout));
        match self.client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(redis) => {
                let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
                let connection = Connection { redis, generation };
                *state = State::Up(connection.clone());
                Ok(connection)
            }
            Err(source) => {
                *state = State::Down { retry_at: Instant::now() + COOL_DOWN };
                Err(match source.kind() {
                    ErrorKind::Server(ServerErrorKind::BusyLoading) => self.classify(source),
                    _ => StoreError::Unavailable { source: Some(source) },
                })
            }
        }
    }

    /// Which connection is in use: another number, another connection.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Turns what the client said after a command was sent into a fault; discards the connection when it is of no more use.
    pub(super) async fn fault(&self, used: &Connection, error: RedisError) -> StoreError {
        // A connection that gave no answer in time may be dead without anybody having been told.
        let silent = error.is_timeout();
        if silent || error.is_unrecoverable_error() || is_code(&error, ServerErrorKind::ReadOnly) {
            self.discard(used).await;
        }
        self.classify(error)
    }

    /// The next caller gets another connection.
    pub(super) async fn discard(&self, used: &Connection) {
        let mut state = self.state.lock().await;
        if matches!(&*state, State::Up(current) if current.generation == used.generation) {
            *state = State::Down { retry_at: Instant::now() };
        }
    }

    pub(super) fn classify(&self, error: RedisError) -> StoreError {
        if error.is_timeout() {
            return StoreError::NoAnswer { waited_ms: millis(self.settings.response_timeout) };
        }
        if error.is_io_error() || error.is_connection_dropped() {
            return StoreError::Disconnected { source: error };
        }
        match error.code().unwrap_or_default() {
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "READONLY" | "BUSY" | "NOREPLICAS"
            | "MISCONF" => StoreError::NotReady { code: error.code().unwrap_or_default().to_owned() },
            "OOM" => StoreError::OutOfMemory,
            "WRONGTYPE" => StoreError::WrongType { detail: error.detail().unwrap_or_default().to_owned() },
            _ => StoreError::Refused { source: error },
        }
    }
}

fn is_code(error: &RedisError, kind: ServerErrorKind) -> bool {
    error.kind() == ErrorKind::Server(kind)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where a URL leads, with TCP_NODELAY: small scripts must not wait for more bytes.
pub(super) fn connection_info(url: &str) -> redis::RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}
