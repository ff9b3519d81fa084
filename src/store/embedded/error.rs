//! What keeps the embedded Redis from starting, and what to do about it.

use std::{io, path::PathBuf};

use super::Exit;

/// Why there is no embedded Redis.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The data directory cannot be created, read or locked.
    #[error(
        "cannot use the data directory {}: set embedded.data_dir to a directory this user may write",
        dir.display()
    )]
    DataDir {
        /// The directory as configured.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another gateway runs on it.
    #[error(
        "another gateway uses the data directory {}: stop it, give this one another embedded.data_dir, or \
        let both share one redis by STOCKGATE_REDIS_URL",
        dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The system limits the length of socket paths.
    #[error(
        "the path of the data directory {} is {bytes_over} bytes too long for a unix socket in it: set \
        embedded.data_dir to a shorter path",
        dir.display()
    )]
    SocketPathTooLong {
        /// The directory, absolute.
        dir: PathBuf,
        /// By how much.
        bytes_over: usize,
    },
    /// There is no such program.
    #[error(
        "cannot find {}: install redis 7.0 or newer (apt-get install redis-server, dnf install redis, brew \
        install redis), or set STOCKGATE_REDIS_URL to a redis that runs",
        program.display()
    )]
    NotFound {
        /// The program as configured.
        program: PathBuf,
    },
    /// The program is there and does not say its version.
    #[error(
        "cannot learn the version of {}: set embedded.redis_server to a redis-server 7.0 or newer",
        program.display()
    )]
    VersionUnknown {
        /// The program as configured.
        program: PathBuf,
        /// What the system said, when it did not even run.
        #[source]
        source: Option<io::Error>,
    },
    /// The program lacks what the scripts need.
    #[error(
        "{} is version {version}, and 7.0 or newer is needed: upgrade it, or set STOCKGATE_REDIS_URL to a \
        newer redis",
        program.display()
    )]
    TooOld {
        /// The program as configured.
        program: PathBuf,
        /// What it says.
        version: String,
    },
    /// A Redis of an earlier run does not go away.
    #[error(
        "a redis of an earlier run, process {pid}, holds {} and does not end: stop it by hand",
        socket.display()
    )]
    Leftover {
        /// Its socket.
        socket: PathBuf,
        /// Its process id.
        pid: u32,
    },
    /// The process cannot be started.
    #[error("cannot start redis in {}", dir.display())]
    Spawn {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("redis ended while it started ({exit}); the end of {}:\n{log_tail}", log.display())]
    Died {
        /// How it ended.
        exit: Exit,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        log_tail: String,
    },
    /// It runs and does not answer.
    #[error(
        "redis did not answer within {waited_ms} ms: see {}, or raise embedded.start_timeout",
        log.display()
    )]
    NoAnswer {
        /// How long was waited.
        waited_ms: u64,
        /// Its log.
        log: PathBuf,
    },
    /// The gateway goes down while Redis comes up.
    #[error("this gateway is shutting down")]
    Stopped,
    /// It is still reading its data.
    #[error(
        "redis still reads its data after {waited_ms} ms: see {}, or raise embedded.load_timeout",
        log.display()
    )]
    StillLoading {
        /// How long was waited.
        waited_ms: u64,
        /// Its log.
        log: PathBuf,
    },
}
