//! A master, two replicas and three sentinels, started by a test and gone when its process is gone, however it ends.

use std::{fmt::Write as _, path::Path, sync::OnceLock};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use redis::{Client, InfoDict, aio::MultiplexedConnection};

use crate::{
    gateway::eventually,
    guarded::{Guarded, Said, WITHIN, own_address, own_directory, own_ports, read_pid},
};

/// What the sentinels call the master.
pub(crate) const MASTER: &str = "shop";
/// Servers, and as many sentinels.
const SERVERS: usize = 3;
/// The numbers of the sentinels.
pub(crate) const SENTINELS: std::ops::Range<usize> = SERVERS..2 * SERVERS;
/// After how long without an answer a server is dead to the sentinels.
const DOWN_AFTER_MS: u32 = 1000;

/// Starts the servers, and the sentinels when it is told to; says their process ids. When the pipe from this process closes,
/// all of them and their files go.
const GUARD: &str = r#"
cd "$1" || exit
start() {
    redis-server "$1.conf" $2 </dev/null >"$1.log" 2>&1 &
    pids="$pids $!"
    echo "$!"
}
pids=
for name in server-0 server-1 server-2; do start "$name"; done
# A shell says so when a job of its own is killed; here that is no news.
exec 2>/dev/null
if read -r _; then
    for name in sentinel-0 sentinel-1 sentinel-2; do start "$name" --sentinel; done
    read -r _
fi
kill -9 $pids
wait
rm -rf "$1"
"#;

/// Settings of all six.
#[derive(Default)]
pub(crate) struct Extras {
    /// Lines for the servers.
    pub(crate) servers: String,
    /// Lines for servers and sentinels, without the ports they listen on.
    pub(crate) tls: Option<String>,
    /// What the sentinels ask everybody for, each other too.
    pub(crate) sentinel_password: Option<&'static str>,
    /// After how long without an answer a sentinel takes a server for dead. None: soon.
    pub(crate) down_after_ms: Option<u32>,
}

/// The six of them; the first server begins as the master.
pub(crate) struct Trio {
    address: String,
    first_port: u16,
    is_tls: bool,
    sentinel_password: Option<&'static str>,
    guarded: Guarded,
    pids: Vec<Pid>,
}

impl Trio {
    /// Starts them and waits until every sentinel knows all others.
    pub(crate) async fn start() -> Self {
        Self::start_with(Extras::default()).await
    }

    /// The same with more settings. With TLS none of them listens without.
    pub(crate) async fn start_with(extras: Extras) -> Self {
        let directory = own_directory("stockgate-trio-");
        let first_port = own_ports(u16::try_from(2 * SERVERS).unwrap());
        let address = own_address();
        write_settings(&directory, &address, first_port, &extras);
        let (guarded, mut said) = Guarded::start(directory, GUARD, &[]);
        let pids = read_pids(&mut said);
        let is_tls = extras.tls.is_some();
        let sentinel_password = extras.sentinel_password;
        let mut trio = Self { address, first_port, is_tls, sentinel_password, guarded, pids };
        if is_tls {
            // Nobody but those with a certificate may look.
            trio.guarded.order("sentinels");
            trio.pids.extend(read_pids(&mut said));
            for index in 0..2 * SERVERS {
                let listens = async || std::net::TcpStream::connect(trio.host(index)).ok();
                eventually("all six listen", WITHIN, listens).await;
            }
            return trio;
        }
        eventually("both replicas follow the master", WITHIN, async || {
            let info = trio.info(0).await?;
            let is_online = |index| {
                let replica: Option<String> = info.get(&format!("slave{index}"));
                replica.is_some_and(|replica| replica.contains("state=online"))
            };
            (is_online(0) && is_online(1)).then_some(())
        })
        .await;
        // Only now: a sentinel that finds no replica at first does not look again for ten seconds.
        trio.guarded.order("sentinels");
        trio.pids.extend(read_pids(&mut said));
        for sentinel in SENTINELS {
            eventually("a sentinel knows all others", WITHIN, async || {
                let about = trio.about_master(sentinel).await?;
                let count = |name: &str| about.get(name).map(String::as_str);
                (count("num-slaves") == Some("2") && count("num-other-sentinels") == Some("2")).then_some(())
            })
            .await;
        }
        trio
    }

    /// The one that stands for the Redis all tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Trio> = OnceLock::new();
        SHARED.get_or_init(|| {
            let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // An empty read that blocks ends at a tick. Nobody is to be found dead by a busy machine.
            let servers = "hz 500".to_owned();
            let extras = Extras { servers, down_after_ms: Some(60_000), ..Extras::default() };
            std::thread::spawn(move || runtime().block_on(Self::start_with(extras))).join().unwrap()
        })
    }

    /// Where the sentinels are, for gateways; `login` is empty or ends in `@`.
    pub(crate) fn url(&self, login: &str) -> String {
        let hosts: Vec<String> = SENTINELS.map(|index| self.host(index)).collect();
        let tls = if self.is_tls { "s" } else { "" };
        format!("redis{tls}+sentinel://{login}{}/{MASTER}/0", hosts.join(","))
    }

    fn host(&self, index: usize) -> String {
        format!("{}:{}", self.address, self.first_port + u16::try_from(index).unwrap())
    }

    /// A connection of the test's own to one of them.
    pub(crate) async fn connection(&self, index: usize) -> Option<MultiplexedConnection> {
        let login = match self.sentinel_password {
            Some(password) if SENTINELS.contains(&index) => format!(":{password}@"),
            _ => String::new(),
        };
        let client = Client::open(format!("redis://{login}{}", self.host(index))).unwrap();
        client.get_multiplexed_async_connection().await.ok()
    }

    async fn info(&self, server: usize) -> Option<InfoDict> {
        redis::cmd("INFO").arg("replication").query_async(&mut self.connection(server).await?).await.ok()
    }

    async fn about_master(&self, sentinel: usize) -> Option<std::collections::HashMap<String, String>> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("MASTER").arg(MASTER);
        command.query_async(&mut self.connection(sentinel).await?).await.ok()
    }

    /// Makes a server the replica of another, and waits until it has all of that one.
    pub(crate) async fn demote(&self, server: usize, master: usize) {
        let port = self.first_port + u16::try_from(master).unwrap();
        let mut command = redis::cmd("REPLICAOF");
        command.arg(&self.address).arg(port);
        command.query_async::<()>(&mut self.connection(server).await.unwrap()).await.unwrap();
        eventually("the old master follows the new one", WITHIN, async || {
            let status: String = self.info(server).await?.get("master_link_status")?;
            (status == "up").then_some(())
        })
        .await;
    }

    /// Freezes both replicas and takes their connections away: nothing more gets to them, whatever becomes of the master.
    pub(crate) async fn cut_off(&self, master: usize) {
        let mut connection = self.connection(master).await.unwrap();
        for replica in (0..SERVERS).filter(|server| *server != master) {
            self.signal(replica, Signal::SIGSTOP);
        }
        let mut command = redis::cmd("CLIENT");
        command.arg("KILL").arg("TYPE").arg("replica");
        let killed: i64 = command.query_async(&mut connection).await.unwrap();
        assert_eq!(killed, 2);
    }

    /// Waits until a sentinel names another master than this one, and returns it.
    pub(crate) async fn successor_of(&self, server: usize) -> usize {
        eventually("the sentinels made another server the master", WITHIN, async || {
            let about = self.about_master(SENTINELS.start).await?;
            let port: u16 = about.get("port")?.parse().ok()?;
            Some(usize::from(port - self.first_port)).filter(|master| *master != server)
        })
        .await
    }

    /// Waits until what the master was told is with both replicas.
    pub(crate) async fn replicate(&self, master: usize) {
        let mut connection = self.connection(master).await.unwrap();
        eventually("both replicas have everything", WITHIN, async || {
            let have: i64 = redis::cmd("WAIT").arg(2).arg(100).query_async(&mut connection).await.ok()?;
            (have == 2).then_some(())
        })
        .await;
    }

    /// Sends a signal to one of them: SIGKILL kills it, SIGSTOP freezes it with all connections open, SIGCONT thaws it.
    pub(crate) fn signal(&self, index: usize, which: Signal) {
        kill(self.pids[index], which).unwrap();
    }
}

fn write_settings(directory: &Path, address: &str, first_port: u16, extras: &Extras) {
    let listen = |port: u16| match &extras.tls {
        None => format!("bind {address}\nport {port}\nprotected-mode no\n"),
        Some(tls) => format!("bind {address}\nport 0\ntls-port {port}\nprotected-mode no\n{tls}\n"),
    };
    for index in 0..2 * u16::try_from(SERVERS).unwrap() {
        let mut text = listen(first_port + index);
        let name = if usize::from(index) < SERVERS {
            write!(
                text,
                "dir {}\nsave \"\"\ndbfilename server-{index}.rdb\nreplica-announce-ip {address}\n\
                 repl-diskless-sync-delay 0\n{}\n",
                directory.display(),
                extras.servers
            )
            .unwrap();
            if index > 0 {
                writeln!(text, "replicaof {address} {first_port}").unwrap();
            }
            format!("server-{index}")
        } else {
            let down_after_ms = extras.down_after_ms.unwrap_or(DOWN_AFTER_MS);
            if let Some(password) = extras.sentinel_password {
                writeln!(text, "requirepass {password}\nsentinel sentinel-pass {password}").unwrap();
            }
            write!(
                text,
                "dir {}\nsentinel announce-ip {address}\nsentinel monitor {MASTER} {address} {first_port} 2\n\
                 sentinel down-after-milliseconds {MASTER} {down_after_ms}\nsentinel failover-timeout {MASTER} 5000\n\
                 sentinel parallel-syncs {MASTER} 2\n",
                directory.display()
            )
            .unwrap();
            format!("sentinel-{}", usize::from(index) - SERVERS)
        };
        std::fs::write(directory.join(format!("{name}.conf")), text).unwrap();
    }
}

fn read_pids(said: &mut Said) -> Vec<Pid> {
    (0..SERVERS).map(|_| read_pid(said)).collect()
}
