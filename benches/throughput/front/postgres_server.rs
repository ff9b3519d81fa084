//! A PostgreSQL of its own in a folder of its own, with the settings `initdb` gives it, on a Unix socket.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tokio_postgres::{Config, NoTls};

use crate::rig::machine::first_line;

/// Where Debian keeps what must not be on the PATH: a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Who runs it when we are root, which PostgreSQL refuses to be run by: the user of Debian's package.
const UNPRIVILEGED: &str = "postgres";
const INIT_TIMEOUT: Duration = Duration::from_secs(30);
const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Ends PostgreSQL when this process is gone, however it ended: then the pipe closes, and the reader wakes.
const GUARD: &str = r#"
"$@" </dev/null &
while read -r _; do :; done
kill -INT "$!"
wait "$!"
"#;

/// What the PostgreSQL that is measured says of itself.
pub(crate) fn version() -> String {
    first_line(&newest_bin().join("postgres").display().to_string(), "--version")
}

/// A running PostgreSQL.
pub(super) struct PostgresServer {
    guard: Child,
    // Last, so that the folder goes after those who write into it.
    home: TempDir,
}

impl PostgresServer {
    /// Makes a database and serves it; returns once it takes connections.
    pub(super) async fn start() -> Result<Self> {
        let bin = newest_bin();
        let user = unprivileged().await?;
        let home = tempfile::tempdir()?;
        if let Some(User { uid, gid }) = user {
            chown(home.path(), Some(uid), Some(gid))?;
        }
        let data = home.path().join("data");
        let mut init = as_user(&bin.join("initdb"), user);
        init.arg("--pgdata").arg(&data).args(["--username=bench", "--auth=trust", "--no-sync"]);
        init.current_dir(home.path()).stdin(Stdio::null()).kill_on_drop(true);
        let missing = "cannot run initdb: is PostgreSQL installed? scripts/install.sh postgres does it";
        let said =
            timeout(INIT_TIMEOUT, init.output()).await.context("initdb takes too long")?.context(missing)?;
        ensure!(said.status.success(), "initdb failed: {}", String::from_utf8_lossy(&said.stderr));

        let mut guard = as_user(Path::new("sh"), user);
        guard.args(["-c", GUARD, "guard"]).arg(bin.join("postgres")).arg("-D").arg(&data);
        guard.arg("-k").arg(home.path()).args(["-c", "listen_addresses="]);
        let log = fs::File::create(home.path().join("log"))?;
        guard.current_dir(home.path()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let server = Self { guard: guard.spawn()?, home };
        server.wait_until_up().await?;
        Ok(server)
    }

    /// The folder of its socket.
    pub(super) fn socket_dir(&self) -> &Path {
        self.home.path()
    }

    async fn wait_until_up(&self) -> Result<()> {
        let mut config = Config::new();
        config.host_path(self.socket_dir()).user("bench").dbname("postgres");
        let started = Instant::now();
        while let Err(error) = config.connect(NoTls).await {
            if started.elapsed() > START_TIMEOUT {
                let log = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
                bail!("PostgreSQL does not come up: {error}\n{log}");
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Ends it, and returns when it is gone.
    pub(super) async fn stop(mut self) -> Result<()> {
        drop(self.guard.stdin.take());
        timeout(STOP_TIMEOUT, self.guard.wait()).await.context("PostgreSQL does not end")??;
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

fn as_user(program: &Path, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// Whom to become; None: we are not root.
async fn unprivileged() -> Result<Option<User>> {
    if id(&["-u"]).await? != 0 {
        return Ok(None);
    }
    Ok(Some(User { uid: id(&["-u", UNPRIVILEGED]).await?, gid: id(&["-g", UNPRIVILEGED]).await? }))
}

async fn id(arguments: &[&str]) -> Result<u32> {
    let said = Command::new("id").args(arguments).output().await?;
    let text = String::from_utf8_lossy(&said.stdout);
    text.trim().parse().with_context(|| format!("there is no user to run PostgreSQL: id {arguments:?}"))
}

/// Debian's newest; else what is on the PATH.
fn newest_bin() -> PathBuf {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().filter_map(|entry| {
        let version: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let bin = Path::new(DEBIAN).join(version.to_string()).join("bin");
        bin.join("postgres").exists().then_some((version, bin))
    });
    versions.max().map_or_else(PathBuf::new, |(_, bin)| bin)
}
