//! However the bench ends, by itself, by an error or by Ctrl-C: what it started is ended, and its folders are gone.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};

/// How long those whose parent was killed may still write: a PostgreSQL that shuts down is the slowest.
const GONE_TIMEOUT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The folder all others are made in, those of the fronts too: a front that is killed removes none.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    /// From now on every temporary folder of this process is made in it.
    pub(crate) fn make() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("stockgate-bench-").tempdir()?;
        // PostgreSQL, which root runs as another user, must get through to its own.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
        tempfile::env::override_temp_dir(folder.path())
            .map_err(|other| anyhow::anyhow!("folders are made in {} already", other.display()))?;
        Ok(Self { folder })
    }

    /// Removes it, once nobody writes into it any more.
    async fn remove(self) -> Result<()> {
        let path = self.folder.keep();
        let started = Instant::now();
        loop {
            match fs::remove_dir_all(&path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => return Ok(()),
                Err(error) if started.elapsed() > GONE_TIMEOUT => {
                    return Err(error).with_context(|| format!("{} stays", path.display()));
                }
                Err(_) => sleep(LOOK_EVERY).await, // why: nothing tells when a process that is not our child is gone
            }
        }
    }
}

/// Where a child makes its folders.
pub(crate) fn folders() -> PathBuf {
    tempfile::env::temp_dir()
}

/// Does `work` unless SIGINT or SIGTERM comes first: then it is dropped, and whatever it started with it.
pub(crate) async fn cleanly(home: Home, work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let ended = tokio::select! {
        ended = work => ended,
        // What a shell says of who ended by these signals.
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    };
    let removed = home.remove().await;
    ended.and_then(|code| removed.map(|()| code))
}
