//! A gateway as its users have it: the binary, started with a settings file, spoken to over gRPC and HTTP.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use stockgate::proto::{
    carrier_service_client::CarrierServiceClient, channel_service_client::ChannelServiceClient,
    inventory_service_client::InventoryServiceClient, stock_service_client::StockServiceClient,
};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use crate::gateway_redis::Redis;

/// How long anything may take that should come at once. Only a broken gateway needs it.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// No test call waits longer, whatever the gateway does.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// As many lines of a gateway's log as a failed test shows.
const LOG_LINES_SHOWN: usize = 40;

/// Waits until there is something, and returns it.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await; // why: between two looks at a condition
    }
}

/// Whether a process runs.
pub(crate) fn is_alive(pid: u32) -> bool {
    // A dead one whose parent has not looked yet is a zombie.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Sends a signal to a process by its id.
pub(crate) fn signal(pid: u32, which: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), which).unwrap();
}

/// The settings of one shop, and the directory its gateways run in.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) directory: Arc<tempfile::TempDir>,
    pub(crate) namespace: String,
    settings: Vec<String>,
    channels: String,
}

impl Setup {
    /// A shop of its own on a Redis that others may use too.
    pub(crate) fn on(redis: &Redis) -> Self {
        Self::at(&redis.url())
    }

    /// The same with one partition, also on a cluster: for tests that look at its keys, or at what holds within a partition.
    pub(crate) fn on_one_partition(redis: &Redis) -> Self {
        Self::on(redis).set("redis.partitions = 1")
    }

    /// The same, by its address.
    pub(crate) fn at(url: &str) -> Self {
        let setup = Self::embedded();
        let namespace = setup.namespace.clone();
        setup.set(&format!("redis.url = {url:?}")).set(&format!("redis.namespace = {namespace:?}"))
    }

    /// A shop on the Redis the gateway starts itself.
    pub(crate) fn embedded() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        Self {
            directory: Arc::new(tempfile::Builder::new().prefix("stockgate-e2e-").tempdir().unwrap()),
            namespace: format!("e2e{}", MADE.fetch_add(1, Ordering::Relaxed)),
            settings: Vec::new(),
            channels: String::new(),
        }
        .set(r#"log.format = "json""#)
        .set("grpc.threads = 1")
    }

    /// The same shop with the same settings, and no channels yet.
    pub(crate) fn without_channels(&self) -> Self {
        let directory = Arc::new(tempfile::Builder::new().prefix("stockgate-e2e-").tempdir().unwrap());
        let (namespace, settings) = (self.namespace.clone(), self.settings.clone());
        Self { directory, namespace, settings, channels: String::new() }
    }

    /// Adds a setting, or changes it: `section.name = value`.
    pub(crate) fn set(mut self, line: &str) -> Self {
        let name = |line: &str| line.split('=').next().map(|name| name.trim().to_owned());
        self.settings.retain(|other| name(other) != name(line));
        self.settings.push(line.to_owned());
        self
    }

    /// Adds a webhook channel, with more settings of its own.
    pub(crate) fn channel(mut self, id: &str, url: &str, secret: &str, more: &str) -> Self {
        write!(
            self.channels,
            "\n[[channels]]\nid = {id:?}\nkind = \"webhook\"\nurl = {url:?}\nsecret = {secret:?}\n{more}\n"
        )
        .unwrap();
        self
    }

    /// Adds a source of carriers' prices, with all its settings.
    pub(crate) fn source(mut self, settings: &str) -> Self {
        write!(self.channels, "\n[[carriers.sources]]\n{settings}\n").unwrap();
        self
    }

    /// Writes the settings file.
    pub(crate) fn file(&self) -> PathBuf {
        let path = self.directory.path().join("settings.toml");
        let settings = self.settings.join("\n");
        std::fs::write(&path, format!("{settings}\n{}", self.channels)).unwrap();
        path
    }

    /// The binary in the shop's directory; nothing of this process's environment gets in.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stockgate"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    /// Starts a gateway and waits until it is up.
    pub(crate) async fn serve(&self) -> Gateway {
        self.serve_at("all", "127.0.0.1:0").await
    }

    /// Starts one that does only a part.
    pub(crate) async fn serve_as(&self, role: &str) -> Gateway {
        self.serve_at(role, "127.0.0.1:0").await
    }

    /// Starts one at an address.
    pub(crate) async fn serve_at(&self, role: &str, grpc_listen: &str) -> Gateway {
        let mut command = self.command();
        command.args(["serve", "--role", role, "--config"]).arg(self.file());
        command.env("STOCKGATE_GRPC_LISTEN", grpc_listen).env("STOCKGATE_HTTP_LISTEN", "127.0.0.1:0");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (log, lines) = (Arc::<Mutex<Vec<String>>>::default(), child.stderr.take().unwrap());
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines() {
                written.lock().unwrap().push(line.unwrap());
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let transport = Endpoint::from_static("http://127.0.0.1:0").connect_lazy();
        let _directory = Arc::clone(&self.directory);
        let mut gateway = Gateway { child, log, grpc: nowhere, http: nowhere, transport, _directory };
        let up = gateway.logged("stockgate is up").await;
        // A worker has none.
        gateway.grpc = up["grpc_address"].as_str().map_or(nowhere, |address| address.parse().unwrap());
        gateway.http = up["http_address"].as_str().unwrap().parse().unwrap();
        gateway.transport = transport_to(gateway.grpc);
        gateway
    }

    /// Starts a gateway that must not come up; returns its exit code and what it said.
    pub(crate) async fn refusal(&self) -> (Option<i32>, String) {
        let mut command = self.command();
        command.args(["serve", "--config"]).arg(self.file());
        command.env("STOCKGATE_GRPC_LISTEN", "127.0.0.1:0").env("STOCKGATE_HTTP_LISTEN", "127.0.0.1:0");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

/// A lazy connection whose calls all end.
pub(crate) fn transport_to(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.timeout(CALL_TIMEOUT).tcp_nodelay(true).connect_lazy()
}

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// Its data stay as long as it does, whatever becomes of the settings.
    _directory: Arc<tempfile::TempDir>,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) transport: Channel,
}

impl Gateway {
    pub(crate) fn stock(&self) -> StockServiceClient<Channel> {
        StockServiceClient::new(self.transport.clone())
    }

    pub(crate) fn inventory(&self) -> InventoryServiceClient<Channel> {
        InventoryServiceClient::new(self.transport.clone())
    }

    pub(crate) fn channels(&self) -> ChannelServiceClient<Channel> {
        ChannelServiceClient::new(self.transport.clone())
    }

    pub(crate) fn carriers(&self) -> CarrierServiceClient<Channel> {
        CarrierServiceClient::new(self.transport.clone())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of the log with this message, and returns it.
    pub(crate) async fn logged(&mut self, message: &str) -> serde_json::Value {
        eventually(message, SOON, async || {
            if let Some(ended) = self.child.try_wait().unwrap() {
                panic!("the gateway ended, {ended}, before it said {message:?}");
            }
            self.said(message)
        })
        .await
    }

    /// The first line of the log with this message, if there is one: also of a gateway that has ended.
    pub(crate) fn said(&self, message: &str) -> Option<serde_json::Value> {
        let lines = self.log.lock().unwrap();
        let mut parsed = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
        parsed.find(|line: &serde_json::Value| line["message"] == message)
    }

    /// How many lines of the log have this message.
    pub(crate) fn log_count(&self, message: &str) -> usize {
        let quoted = format!("\"message\":{message:?}");
        self.log.lock().unwrap().iter().filter(|line| line.contains(&quoted)).count()
    }

    /// The process id of the Redis it started last.
    pub(crate) fn redis_pid(&self) -> u32 {
        let lines = self.log.lock().unwrap();
        let parsed = lines.iter().rev().filter_map(|line| serde_json::from_str(line).ok());
        let is_up = |line: &serde_json::Value| {
            line["message"] == "embedded redis is up" || line["message"] == "embedded redis is back"
        };
        let pid = parsed.into_iter().find(is_up).expect("it runs on its own redis")["pid"].as_u64();
        u32::try_from(pid.unwrap()).unwrap()
    }

    /// Asks for a page; answers the status and the body.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let (address, request) =
            (self.http, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
        let read = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let answer = tokio::task::spawn_blocking(read).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Waits until it is ready, or not.
    pub(crate) async fn readiness(&self, status: u16) -> String {
        eventually(&format!("/readyz is {status}"), SOON, async || {
            let (now, body) = self.page("/readyz").await;
            (now == status).then_some(body)
        })
        .await
    }

    /// Kills it, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        signal(self.pid(), Signal::SIGTERM);
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        eventually("the gateway ends", SOON, async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.log.lock().unwrap();
            let shown = lines.len().saturating_sub(LOG_LINES_SHOWN);
            eprintln!("the end of the log of gateway {}:\n{}", self.child.id(), lines[shown..].join("\n"));
        }
    }
}
