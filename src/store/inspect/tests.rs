//! Against redis-server processes with all kinds of settings, each its own on a private socket.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use redis::Value;
use tempfile::TempDir;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    process: Child,
    dir: TempDir,
}

impl Server {
    async fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let process = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket"])
            .arg(dir.path().join("s"))
            .arg("--dir")
            .arg(dir.path())
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let server = Self { process, dir };
        let deadline = Instant::now() + PATIENCE;
        // The file is there before anybody listens on it.
        while std::os::unix::net::UnixStream::connect(server.dir.path().join("s")).is_err() {
            assert!(Instant::now() < deadline, "no socket: {arguments:?}");
            tokio::time::sleep(Duration::from_millis(10)).await; // why: looks again for a condition, up to a deadline
        }
        server
    }

    async fn connect(&self, login: &str) -> MultiplexedConnection {
        let url = format!("redis+unix://{}{login}", self.dir.path().join("s").display());
        let deadlines = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let client = redis::Client::open(url).expect("a legal url");
        client.get_multiplexed_async_connection_with_config(&deadlines).await.expect("connects")
    }

    /// Runs a command line as the default user.
    async fn run(&self, line: &str) {
        let mut command = redis::Cmd::new();
        command.arg(line.split(' ').collect::<Vec<_>>());
        let answer: Result<Value, RedisError> = command.query_async(&mut self.connect("").await).await;
        answer.expect(line);
    }

    async fn inspect(&self) -> Result<Inspection, InspectError> {
        inspect(&mut self.connect("").await, "sg", false).await
    }

    /// As a user with these rights.
    async fn inspect_as(&self, rights: &str) -> Result<Inspection, InspectError> {
        self.run(&format!("ACL SETUSER clerk reset on >secret {rights}")).await;
        inspect(&mut self.connect("?user=clerk&pass=secret").await, "sg", false).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().expect("is killed");
        self.process.wait().expect("is collected");
    }
}

const SAFE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
const ALL_BUT_LOOKING: &str = "~sg:* +@read +@write +evalsha +eval +script|load +time +@connection";

/// A TCP port, where Redis insists on one: replication and cluster do not run over Unix sockets.
fn free_port() -> String {
    let borrowed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    borrowed.expect("a port").port().to_string()
}

async fn warnings(arguments: &[&str]) -> Vec<String> {
    let server = Server::start(arguments).await;
    server.inspect().await.unwrap_or_else(|error| panic!("{arguments:?}: {error}")).warnings
}

#[tokio::test]
async fn safe_redis_gives_no_warning_and_is_left_as_it_was() {
    let server = Server::start(&SAFE).await;
    let inspection = server.inspect().await.expect("is fit");
    assert_eq!(inspection.warnings, [""; 0]);
    assert_eq!(inspection.notes, [""; 0]);
    assert_eq!(is_served(&inspection.version), Some(true));
    let keys: u64 = redis::cmd("DBSIZE").query_async(&mut server.connect("").await).await.expect("answers");
    assert_eq!(keys, 0);
}

#[tokio::test]
async fn weak_persistence_warns_with_the_line_to_set() {
    let rows: [(&[&str], &str); 3] = [
        (&["--save", ""], "CONFIG SET appendonly yes"),
        (&["--save", "60 1"], "since its last snapshot"),
        (&["--appendonly", "yes", "--appendfsync", "no"], "CONFIG SET appendfsync everysec"),
    ];
    for (arguments, expected) in rows {
        let warnings = warnings(arguments).await;
        assert!(matches!(&warnings[..], [only] if only.contains(expected)), "{arguments:?}: {warnings:?}");
    }
    let server = Server::start(&["--appendonly", "yes"]).await;
    let inspection = server.inspect().await.expect("is fit");
    assert_eq!(inspection.warnings, [""; 0]);
    assert!(inspection.notes[0].contains("appendfsync everysec"), "{:?}", inspection.notes);
}

#[tokio::test]
async fn eviction_is_refused_with_a_limit_and_warned_of_without() {
    for policy in ["allkeys-lru", "volatile-ttl", "allkeys-random", "volatile-lfu"] {
        let server = Server::start(&["--maxmemory", "100mb", "--maxmemory-policy", policy]).await;
        let error = server.inspect().await.expect_err(policy);
        assert!(matches!(&error, InspectError::Evicts { policy: found } if found == policy), "{error}");
        assert!(error.to_string().contains("CONFIG SET maxmemory-policy noeviction"), "{error}");
        server.run("CONFIG SET maxmemory-policy noeviction").await;
        server.inspect().await.expect("the line in the error mends it");
    }
    let unlimited = warnings(&["--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"]).await;
    assert!(matches!(&unlimited[..], [only] if only.contains("noeviction")), "{unlimited:?}");
}

#[tokio::test]
async fn replica_is_refused() {
    let server = Server::start(&["--replicaof", "127.0.0.1 1"]).await;
    let error = server.inspect().await.expect_err("takes no writes");
    assert!(matches!(&error, InspectError::Replica { master } if master == "127.0.0.1:1"), "{error}");
    let error = server.inspect_as(ALL_BUT_LOOKING).await.expect_err("HELLO tells it too");
    assert!(matches!(error, InspectError::Replica { .. }), "{error}");
}

#[tokio::test]
async fn cluster_is_refused() {
    let (port, bus) = (free_port(), free_port());
    let server = Server::start(&["--cluster-enabled", "yes", "--port", &port, "--cluster-port", &bus]).await;
    let error = server.inspect().await.expect_err("is a cluster");
    assert!(matches!(error, InspectError::Cluster), "{error}");
}

#[tokio::test]
async fn replicas_without_a_minimum_warn() {
    let port = free_port();
    let master = Server::start(&["--appendonly", "yes", "--port", &port]).await;
    let _replica = Server::start(&["--replicaof", &format!("127.0.0.1 {port}")]).await;
    let deadline = Instant::now() + PATIENCE;
    let warnings = loop {
        let warnings = master.inspect().await.expect("is fit").warnings;
        if !warnings.is_empty() {
            break warnings;
        }
        assert!(Instant::now() < deadline, "the replica never came");
        tokio::time::sleep(Duration::from_millis(10)).await; // why: looks again for a condition, up to a deadline
    };
    assert!(matches!(&warnings[..], [only] if only.contains("min-replicas-to-write 1")), "{warnings:?}");
    master.run("CONFIG SET min-replicas-to-write 1").await;
    assert_eq!(master.inspect().await.expect("is fit").warnings, [""; 0], "the line mends it");
}

#[tokio::test]
async fn missing_right_is_named_and_the_line_in_the_error_mends_it() {
    let server = Server::start(&SAFE).await;
    let rows = [
        ("~sg:* +@all -evalsha", "EVALSHA"),
        ("~sg:* +@all -script", "SCRIPT LOAD"),
        ("~sg:* +@all -eval", "EVAL"),
        ("~sg:* +@all -client|unblock", "CLIENT UNBLOCK"),
        ("~sg:* +@all -@hash", "HMGET"),
        ("~sg:* +@all -@string", "MGET"),
        ("~sg:* +@all -set", "SET"),
        ("~sg:* +@all -@sortedset", "ZADD"),
        ("~sg:* +@all -@stream", "XADD"),
        ("~sg:* +@all -xrevrange", "XREVRANGE"),
        ("~sg:* +@all -xreadgroup", "XREADGROUP"),
        ("~other:* +@all", "EVALSHA"),
        ("%R~sg:* +@all", "EVALSHA"),
    ];
    for (rights, expected) in rows {
        let error = server.inspect_as(rights).await.expect_err(rights);
        let InspectError::NoPermission { command, grant, .. } = &error else { panic!("{rights}: {error}") };
        assert_eq!(*command, expected, "{rights}");
        assert!(grant.starts_with("ACL SETUSER clerk ~sg:* "), "{grant}");
        server.run(grant).await;
        let mended = inspect(&mut server.connect("?user=clerk&pass=secret").await, "sg", false).await;
        assert_eq!(mended.unwrap_or_else(|error| panic!("{rights}: {error}")).warnings, [""; 0], "{rights}");
    }
}

#[tokio::test]
async fn user_who_may_not_look_gets_warnings_and_no_refusal() {
    let server = Server::start(&SAFE).await;
    let no_config = server.inspect_as("~sg:* +@all -config").await.expect("is fit").warnings;
    assert!(matches!(&no_config[..], [only] if only.contains("+config|get")), "{no_config:?}");
    let blind = server.inspect_as(&format!("{ALL_BUT_LOOKING} -info -config")).await.expect("is fit");
    assert_eq!(is_served(&blind.version), Some(true));
    assert!(blind.warnings.iter().any(|warning| warning.contains("+info")), "{:?}", blind.warnings);
    assert!(
        blind.warnings.iter().any(|warning| warning.contains("maxmemory-policy")),
        "{:?}",
        blind.warnings
    );

    let evicting = Server::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let error = evicting.inspect_as("~sg:* +@all -config").await.expect_err("INFO tells the policy too");
    assert!(matches!(error, InspectError::Evicts { .. }), "{error}");
}

#[tokio::test]
async fn dead_redis_is_no_answer() {
    let mut connection = {
        let server = Server::start(&SAFE).await;
        server.connect("").await
    };
    let error = inspect(&mut connection, "sg", false).await.expect_err("is dead");
    assert!(matches!(error, InspectError::NoAnswer { command: "HELLO", .. }), "{error}");
}

#[test]
fn the_manual_has_the_line_of_the_error() {
    let line = format!("ACL SETUSER stockgate on >PASSWORD ~sg:* {}\n", permissions::RIGHTS);
    assert!(include_str!("../../../docs/redis.md").contains(&line), "{line}");
}

#[test]
fn versions() {
    for (version, served) in [("7.0.0", Some(true)), ("8.1", Some(true)), ("6.2.14", Some(false)), ("", None)]
    {
        assert_eq!(is_served(version), served, "{version}");
    }
}
