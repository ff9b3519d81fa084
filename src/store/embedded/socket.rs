//! What is asked of a Redis through the socket of the data directory: is it ready, who is it, go away.

use std::{path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, ServerErrorKind, aio::MultiplexedConnection};
use tokio::{net::UnixStream, time::Instant};

use super::{EmbeddedConfig, EmbeddedError, home::Home};

/// Deadline of one question; a Redis that loads or forks answers well within.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two looks at a Redis that starts or ends: a process gives no other sign of it.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// After SIGKILL the kernel closes the socket; longer means a process stuck in the kernel.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// Waits until Redis answers PING and returns its process id. `load_timeout` None: loading takes what it takes.
pub(super) async fn wait_until_ready(
    home: &Home,
    config: &EmbeddedConfig,
    load_timeout: Option<Duration>,
) -> Result<u32, EmbeddedError> {
    let started = Instant::now();
    let mut is_loading = false;
    loop {
        match ping(home).await {
            Ok(()) => {
                if let Some(pid) = listener(&home.socket()).await {
                    return Ok(pid);
                }
            }
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::BusyLoading) => {
                if !is_loading {
                    tracing::info!(data_dir = %home.dir().display(), "the embedded redis loads its data");
                }
                is_loading = true;
            }
            Err(error) => tracing::trace!(%error, "the embedded redis does not answer yet"),
        }
        let waited = started.elapsed();
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        match load_timeout {
            Some(limit) if is_loading && waited >= limit => {
                return Err(EmbeddedError::StillLoading { waited_ms, log: home.log() });
            }
            _ if !is_loading && waited >= config.start_timeout => {
                return Err(EmbeddedError::NoAnswer { waited_ms, log: home.log() });
            }
            _ => tokio::time::sleep(LOOK_EVERY).await, // why: another process's socket rings no bell
        }
    }
}

/// Ends a Redis that outlived its gateway and its guard. Only the holder of the directory's lock may call this.
pub(super) async fn take_down_leftover(home: &Home, stop_timeout: Duration) -> Result<(), EmbeddedError> {
    let socket = home.socket();
    let Some(pid) = listener(&socket).await else { return Ok(()) };
    tracing::warn!(pid, socket = %socket.display(), "a redis of an earlier run is still there, stopping it");
    match connect(home).await {
        // NOSAVE is about snapshots; the append-only file is written out all the same. A Redis that obeys gives
        // no answer, so any answer is only noted.
        Ok(mut connection) => {
            let answer: Result<(), RedisError> =
                redis::cmd("SHUTDOWN").arg("NOSAVE").query_async(&mut connection).await;
            tracing::debug!(?answer, "asked the redis of an earlier run to shut down");
        }
        Err(error) => tracing::debug!(%error, "cannot ask the redis of an earlier run to shut down"),
    }
    if is_gone_within(&socket, stop_timeout).await {
        return Ok(());
    }
    let still_there = || EmbeddedError::Leftover { socket: socket.clone(), pid };
    let target = i32::try_from(pid).map(Pid::from_raw).map_err(|_| still_there())?;
    if let Err(error) = kill(target, Signal::SIGKILL) {
        tracing::warn!(pid, %error, "cannot kill the redis of an earlier run");
    }
    if is_gone_within(&socket, KILL_TIMEOUT).await { Ok(()) } else { Err(still_there()) }
}

/// Redis writes everything out before it closes the socket, so a dead socket means settled files.
async fn is_gone_within(socket: &Path, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while listener(socket).await.is_some() {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await; // why: another process's socket rings no bell
    }
    true
}

/// The process that listens on the socket, as the kernel tells it; None when nobody does.
pub(super) async fn listener(socket: &Path) -> Option<u32> {
    let stream = tokio::time::timeout(QUESTION_TIMEOUT, UnixStream::connect(socket)).await.ok()?.ok()?;
    stream.peer_cred().ok()?.pid().and_then(|pid| u32::try_from(pid).ok())
}

async fn connect(home: &Home) -> Result<MultiplexedConnection, RedisError> {
    let deadlines = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(QUESTION_TIMEOUT))
        .set_response_timeout(Some(QUESTION_TIMEOUT));
    redis::Client::open(home.url())?.get_multiplexed_async_connection_with_config(&deadlines).await
}

async fn ping(home: &Home) -> Result<(), RedisError> {
    let mut connection = connect(home).await?;
    redis::cmd("PING").query_async(&mut connection).await
}
