//! The gateway under measurement: the real binary, `stockgate serve`, on an embedded Redis in a folder of its own.

use std::{ffi::OsString, fs, net::SocketAddr, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    task::JoinHandle,
    time::timeout,
};

use super::metrics::Metrics;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
const QUESTION_TIMEOUT: Duration = Duration::from_secs(60);

/// A running gateway. Dropping it kills it, and its Redis ends with it.
pub(crate) struct Gateway {
    child: Child,
    /// Reads the log to its end: a full pipe would stop the gateway.
    log: JoinHandle<()>,
    pub(crate) url: String,
    http: SocketAddr,
    // Last, so that the folder goes after those who write into it.
    home: TempDir,
}

impl Gateway {
    /// Starts it with these settings, in TOML; all others are the defaults.
    pub(crate) async fn start(settings: &str) -> Result<Self> {
        let home = tempfile::tempdir()?;
        // Found in its working directory, where no stockgate.toml of whoever runs the bench is.
        fs::write(home.path().join("stockgate.toml"), settings)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_stockgate"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_a_setting(name)) {
            command.env_remove(name);
        }
        let mut child = command
            .arg("serve")
            .current_dir(home.path())
            .env("STOCKGATE_GRPC_LISTEN", "127.0.0.1:0")
            .env("STOCKGATE_HTTP_LISTEN", "127.0.0.1:0")
            .env("STOCKGATE__LOG__FORMAT", "json")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        let mut lines = BufReader::new(stderr).lines();
        let up = timeout(START_TIMEOUT, wait_until_up(&mut lines))
            .await
            .context("the gateway did not come up in time")??;
        let log = tokio::spawn(read_to_the_end(lines));
        Ok(Self { child, log, url: format!("http://{}", up.grpc_address), http: up.http_address, home })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// A connection to its embedded Redis, for questions that may take long.
    pub(crate) async fn redis(&self) -> Result<MultiplexedConnection> {
        let socket = self.home.path().join("data/redis.sock");
        let client = redis::Client::open(format!("redis+unix://{}", socket.display()))?;
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(QUESTION_TIMEOUT));
        Ok(client.get_multiplexed_async_connection_with_config(&patient).await?)
    }

    /// What it counted so far.
    pub(crate) async fn metrics(&self) -> Result<Metrics> {
        Metrics::read(self.http).await
    }

    /// Stops it as an operator would.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = self.pid().context("the gateway ended by itself")?;
        kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
        let status =
            timeout(STOP_TIMEOUT, self.child.wait()).await.context("the gateway does not stop")??;
        self.log.await?;
        if !status.success() {
            bail!("the gateway ended with {status}");
        }
        Ok(())
    }
}

fn is_a_setting(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("STOCKGATE_"))
}

/// The log line that says where it serves.
#[derive(Deserialize)]
struct Up {
    grpc_address: SocketAddr,
    http_address: SocketAddr,
}

async fn wait_until_up(lines: &mut Lines<BufReader<ChildStderr>>) -> Result<Up> {
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Ok(up) = serde_json::from_str(&line) {
            return Ok(up);
        }
        said.push_str(&line);
        said.push('\n');
    }
    bail!("the gateway ended before it was up:\n{said}")
}

async fn read_to_the_end(mut lines: Lines<BufReader<ChildStderr>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("\"level\":\"ERROR\"") {
            eprintln!("gateway: {line}");
        }
    }
}
