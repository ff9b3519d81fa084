//! A private redis-server: on a Unix socket in a directory of its own, gone when this process is gone, however it ends.

use std::{io::BufRead as _, sync::OnceLock};

use stockgate::store::Address;

use crate::guarded::{Guarded, own_directory};

/// Starts Redis and waits on its own input: when the pipe from this process closes, Redis and its files go.
/// A blocking read ends at a tick of `hz`: 500, or empty reads would cost 100 ms.
const GUARD: &str = r#"
redis-server --port 0 --unixsocket "$1/redis.sock" --dir "$1" --save "" --appendonly no --databases 1 --hz 500 --logfile "" &
server=$!
read -r _
kill $server
wait $server 2>/dev/null
rm -rf "$1"
"#;

/// A running redis-server.
pub(crate) struct Server {
    /// `redis+unix://…`.
    pub(crate) url: String,
    _guarded: Guarded,
}

impl Server {
    /// Starts one and waits until it serves.
    pub(crate) fn start() -> Self {
        let (guarded, said) = Guarded::start(own_directory("stockgate-it-"), GUARD, &[]);
        let mut log = said.lines();
        // "Ready to accept" since 7.2, "is now ready to accept" before.
        let ready = log.by_ref().any(|line| line.unwrap().contains("eady to accept connections"));
        assert!(ready, "redis-server ended before it served: is it installed?");
        // Redis would block on a full pipe.
        std::thread::spawn(move || log.for_each(drop));
        Self { url: format!("redis+unix://{}/redis.sock", guarded.directory().display()), _guarded: guarded }
    }

    /// The same, for a store.
    pub(crate) fn address(&self) -> Address {
        Address::parse(&self.url).unwrap()
    }

    /// The one that all tests of a run share, each in a namespace of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }
}
