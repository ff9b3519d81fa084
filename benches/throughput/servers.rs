//! Redis servers over TCP: one by itself, or the masters of a cluster, each a process of its own with the settings of the embedded Redis.

use std::{net::TcpListener, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::rig::process::cpu_time;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const SLOTS: usize = 16_384;

/// Running servers; dropping them kills them.
pub(crate) struct Servers {
    processes: Vec<Child>,
    ports: Vec<u16>,
    bus_ports: Vec<u16>,
    is_cluster: bool,
    // Last, so that the folder goes after those who write into it.
    _home: TempDir,
}

impl Servers {
    /// One by itself.
    pub(crate) async fn single() -> Result<Self> {
        Self::start(1, false).await
    }

    /// The masters of a cluster, with equal shares of the slots and no replicas.
    pub(crate) async fn cluster(masters: usize) -> Result<Self> {
        let servers = Self::start(masters, true).await?;
        let mut connections = Vec::with_capacity(masters);
        for port in &servers.ports {
            connections.push(connect(*port).await?);
        }
        for (index, connection) in connections.iter_mut().enumerate() {
            let (first, end) = (SLOTS * index / masters, SLOTS * (index + 1) / masters);
            let add = redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(end - 1).to_owned();
            let _: String = add.query_async(connection).await?;
            if index > 0 {
                let (port, bus) = (servers.ports[0], servers.bus_ports[0]);
                let meet = redis::cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(port).arg(bus).to_owned();
                let _: String = meet.query_async(connection).await?;
            }
        }
        let deadline = Instant::now() + START_TIMEOUT;
        for connection in &mut connections {
            while !knows_all(connection, masters).await? {
                ensure!(Instant::now() < deadline, "the cluster does not come together");
                sleep(LOOK_EVERY).await; // why: its servers tell each other
            }
        }
        Ok(servers)
    }

    async fn start(count: usize, is_cluster: bool) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let (mut processes, mut ports, mut bus_ports) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..count {
            let folder = home.path().join(number.to_string());
            std::fs::create_dir(&folder)?;
            let (port, bus) = (free_port()?, free_port()?);
            let mut command = Command::new("redis-server");
            command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
            command.args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--maxmemory-policy",
                "noeviction",
            ]);
            if is_cluster {
                command.args(["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()]);
            }
            let process = command.current_dir(folder).stdout(Stdio::null()).kill_on_drop(true).spawn();
            processes.push(process.context("redis-server does not start")?);
            ports.push(port);
            bus_ports.push(bus);
        }
        for port in &ports {
            connect(*port).await?;
        }
        Ok(Self { processes, ports, bus_ports, is_cluster, _home: home })
    }

    /// Where they are, as `redis.url`.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let scheme = if self.is_cluster { "redis+cluster" } else { "redis" };
        format!("{scheme}://{}", hosts.join(","))
    }

    /// CPU time of all of them so far, where the system tells.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        self.processes.iter().map(|process| cpu_time(process.id()?)).sum()
    }
}

async fn connect(port: u16) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match client.get_multiplexed_async_connection().await {
            Ok(connection) => return Ok(connection),
            Err(error) => ensure!(Instant::now() < deadline, "redis-server on {port}: {error}"),
        }
        sleep(LOOK_EVERY).await; // why: it has to read its settings first
    }
}

async fn knows_all(connection: &mut MultiplexedConnection, masters: usize) -> Result<bool> {
    let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(connection).await?;
    let nodes: String = redis::cmd("CLUSTER").arg("NODES").query_async(connection).await?;
    let known = nodes.lines().filter(|line| line.contains("master") && !line.contains("handshake")).count();
    Ok(info.contains("cluster_state:ok") && known == masters)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
