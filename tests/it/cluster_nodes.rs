//! A cluster of three masters and three replicas, started by a test and gone when its process is gone, however it ends.

use std::{
    collections::HashMap,
    fmt::Write as _,
    path::Path,
    sync::{Mutex, OnceLock},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use redis::{AsyncConnectionConfig, Client, InfoDict, aio::MultiplexedConnection};

use crate::{
    cluster_proxy::Proxies,
    gateway::eventually,
    guarded::{Guarded, Said, WITHIN, own_address, own_directory, own_ports, read_pid},
};

/// Masters at first; node n + MASTERS is the replica of node n.
pub(crate) const MASTERS: usize = 3;
pub(crate) const NODES: usize = 2 * MASTERS;
/// Hash slots of a cluster.
const SLOTS: usize = 16_384;
/// After how long without an answer a node is dead to the others. The first two seconds after a start they wait anyway.
const DEAD_AFTER_MS: u32 = 1500;

/// Starts all nodes and says their process ids; starts one again for every line that names it. When the pipe from this
/// process closes, all of them and their files go.
const GUARD: &str = r#"
cd "$1" || exit
start() {
    redis-server "node-$1.conf" </dev/null >>"node-$1.log" 2>&1 &
    pids="$pids $!"
    echo "$!"
}
pids=
for node in 0 1 2 3 4 5; do start "$node"; done
# A shell says so when a job of its own is killed; here that is no news.
exec 2>/dev/null
while read -r node; do start "$node"; done
kill -9 $pids
wait
rm -rf "$1"
"#;

/// Settings of all nodes.
#[derive(Default)]
pub(crate) struct Extras {
    /// Lines for all of them.
    pub(crate) lines: String,
    /// After how long without an answer a node is dead to the others, in ms. None: soon.
    pub(crate) dead_after_ms: Option<u32>,
    /// Whether each stands behind a proxy, which is the only address it tells anybody.
    pub(crate) has_proxies: bool,
}

impl Extras {
    /// Nobody is ever found dead, however busy the machine is.
    pub(crate) fn patient() -> Self {
        Self { dead_after_ms: Some(60_000), ..Self::default() }
    }
}

/// The six of them, with a directory in which each has its own.
pub(crate) struct Cluster {
    address: String,
    first_port: u16,
    proxies: Option<Proxies>,
    guarded: Guarded,
    said: Said,
    pids: Vec<Pid>,
    connections: Mutex<HashMap<usize, MultiplexedConnection>>,
}

impl Cluster {
    /// Starts it and waits until it serves every slot and every replica follows its master.
    pub(crate) async fn start() -> Self {
        Self::start_with(Extras::default()).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(extras: Extras) -> Self {
        let directory = own_directory("stockgate-cluster-");
        let first_port = own_ports(u16::try_from(2 * NODES).unwrap());
        let address = own_address();
        let proxies = match extras.has_proxies {
            true => Some(Proxies::start((0..NODES).map(|node| host_of(&address, first_port, node))).await),
            false => None,
        };
        let layout = Layout { address: &address, first_port, proxies: proxies.as_ref() };
        (0..NODES).for_each(|node| layout.write(&directory, node, &extras));
        let (guarded, mut said) = Guarded::start(directory, GUARD, &[]);
        let pids = (0..NODES).map(|_| read_pid(&mut said)).collect();
        let connections = Mutex::default();
        let cluster = Self { address, first_port, proxies, guarded, said, pids, connections };
        for node in 0..NODES {
            cluster.serves(node).await;
        }
        cluster
    }

    /// The one that stands for the Redis all tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // An empty read that blocks ends at a tick.
            let extras = Extras { lines: "hz 500".to_owned(), ..Extras::patient() };
            std::thread::spawn(move || {
                let cluster = runtime().block_on(Self::start_with(extras));
                // They belong to the runtime that ends here.
                cluster.connections.lock().unwrap().clear();
                cluster
            })
            .join()
            .unwrap()
        })
    }

    /// Where it is, for gateways: one node of each pair is named.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = (0..MASTERS).map(|node| self.told_host(node)).collect();
        format!("redis+cluster://{}/0", hosts.join(","))
    }

    /// The proxies all of it stands behind.
    pub(crate) fn proxies(&self) -> &Proxies {
        self.proxies.as_ref().expect("it was started with proxies")
    }

    /// Where a node listens.
    fn host(&self, node: usize) -> String {
        host_of(&self.address, self.first_port, node)
    }

    /// Where a node says it listens.
    fn told_host(&self, node: usize) -> String {
        match &self.proxies {
            Some(proxies) => format!("{}:{}", self.address, proxies.port(node)),
            None => self.host(node),
        }
    }

    /// Which node says it listens there.
    pub(crate) fn node_at(&self, told_host: &str) -> usize {
        (0..NODES).find(|node| self.told_host(*node) == told_host).expect("it is a node of this cluster")
    }

    /// A connection of the test's own to a node, past its proxy; it waits half a second for an answer.
    pub(crate) async fn connection(&self, node: usize) -> Option<MultiplexedConnection> {
        let client = Client::open(format!("redis://{}", self.host(node))).unwrap();
        client.get_multiplexed_async_connection().await.ok()
    }

    /// The same, for commands that may take their time.
    pub(crate) async fn patient_connection(&self, node: usize) -> Option<MultiplexedConnection> {
        let client = Client::open(format!("redis://{}", self.host(node))).unwrap();
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(WITHIN));
        client.get_multiplexed_async_connection_with_config(&config).await.ok()
    }

    /// Asks a node; None when it gives no good answer.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, node: usize, command: &redis::Cmd) -> Option<T> {
        let kept = self.connections.lock().unwrap().get(&node).cloned();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connection(node).await?,
        };
        let answer = command.query_async(&mut connection).await;
        let mut connections = self.connections.lock().unwrap();
        match &answer {
            Ok(_) => drop(connections.insert(node, connection)),
            Err(_) => drop(connections.remove(&node)),
        }
        answer.ok()
    }

    /// Asks a node for what it must answer.
    pub(crate) async fn tell<T: redis::FromRedisValue>(&self, node: usize, words: &[&str]) -> T {
        let mut connection = self.connection(node).await.unwrap();
        let answer = command(words).query_async(&mut connection).await;
        answer.unwrap_or_else(|fault| panic!("{words:?} at node {node}: {fault}"))
    }

    /// Waits until a node serves, and follows its master when it is a replica.
    async fn serves(&self, node: usize) {
        eventually("a node of the cluster serves", WITHIN, async || {
            let about: String = self.ask(node, &command(&["CLUSTER", "INFO"])).await?;
            let replication: InfoDict = self.ask(node, &command(&["INFO", "replication"])).await?;
            let link: Option<String> = replication.get("master_link_status");
            let is_linked = link.is_none_or(|status| status == "up");
            let knows_all = about.contains(&format!("cluster_known_nodes:{NODES}"));
            (about.contains("cluster_state:ok") && knows_all && is_linked).then_some(())
        })
        .await;
    }

    /// The slot of a key.
    pub(crate) async fn slot_of(&self, key: &str) -> u16 {
        self.slot_of_but(NODES, key).await
    }

    /// The slot of a key, without asking a node.
    async fn slot_of_but(&self, silent: usize, key: &str) -> u16 {
        let asked = command(&["CLUSTER", "KEYSLOT", key]);
        for node in (0..NODES).filter(|node| *node != silent) {
            if let Some(slot) = self.ask(node, &asked).await {
                return slot;
            }
        }
        panic!("no node answers");
    }

    /// The master of a slot, as one node sees it.
    async fn master_seen_by(&self, node: usize, slot: u16) -> Option<usize> {
        let text: String = self.ask(node, &command(&["CLUSTER", "NODES"])).await?;
        text.lines().find_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let is_master = words[2].split(',').any(|flag| flag == "master");
            let has_slot = words[8..].iter().any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let bound = |text: &str| text.parse::<u16>().ok();
                bound(first).is_some_and(|first| first <= slot)
                    && bound(last).is_some_and(|last| slot <= last)
            });
            let index = || usize::from_str_radix(words[0], 16).unwrap() - 1;
            (is_master && has_slot).then(index)
        })
    }

    /// Which node is the master of a key, as the first that answers sees it.
    pub(crate) async fn master_of(&self, key: &str) -> usize {
        let slot = self.slot_of(key).await;
        for node in 0..NODES {
            if let Some(master) = self.master_seen_by(node, slot).await {
                return master;
            }
        }
        panic!("nobody has slot {slot}");
    }

    /// Waits until all nodes that answer name another master of a key than this one; returns it.
    pub(crate) async fn successor_of(&self, old: usize, key: &str) -> usize {
        // The old one may be frozen, and would not answer.
        let slot = self.slot_of_but(old, key).await;
        eventually("the cluster made a replica the master", WITHIN, async || {
            let mut named = Vec::new();
            for node in (0..NODES).filter(|node| *node != old) {
                named.extend(self.master_seen_by(node, slot).await);
            }
            named.dedup();
            (named.len() == 1 && named[0] != old).then(|| named[0])
        })
        .await
    }

    /// The replicas of a master that follow it now.
    async fn replicas_of(&self, master: usize) -> i64 {
        let info: InfoDict = self.ask(master, &command(&["INFO", "replication"])).await.unwrap();
        info.get("connected_slaves").unwrap()
    }

    /// Waits until what a master was told is with its replica.
    pub(crate) async fn replicate(&self, master: usize) {
        let mut connection = self.connection(master).await.unwrap();
        eventually("the replica has everything", WITHIN, async || {
            let have: i64 = command(&["WAIT", "1", "100"]).query_async(&mut connection).await.ok()?;
            (have >= 1).then_some(())
        })
        .await;
    }

    /// Freezes the replica of one of the first masters and takes its connection away: nothing more gets to it.
    pub(crate) async fn cut_off(&self, master: usize) {
        self.signal(master + MASTERS, Signal::SIGSTOP);
        let killed: i64 = self.tell(master, &["CLIENT", "KILL", "TYPE", "replica"]).await;
        assert_eq!(killed, 1);
        assert_eq!(self.replicas_of(master).await, 0);
    }

    /// Sends a signal to a node: SIGKILL kills it, SIGSTOP freezes it with all connections open, SIGCONT thaws it.
    pub(crate) fn signal(&self, node: usize, which: Signal) {
        kill(self.pids[node], which).unwrap();
    }

    /// Kills a node, as a crash does, and waits until nobody listens there.
    pub(crate) async fn kill(&self, node: usize) {
        self.signal(node, Signal::SIGKILL);
        let host = self.host(node);
        eventually("a node is gone", WITHIN, async || {
            tokio::net::TcpStream::connect(&host).await.is_err().then_some(())
        })
        .await;
    }

    /// Starts a killed node again, and does not wait for it.
    pub(crate) fn raise(&mut self, node: usize) {
        self.guarded.order(&node.to_string());
        self.pids[node] = read_pid(&mut self.said);
    }

    /// Where a node listens, as MIGRATE takes it.
    pub(crate) fn place(&self, node: usize) -> (String, String) {
        (self.address.clone(), (self.first_port + u16::try_from(node).unwrap()).to_string())
    }
}

/// The name of a node in the cluster.
pub(crate) fn id_of(node: usize) -> String {
    format!("{:040x}", node + 1)
}

/// One command of plain words.
pub(crate) fn command(words: &[&str]) -> redis::Cmd {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command
}

fn host_of(address: &str, first_port: u16, node: usize) -> String {
    format!("{address}:{}", first_port + u16::try_from(node).unwrap())
}

/// Who listens where. The nodes are told all of it before they start, so that nobody has to be introduced.
struct Layout<'a> {
    address: &'a str,
    first_port: u16,
    proxies: Option<&'a Proxies>,
}

impl Layout<'_> {
    fn port(&self, node: usize) -> u16 {
        self.first_port + u16::try_from(node).unwrap()
    }

    fn bus_port(&self, node: usize) -> u16 {
        self.port(node + NODES)
    }

    fn told_port(&self, node: usize) -> u16 {
        self.proxies.map_or_else(|| self.port(node), |proxies| proxies.port(node))
    }

    fn write(&self, directory: &Path, node: usize, extras: &Extras) {
        let (address, home) = (self.address, directory.join(node.to_string()));
        std::fs::create_dir(&home).unwrap();
        let settings = format!(
            "bind {address}\nport {port}\nprotected-mode no\ndir {home}\nsave \"\"\nappendonly no\n\
             repl-diskless-sync-delay 0\ncluster-enabled yes\ncluster-config-file nodes.conf\n\
             cluster-port {bus_port}\ncluster-announce-ip {address}\ncluster-announce-port {told_port}\n\
             cluster-announce-bus-port {bus_port}\ncluster-node-timeout {dead_after_ms}\n\
             cluster-replica-validity-factor 0\n{lines}\n",
            port = self.port(node),
            bus_port = self.bus_port(node),
            told_port = self.told_port(node),
            home = home.display(),
            dead_after_ms = extras.dead_after_ms.unwrap_or(DEAD_AFTER_MS),
            lines = extras.lines,
        );
        std::fs::write(directory.join(format!("node-{node}.conf")), settings).unwrap();
        let mut view = String::new();
        for other in 0..NODES {
            let me = if other == node { "myself," } else { "" };
            let place = format!("{address}:{}@{}", self.told_port(other), self.bus_port(other));
            let part = match other.checked_sub(MASTERS) {
                None => {
                    let (first, end) = (other * SLOTS / MASTERS, (other + 1) * SLOTS / MASTERS);
                    format!("{me}master - 0 0 {} connected {first}-{}", other + 1, end - 1)
                }
                Some(master) => format!("{me}slave {} 0 0 {} connected", id_of(master), master + 1),
            };
            writeln!(view, "{} {place} {part}", id_of(other)).unwrap();
        }
        writeln!(view, "vars currentEpoch {MASTERS} lastVoteEpoch 0").unwrap();
        std::fs::write(home.join("nodes.conf"), view).unwrap();
    }
}
