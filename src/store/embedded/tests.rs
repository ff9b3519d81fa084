//! Against the real redis-server, each test with a data directory of its own.

use std::{
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::{self, Stdio},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::time::Instant;

use super::*;

/// Generous, since many servers start at once on few cores; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(30);
/// Names the data directory to the process that plays the gateway to be killed.
const GATEWAY_DIR: &str = "STOCKGATE_TEST_GATEWAY_DIR";

fn config(dir: &TempDir) -> EmbeddedConfig {
    EmbeddedConfig {
        data_dir: dir.path().join("data dir"),
        start_timeout: PATIENCE,
        stop_timeout: PATIENCE,
        ..EmbeddedConfig::default()
    }
}

async fn connect(url: &str) -> MultiplexedConnection {
    let deadlines = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let client = redis::Client::open(url).expect("a legal url");
    client.get_multiplexed_async_connection_with_config(&deadlines).await.expect("connects")
}

async fn get(url: &str, key: &str) -> Option<u64> {
    redis::cmd("GET").arg(key).query_async(&mut connect(url).await).await.expect("answers")
}

async fn set(url: &str, key: &str, value: u64) {
    let answer = redis::cmd("SET").arg(key).arg(value).query_async(&mut connect(url).await).await;
    answer.expect("is set")
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await; // why: looks again for a condition, up to a deadline
    }
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a process id"))
}

/// Gone, or dead and waiting for an init that does not collect: its files and its socket are closed.
fn is_gone(pid: Pid) -> bool {
    let is_zombie = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|state| state.starts_with('Z')));
    is_zombie || kill(pid, None) == Err(Errno::ESRCH)
}

#[tokio::test]
async fn starts_and_answers_on_a_private_socket_with_safe_settings() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let embedded = start(config(&dir)).await.expect("starts");
    let mut connection = connect(&embedded.url()).await;
    let expected = [
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("maxmemory-policy", "noeviction"),
        ("save", ""),
        ("port", "0"),
    ];
    for (name, value) in expected {
        let answer: (String, String) =
            redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut connection).await.expect("answers");
        assert_eq!(answer, (name.to_owned(), value.to_owned()));
    }
    let info: redis::InfoDict = redis::cmd("INFO").query_async(&mut connection).await.expect("answers");
    assert_eq!(embedded.pid(), info.get("process_id"), "the pid is redis-server's own, not its guard's");
    let socket = dir.path().join("data dir/redis.sock");
    let mode = socket.metadata().expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(embedded.restarts(), 0);
    embedded.stop().await;
}

#[tokio::test]
async fn killed_redis_comes_back_with_all_it_acknowledged() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let embedded = start(EmbeddedConfig { fsync: Fsync::Always, ..config(&dir) }).await.expect("starts");
    let url = embedded.url();
    for round in 1..=2 {
        let mut connection = connect(&url).await;
        let first = embedded.pid().expect("runs");
        for _ in 0..100 {
            let _: u64 = redis::cmd("INCR").arg("sold").query_async(&mut connection).await.expect("answers");
        }
        kill(as_pid(first), Signal::SIGKILL).expect("is killed");
        eventually("a restart", || embedded.restarts() == round).await;
        assert_ne!(embedded.pid(), Some(first));
        assert_eq!(get(&url, "sold").await, Some(100 * round));
    }
    embedded.stop().await;
}

#[tokio::test]
async fn stop_leaves_no_process_and_frees_the_directory() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let embedded = start(config(&dir)).await.expect("starts");
    let pid = as_pid(embedded.pid().expect("runs"));
    set(&embedded.url(), "kept", 7).await;
    embedded.stop().await;
    assert!(is_gone(pid));
    let log = std::fs::read_to_string(dir.path().join("data dir/redis.log")).expect("is there");
    assert!(log.contains("SIGTERM"), "a shutdown in good order: {log}");

    let again = start(config(&dir)).await.expect("starts in the same directory");
    assert_eq!(get(&again.url(), "kept").await, Some(7));
    again.stop().await;
}

#[tokio::test]
async fn stop_does_not_wait_for_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let embedded = start(config(&dir)).await.expect("starts");
    let pid = embedded.pid().expect("runs");
    kill(as_pid(pid), Signal::SIGKILL).expect("is killed");
    eventually("the death is noticed", || embedded.pid() != Some(pid)).await;
    tokio::time::timeout(PATIENCE, embedded.stop()).await.expect("stops");
    home::Home::open(&config(&dir).data_dir).expect("the lock is free");
}

#[tokio::test]
async fn dropped_without_stop_redis_ends_too() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let embedded = start(config(&dir)).await.expect("starts");
    let pid = as_pid(embedded.pid().expect("runs"));
    drop(embedded);
    eventually("redis ends", || is_gone(pid)).await;
}

#[tokio::test]
async fn second_gateway_on_one_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let first = start(config(&dir)).await.expect("starts");
    let error = start(config(&dir)).await.expect_err("is refused");
    assert!(matches!(error, EmbeddedError::InUse { .. }), "{error}");
    set(&first.url(), "unharmed", 1).await;
    first.stop().await;
}

/// The test binary runs this very test in a second process, which plays the gateway and is killed.
#[tokio::test]
async fn killed_gateway_leaves_no_redis() {
    if let Some(dir) = std::env::var_os(GATEWAY_DIR) {
        let gateway = EmbeddedConfig { data_dir: dir.into(), ..EmbeddedConfig::default() };
        let _embedded = start(gateway).await.expect("starts");
        return tokio::time::sleep(2 * PATIENCE).await; // why: it is to be killed meanwhile
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data_dir = config(&dir).data_dir;
    let mut gateway = process::Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "store::embedded::tests::killed_gateway_leaves_no_redis"])
        .env(GATEWAY_DIR, &data_dir)
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("the gateway starts");
    let socket = data_dir.join("redis.sock");
    let deadline = Instant::now() + PATIENCE;
    let redis = loop {
        if let Some(pid) = socket::listener(&socket).await {
            break as_pid(pid);
        }
        assert!(Instant::now() < deadline, "redis never came up");
        tokio::time::sleep(Duration::from_millis(10)).await; // why: looks again for a condition, up to a deadline
    };
    gateway.kill().expect("is killed");
    gateway.wait().expect("is collected");
    eventually("redis ends", || is_gone(redis)).await;

    let next = start(config(&dir)).await.expect("the directory is free");
    next.stop().await;
}

#[tokio::test]
async fn redis_that_outlived_its_guard_is_taken_down_first() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data_dir = config(&dir).data_dir;
    let url = {
        let home = home::Home::open(&data_dir).expect("opens");
        home.url()
    };
    let mut leftover = process::Command::new("redis-server")
        .args(["--port", "0", "--appendonly", "yes", "--save", "", "--unixsocket"])
        .arg(data_dir.join("redis.sock"))
        .arg("--dir")
        .arg(&data_dir)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis starts");
    eventually("the socket is there", || data_dir.join("redis.sock").exists()).await;
    set(&url, "from before", 3).await;

    let embedded = start(config(&dir)).await.expect("starts");
    let status = leftover.wait().expect("is collected");
    assert!(status.success(), "shut down in good order: {status}");
    assert_ne!(embedded.pid(), Some(leftover.id()));
    assert_eq!(get(&embedded.url(), "from before").await, Some(3));
    embedded.stop().await;
}

#[tokio::test]
async fn redis_ends_with_the_pipe_even_when_its_guard_is_killed_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = config(&dir);
    let home = home::Home::open(&config.data_dir).expect("opens");
    let stop = CancellationToken::new();
    let (mut redis, pid) = raise(&home, &config, None, &stop).await.expect("starts");
    kill(redis.group(), Signal::SIGKILL).expect("the guard is killed");
    let exit = redis.exited().await;
    assert_eq!(exit.to_string(), "its guard was ended by signal 9");
    assert!(!is_gone(as_pid(pid)), "redis outlives its guard as long as the pipe holds");
    drop(redis);
    eventually("redis ends", || is_gone(as_pid(pid))).await;
}

#[tokio::test]
async fn guard_survives_a_sigterm_to_the_whole_group_until_redis_is_gone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = config(&dir);
    let home = home::Home::open(&config.data_dir).expect("opens");
    let stop = CancellationToken::new();
    let (mut redis, pid) = raise(&home, &config, None, &stop).await.expect("starts");
    killpg(redis.group(), Signal::SIGTERM).expect("all are asked to end");
    let exit = redis.exited().await;
    assert!(exit.is_clean(), "{exit}");
    assert!(is_gone(as_pid(pid)));
}

#[tokio::test]
async fn redis_that_does_not_heed_sigterm_is_killed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = EmbeddedConfig { stop_timeout: Duration::from_secs(1), ..config(&dir) };
    let embedded = start(config).await.expect("starts");
    let pid = as_pid(embedded.pid().expect("runs"));
    kill(pid, Signal::SIGSTOP).expect("is frozen");
    tokio::time::timeout(PATIENCE, embedded.stop()).await.expect("stops");
    assert!(is_gone(pid));
}

#[tokio::test]
async fn broken_files_are_told_with_the_end_of_the_log() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let aof = config(&dir).data_dir.join("appendonlydir");
    std::fs::create_dir_all(&aof).expect("is created");
    std::fs::write(aof.join("appendonly.aof.manifest"), "no manifest\n").expect("is written");
    let error = start(config(&dir)).await.expect_err("cannot start");
    assert!(
        matches!(&error, EmbeddedError::Died { log_tail, .. } if log_tail.contains("manifest")),
        "{error}"
    );
    home::Home::open(&config(&dir).data_dir).expect("the lock is free");
}

#[tokio::test]
async fn missing_program_says_how_to_get_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let missing = EmbeddedConfig { redis_server: "/nowhere/redis-server".into(), ..config(&dir) };
    let error = start(missing).await.expect_err("is not there");
    assert!(matches!(error, EmbeddedError::NotFound { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("apt-get install") && text.contains("STOCKGATE_REDIS_URL"), "{text}");
}

#[tokio::test]
async fn program_that_is_no_redis_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let echo = EmbeddedConfig { redis_server: "/bin/echo".into(), ..config(&dir) };
    let error = start(echo).await.expect_err("is no redis");
    assert!(matches!(error, EmbeddedError::VersionUnknown { .. }), "{error}");
}
