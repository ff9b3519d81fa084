//! Brings Redis up, and up again when it dies, until the gateway stops.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{EmbeddedConfig, EmbeddedError, guarded::Guarded, home::Home, socket};
use crate::{domain::Backoff, telemetry};

/// Waits between attempts to bring Redis back: at once almost, then every five seconds for as long as it takes.
const RESTART_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(5), jitter: 0.2 };
/// A Redis that ran this long died of something new: the waits start over.
const STEADY_AFTER: Duration = Duration::from_secs(30);

/// What the supervisor tells the handle.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Zero while there is none.
    pub(super) pid: AtomicU32,
    pub(super) restarts: AtomicU64,
}

/// Owns the process, and the lock of its data directory for as long as the process may live.
pub(super) struct Supervisor {
    pub(super) home: Home,
    pub(super) config: EmbeddedConfig,
    pub(super) state: Arc<State>,
    pub(super) stop: CancellationToken,
}

impl Supervisor {
    /// Returns when Redis is gone for good.
    pub(super) async fn run(self, first: Guarded) {
        let mut redis = first;
        let mut up_since = Instant::now();
        let mut failures = 0;
        loop {
            let exit = tokio::select! {
                () = self.stop.cancelled() => break,
                exit = redis.exited() => exit,
            };
            self.state.pid.store(0, Ordering::Relaxed);
            tracing::error!(%exit, log = %self.home.log().display(), "embedded redis died");
            if up_since.elapsed() >= STEADY_AFTER {
                failures = 0;
            }
            // Only the guard may have died: with the pipe closed its reader ends what is left.
            redis.stop().await;
            let Some((next, pid)) = self.bring_back(&mut failures).await else { return };
            redis = next;
            up_since = Instant::now();
            self.state.pid.store(pid, Ordering::Relaxed);
            let restarts = self.state.restarts.fetch_add(1, Ordering::Relaxed) + 1;
            metrics::counter!(telemetry::EMBEDDED_RESTARTS).increment(1);
            tracing::warn!(pid, restarts, "embedded redis is back");
        }
        self.state.pid.store(0, Ordering::Relaxed);
        let exit = redis.stop().await;
        if exit.is_clean() {
            tracing::info!("embedded redis stopped");
        } else {
            tracing::warn!(%exit, "embedded redis did not stop in good order");
        }
    }

    /// Tries until Redis answers again; None when the gateway stops first.
    async fn bring_back(&self, failures: &mut u32) -> Option<(Guarded, u32)> {
        loop {
            *failures = failures.saturating_add(1);
            let wait = RESTART_BACKOFF.delay(*failures, fastrand::f64());
            self.stop.run_until_cancelled(tokio::time::sleep(wait)).await?; // why: backoff between restarts
            // No limit on loading: killing a Redis that loads for long would keep it from ever coming back.
            match raise(&self.home, &self.config, None, &self.stop).await {
                Ok(raised) => return Some(raised),
                Err(EmbeddedError::Stopped) => return None,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, failures = *failures, "cannot restart redis");
                }
            }
        }
    }
}

/// One attempt: a clean place, a new process, an answer. After an error no process is left.
pub(super) async fn raise(
    home: &Home,
    config: &EmbeddedConfig,
    load_timeout: Option<Duration>,
    stop: &CancellationToken,
) -> Result<(Guarded, u32), EmbeddedError> {
    socket::take_down_leftover(home, config.stop_timeout).await?;
    let mut redis = Guarded::spawn(home, config)
        .map_err(|source| EmbeddedError::Spawn { dir: home.dir().to_owned(), source })?;
    let ready = tokio::select! {
        ready = socket::wait_until_ready(home, config, load_timeout) => ready,
        exit = redis.exited() => {
            Err(EmbeddedError::Died { exit, log: home.log(), log_tail: home.log_tail() })
        }
        () = stop.cancelled() => Err(EmbeddedError::Stopped),
    };
    match ready {
        Ok(pid) => Ok((redis, pid)),
        Err(error) => {
            redis.stop().await;
            Err(error)
        }
    }
}
