//! The Redis the gateway starts itself when no URL is set: a child on a Unix socket in the data directory.
//!
//! Ends with the gateway, however the gateway ends (`guarded`); comes back when it dies alone (`supervisor`);
//! and belongs to one gateway, since the data directory is locked (`home`). Used by `app`; never speaks of stock.

mod error;
mod guarded;
mod home;
mod socket;
mod supervisor;
#[cfg(test)]
mod tests;
mod version;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{
    home::Home,
    supervisor::{State, Supervisor, raise},
    version::check_version,
};

pub use self::{error::EmbeddedError, guarded::Exit};

/// Where and how the embedded Redis runs.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Holds the append-only file, the socket, the log and the lock; created when missing.
    pub data_dir: PathBuf,
    /// The program: a name looked up in `PATH`, or a path.
    pub redis_server: PathBuf,
    /// When a write is on disk.
    pub fsync: Fsync,
    /// How long Redis may take to answer at all.
    pub start_timeout: Duration,
    /// How long Redis may take to read its data at the first start.
    pub load_timeout: Duration,
    /// How long Redis may take to end after SIGTERM before it is killed; whole seconds, at least one.
    pub stop_timeout: Duration,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            redis_server: PathBuf::from("redis-server"),
            fsync: Fsync::Everysec,
            start_timeout: Duration::from_secs(10),
            load_timeout: Duration::from_secs(300),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// When a write is on disk: what a power cut may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// Within a second, two when the disk is slow; a killed redis alone loses next to nothing.
    #[default]
    Everysec,
    /// Before the answer; slower.
    Always,
}

impl Fsync {
    fn as_str(self) -> &'static str {
        match self {
            Self::Everysec => "everysec",
            Self::Always => "always",
        }
    }
}

/// A running embedded Redis and the task that keeps it so. Dropped without `stop`, it ends a little later.
#[derive(Debug)]
pub struct Embedded {
    url: String,
    state: Arc<State>,
    stop: DropGuard,
    supervisor: JoinHandle<()>,
}

/// Starts Redis in its data directory and returns once it answers.
pub async fn start(config: EmbeddedConfig) -> Result<Embedded, EmbeddedError> {
    let home = Home::open(&config.data_dir)?;
    check_version(&config.redis_server).await?;
    let stop = CancellationToken::new();
    let (redis, pid) = raise(&home, &config, Some(config.load_timeout), &stop).await?;
    tracing::info!(pid, data_dir = %home.dir().display(), fsync = config.fsync.as_str(), "embedded redis is up");

    let url = home.url();
    let state = Arc::new(State::default());
    state.pid.store(pid, Ordering::Relaxed);
    let owner = Supervisor { home, config, state: Arc::clone(&state), stop: stop.clone() };
    let supervisor = tokio::spawn(owner.run(redis));
    Ok(Embedded { url, state, stop: stop.drop_guard(), supervisor })
}

impl Embedded {
    /// Where to connect; stays the same when Redis comes back.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The process id of redis-server itself; None while it is down.
    pub fn pid(&self) -> Option<u32> {
        Some(self.state.pid.load(Ordering::Relaxed)).filter(|&pid| pid != 0)
    }

    /// How often Redis died and came back.
    pub fn restarts(&self) -> u64 {
        self.state.restarts.load(Ordering::Relaxed)
    }

    /// Ends Redis in good order and returns when it is gone and the data directory is free.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.supervisor.await {
            tracing::error!(%error, "the supervisor of the embedded redis failed");
        }
    }
}
