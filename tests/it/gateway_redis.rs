//! A redis-server that a test may freeze, kill and bring back on the same socket. Gone when this process is gone.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::sync::OnceCell;

use crate::{
    cluster_client::Raw,
    gateway::eventually,
    guarded::{Guarded, Said, own_directory, read_pid},
    shared_redis::StandIn,
};

/// Starts Redis and says its process id; starts it again, once it is dead, for every line it is told. When the pipe from
/// this process closes, Redis and its files go.
const GUARD: &str = r#"
directory=$1
shift
start() {
    redis-server --port 0 --unixsocket "$directory/redis.sock" --dir "$directory" --save "" --databases 1 \
        --logfile "$directory/redis.log" "$@" </dev/null >/dev/null &
    server=$!
    echo "$server"
}
start "$@"
# A shell says so when a job of its own is killed; here that is no news.
exec 2>/dev/null
while read -r _; do
    wait "$server"
    start "$@"
done
kill -9 "$server"
wait "$server"
rm -rf "$directory"
"#;

/// How long Redis may take to come up.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// A running redis-server.
pub(crate) struct Redis {
    guarded: Guarded,
    said: Said,
    pid: Pid,
    /// What stands for it when all tests run on something else.
    stand_in: Option<StandIn>,
}

impl Redis {
    /// One that has its data again after a kill: what it answered was written before.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "no"]).await
    }

    /// One with other settings.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let (guarded, mut said) = Guarded::start(own_directory("stockgate-it-"), GUARD, arguments);
        let pid = read_pid(&mut said);
        let redis = Self { guarded, said, pid, stand_in: None };
        redis.answers().await;
        redis
    }

    /// The one shared by all tests that do it no harm, each in a namespace of its own.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Redis> = OnceCell::const_new();
        let start = async || {
            let mut redis = Self::start_with(&["--appendonly", "no"]).await;
            redis.stand_in = StandIn::shared();
            redis
        };
        SHARED.get_or_init(start).await
    }

    /// Where it is, for gateways.
    pub(crate) fn url(&self) -> String {
        match self.stand_in {
            Some(stand_in) => stand_in.url(),
            None => self.own_url(),
        }
    }

    fn own_url(&self) -> String {
        format!("redis+unix://{}/redis.sock", self.guarded.directory().display())
    }

    /// A connection of the test's own.
    pub(crate) async fn connection(&self) -> Raw {
        if let Some(stand_in) = self.stand_in {
            return stand_in.connection().await;
        }
        let client = redis::Client::open(self.own_url()).unwrap();
        Raw::One(client.get_multiplexed_async_connection().await.unwrap())
    }

    /// Stops it from doing anything, with all its connections open.
    pub(crate) fn freeze(&self) {
        kill(self.pid, Signal::SIGSTOP).unwrap();
    }

    /// Lets a frozen one go on.
    pub(crate) fn thaw(&self) {
        kill(self.pid, Signal::SIGCONT).unwrap();
    }

    /// Kills it, as a crash does.
    pub(crate) async fn kill(&self) {
        kill(self.pid, Signal::SIGKILL).unwrap();
        let socket = self.guarded.directory().join("redis.sock");
        eventually("redis is gone", UP_WITHIN, async || {
            std::os::unix::net::UnixStream::connect(&socket).is_err().then_some(())
        })
        .await;
    }

    /// Throws the data of a killed one away.
    pub(crate) fn lose_data(&self) {
        std::fs::remove_dir_all(self.guarded.directory().join("appendonlydir")).unwrap();
    }

    /// Brings a killed one back, on the same socket.
    pub(crate) async fn raise(&mut self) {
        self.guarded.order("again");
        self.pid = read_pid(&mut self.said);
        self.answers().await;
    }

    async fn answers(&self) {
        let client = redis::Client::open(self.own_url()).unwrap();
        eventually("redis answers", UP_WITHIN, async || {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            redis::cmd("PING").query_async::<()>(&mut connection).await.ok()
        })
        .await;
    }
}
