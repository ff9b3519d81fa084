//! The data directory of the embedded Redis: its lock, its socket, its log.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    path::{Path, PathBuf},
};

use super::EmbeddedError;

const SOCKET: &str = "redis.sock";
/// `sun_path` of a Unix socket address: 108 bytes on Linux, 104 on macOS and the BSDs, with the final NUL.
/// Redis cuts off what is longer without a word.
const SOCKET_PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// As much of the end of the log as an error shows.
const LOG_TAIL_BYTES: u64 = 600;

/// An existing data directory that belongs to this process until this value is dropped.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    /// Held, never read: the lock ends with the descriptor, so also with a killed process.
    _lock: File,
}

impl Home {
    /// Creates the directory when it is missing, and takes its lock.
    pub(super) fn open(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let unusable = |source| EmbeddedError::DataDir { dir: data_dir.to_owned(), source };
        // 700: the stock and the socket are nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(unusable)?;
        // Absolute, since a relative socket path would depend on who resolves it.
        let dir = data_dir.canonicalize().map_err(unusable)?;
        let socket_bytes = dir.join(SOCKET).as_os_str().len();
        if socket_bytes > SOCKET_PATH_BYTES_MAX {
            let bytes_over = socket_bytes - SOCKET_PATH_BYTES_MAX;
            return Err(EmbeddedError::SocketPathTooLong { dir, bytes_over });
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(EmbeddedError::InUse { dir }),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// The directory, absolute.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The Unix socket Redis listens on.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join(SOCKET)
    }

    /// The log of Redis and of its guard.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("redis.log")
    }

    /// The socket as a URL; bytes with a meaning in URLs are escaped.
    pub(super) fn url(&self) -> String {
        let mut url = String::from("redis+unix://");
        for &byte in self.socket().as_os_str().as_bytes() {
            match byte {
                b'/' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(byte)),
                _ if byte.is_ascii_alphanumeric() => url.push(char::from(byte)),
                _ => url.push_str(&format!("%{byte:02X}")),
            }
        }
        url
    }

    /// The last lines of the log, for an error; says so when there are none.
    pub(super) fn log_tail(&self) -> String {
        match read_tail(&self.log()) {
            Ok(tail) if !tail.trim().is_empty() => tail.trim().to_owned(),
            Ok(_) => "nothing was logged".to_owned(),
            Err(error) => format!("the log cannot be read: {error}"),
        }
    }
}

fn read_tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LOG_TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
    let tail = String::from_utf8_lossy(&bytes).into_owned();
    // The first line is most likely cut.
    match tail.split_once('\n') {
        Some((_, whole_lines)) if start > 0 => Ok(whole_lines.to_owned()),
        _ => Ok(tail),
    }
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo as _;

    use super::*;

    #[test]
    fn url_of_an_odd_path_leads_back_to_it() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let home = Home::open(&parent.path().join("50% off?#é shop")).expect("opens");
        let info = home.url().as_str().into_connection_info().expect("parses");
        assert_eq!(info.addr(), &redis::ConnectionAddr::Unix(home.socket()));
    }

    #[test]
    fn second_owner_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = Home::open(dir.path()).expect("opens");
        let second = Home::open(dir.path());
        assert!(matches!(second, Err(EmbeddedError::InUse { .. })), "{second:?}");
        drop(first);
        Home::open(dir.path()).expect("opens again");
    }

    #[test]
    fn too_long_a_path_names_the_directory_and_the_fix() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let error = Home::open(&parent.path().join("x".repeat(120))).expect_err("is too long");
        let text = error.to_string();
        assert!(text.contains("xxx") && text.contains("embedded.data_dir"), "{text}");
    }

    #[test]
    fn file_in_the_way_is_an_error() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let blocked = Home::open(file.path());
        assert!(matches!(blocked, Err(EmbeddedError::DataDir { .. })), "{blocked:?}");
    }

    #[test]
    fn log_tail_is_short_and_starts_with_a_whole_line() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let home = Home::open(dir.path()).expect("opens");
        assert!(home.log_tail().starts_with("the log cannot be read"), "{}", home.log_tail());
        let lines: String = (0..500).map(|n| format!("line {n}\n")).collect();
        std::fs::write(home.log(), lines).expect("writes");
        let tail = home.log_tail();
        assert!(tail.starts_with("line ") && tail.ends_with("line 499"), "{tail}");
        assert!(tail.len() <= 600, "{}", tail.len());
    }
}
