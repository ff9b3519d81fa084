//! What the server at the other end of a connection can confirm: asked when it is first wanted, remembered for that connection.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use lru::LruCache;
use redis::{ErrorKind, ServerErrorKind, Value};

use crate::{
    domain::Durability,
    store::{StoreError, error::Lack, link::Connection},
};

const ALWAYS: &str = "always";

/// Connections about which something is remembered.
const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(1024).expect("is not zero");

/// What was found out.
pub(super) struct Abilities {
    /// By connection; only what can be had: what cannot may be mended at any time.
    known: Mutex<LruCache<u64, Known>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    can_wait: bool,
    fsync: Option<FsyncWay>,
}

/// How a server shows that a change is on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FsyncWay {
    /// It can be waited for.
    WaitAof,
    /// Nothing is answered before it is on disk.
    Always,
}

impl Default for Abilities {
    fn default() -> Self {
        Self { known: Mutex::new(LruCache::new(CONNECTIONS_MAX)) }
    }
}

impl Abilities {
    /// Refuses a level that cannot be confirmed on this connection; asks once, and after [`Self::forget`].
    pub(super) async fn check(&self, connection: &Connection, level: Durability) -> Result<(), StoreError> {
        let mut known = self.known_of(connection);
        match level {
            Durability::Memory => return Ok(()),
            Durability::Replicated(_) if known.can_wait => return Ok(()),
            Durability::Fsync if known.fsync.is_some() => return Ok(()),
            Durability::Replicated(_) => self.try_wait(connection).await.map(|()| known.can_wait = true)?,
            Durability::Fsync => known.fsync = Some(self.find_fsync_way(connection).await?),
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).put(connection.generation, known);
        Ok(())
    }

    /// How this connection shows that a change is on disk, as far as it was asked.
    pub(super) fn fsync_way(&self, connection: &Connection) -> Option<FsyncWay> {
        self.known_of(connection).fsync
    }

    fn known_of(&self, connection: &Connection) -> Known {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&connection.generation).copied().unwrap_or_default()
    }

    /// What could be confirmed is asked again by the next batch.
    pub(super) fn forget(&self, connection: &Connection) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).pop(&connection.generation);
    }

    async fn try_wait(&self, connection: &Connection) -> Result<(), StoreError> {
        // No replica is enough: answered at once.
        match self.ask(connection, redis::cmd("WAIT").arg(0).arg(1)).await? {
            Some(_) => Ok(()),
            None => Err(StoreError::DurabilityUnavailable { level: "replicated", lack: Lack::WaitWithheld }),
        }
    }

    async fn find_fsync_way(&self, connection: &Connection) -> Result<FsyncWay, StoreError> {
        // An error without an append-only file, and before 7.2.
        if self.ask(connection, redis::cmd("WAITAOF").arg(1).arg(0).arg(1)).await?.is_some() {
            return Ok(FsyncWay::WaitAof);
        }
        let lack = match self.ask(connection, &AppendOnly::question()).await? {
            Some(config) => match AppendOnly::read(config) {
                AppendOnly { is_on: true, fsync } if fsync == ALWAYS => return Ok(FsyncWay::Always),
                AppendOnly { is_on: true, fsync } => Lack::NotAlways { appendfsync: fsync },
                AppendOnly { is_on: false, .. } => Lack::NoAppendOnly,
            },
            None => Lack::ConfigWithheld,
        };
        Err(StoreError::DurabilityUnavailable { level: "fsync", lack })
    }

    /// None when the server answers that it does not know the command, or that this user may not run it.
    async fn ask(&self, connection: &Connection, command: &redis::Cmd) -> Result<Option<Value>, StoreError> {
        use ServerErrorKind::{NoPerm, ResponseError};
        match command.query_async(&mut connection.redis.clone()).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if matches!(error.kind(), ErrorKind::Server(NoPerm | ResponseError)) => Ok(None),
            Err(error) => {
                self.forget(connection);
                Err(connection.fault(error).await)
            }
        }
    }
}

/// What the settings say about the append-only file.
pub(super) struct AppendOnly {
    is_on: bool,
    fsync: String,
}

impl AppendOnly {
    /// The command whose answer is read.
    pub(super) fn question() -> redis::Cmd {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("appendonly").arg("appendfsync");
        command
    }

    /// What does not parse says nothing: off.
    pub(super) fn read(config: Value) -> Self {
        let mut config: HashMap<String, String> = redis::from_redis_value(config).unwrap_or_default();
        Self {
            is_on: config.get("appendonly").is_some_and(|value| value == "yes"),
            fsync: config.remove("appendfsync").unwrap_or_default(),
        }
    }

    /// Whether nothing is answered before it is on disk.
    pub(super) fn is_always(&self) -> bool {
        self.is_on && self.fsync == ALWAYS
    }
}
