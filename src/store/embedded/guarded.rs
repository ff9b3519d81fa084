//! One `redis-server` process under its guard: a small shell script that ends it when the gateway is gone.
//!
//! A parent-death signal would need unsafe code and exists on Linux alone; a pipe that breaks works everywhere.

use std::{
    fmt,
    fs::File,
    io,
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::process::{Child, ChildStdin, Command};

use super::{EmbeddedConfig, home::Home};

const GUARD: &str = include_str!("guard.sh");
/// How much longer than the guard's own SIGKILL we wait before killing the whole group.
const GUARD_GRACE: Duration = Duration::from_secs(2);

/// A running `redis-server`. Dropping it closes the pipe, so Redis ends, but nobody waits for that: see `stop`.
#[derive(Debug)]
pub(super) struct Guarded {
    guard: Child,
    group: Option<Pid>,
    /// Open as long as the gateway lives. Kept apart from `guard`, since `Child::wait` closes the one it owns.
    lifeline: Option<ChildStdin>,
    stop_timeout: Duration,
}

impl Guarded {
    /// Starts the process; it is not ready yet.
    pub(super) fn spawn(home: &Home, config: &EmbeddedConfig) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(home.log())?;
        // The guard counts whole seconds, and at least one.
        let kill_after_s = config.stop_timeout.as_secs().max(1);
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "stockgate-redis-guard"])
            .arg(kill_after_s.to_string())
            .arg(&config.redis_server)
            .args(["--port", "0", "--unixsocketperm", "700", "--daemonize", "no"])
            .arg("--unixsocket")
            .arg(home.socket())
            .arg("--dir")
            .arg(home.dir())
            .arg("--logfile")
            .arg(home.log())
            .args(["--appendonly", "yes", "--appendfsync", config.fsync.as_str(), "--save", ""])
            // With many channels the default, 64 MB, is soon there again, and each rewrite competes with Redis for a core.
            .args(["--auto-aof-rewrite-min-size", "512mb"])
            .args(["--maxmemory-policy", "noeviction"])
            .stdin(Stdio::piped())
            // What Redis says before it opens its log, and what the shell says when it cannot run it.
            .stdout(log.try_clone()?)
            .stderr(log)
            // A group of its own: Ctrl-C reaches the gateway alone, which drains first and then stops Redis.
            .process_group(0)
            .spawn()?;
        let lifeline = guard.stdin.take();
        let group = guard.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Self { guard, group, lifeline, stop_timeout: config.stop_timeout })
    }

    /// Waits until Redis (or its guard) has ended. Safe to cancel and to call again.
    pub(super) async fn exited(&mut self) -> Exit {
        Exit(self.guard.wait().await)
    }

    /// Ends Redis by SIGTERM, then SIGKILL, and returns when it is gone.
    pub(super) async fn stop(mut self) -> Exit {
        drop(self.lifeline.take());
        if let Ok(exit) = tokio::time::timeout(self.stop_timeout + GUARD_GRACE, self.exited()).await {
            return exit;
        }
        if let Some(group) = self.group
            && let Err(error) = killpg(group, Signal::SIGKILL)
        {
            tracing::error!(%group, %error, "cannot kill the embedded redis");
        }
        match tokio::time::timeout(GUARD_GRACE, self.exited()).await {
            Ok(exit) => exit,
            Err(elapsed) => Exit(Err(elapsed.into())),
        }
    }

    #[cfg(test)]
    pub(super) fn group(&self) -> Pid {
        self.group.expect("a child that was not waited for has an id")
    }
}

/// How Redis ended, as its guard tells it.
#[derive(Debug)]
pub struct Exit(io::Result<ExitStatus>);

/// A shell's status for "ended by signal n" is this plus n.
const SHELL_SIGNAL_BASE: i32 = 128;

impl Exit {
    /// True after a shutdown in good order.
    pub(super) fn is_clean(&self) -> bool {
        self.0.as_ref().is_ok_and(ExitStatus::success)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match &self.0 {
            Ok(status) => status,
            Err(error) => return write!(f, "unknown status ({error})"),
        };
        if let Some(number) = status.signal() {
            return write!(f, "its guard was ended by signal {number}");
        }
        let Some(code) = status.code() else { return status.fmt(f) };
        match Signal::try_from(code - SHELL_SIGNAL_BASE) {
            Ok(signal) => write!(f, "ended by {signal}"),
            Err(_) => write!(f, "exit status {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_read_well() {
        let shown = |raw| Exit(Ok(ExitStatus::from_raw(raw))).to_string();
        assert_eq!(shown(0), "exit status 0");
        assert_eq!(shown(1 << 8), "exit status 1");
        assert_eq!(shown(137 << 8), "ended by SIGKILL");
        assert_eq!(shown(9), "its guard was ended by signal 9");
    }
}
