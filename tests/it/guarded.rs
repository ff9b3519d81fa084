//! Processes of a test behind a shell that guards them: when the pipe from this process closes, they and their files go, however
//! this process ends.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use nix::unistd::Pid;

/// How long anything may take that the machine does between two failovers. Only a broken gateway needs it.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// An address of this process alone, since all of 127.0.0.0/8 is loopback: nobody else takes its ports.
pub(crate) fn own_address() -> String {
    let pid = std::process::id();
    format!("127.{}.{}.{}", 64 + (pid >> 16) % 64, pid >> 8 & 0xff, pid & 0xff)
}

/// So many ports of it that no other test takes. They lie below those of outgoing connections.
pub(crate) fn own_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    NEXT.fetch_add(count, Ordering::Relaxed)
}

/// A directory for [`Guarded::start`].
pub(crate) fn own_directory(prefix: &str) -> PathBuf {
    tempfile::Builder::new().prefix(prefix).tempdir().unwrap().keep()
}

/// What a guard says.
pub(crate) type Said = BufReader<ChildStdout>;

/// A guard and what it guards.
pub(crate) struct Guarded {
    directory: PathBuf,
    shell: Child,
    /// The pipe that keeps all of it alive.
    orders: Option<ChildStdin>,
}

impl Guarded {
    /// Runs a script with a directory, which goes with it, and more arguments.
    pub(crate) fn start(directory: PathBuf, script: &str, arguments: &[&str]) -> (Self, Said) {
        let mut shell = Command::new("sh")
            .args(["-c", script, "guard"])
            .arg(&directory)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh is there; redis-server too, by `make test`");
        let orders = shell.stdin.take();
        let said = BufReader::new(shell.stdout.take().unwrap());
        (Self { directory, shell, orders }, said)
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Tells the script a line.
    pub(crate) fn order(&mut self, line: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.shell.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The process id that a guard says next.
pub(crate) fn read_pid(said: &mut Said) -> Pid {
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    Pid::from_raw(line.trim().parse().unwrap_or_else(|_| panic!("no process id: {line:?}")))
}
