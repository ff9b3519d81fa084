//! A Redis whose connection is cut, or stands still, at a script of one's choice.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use stockgate::store::Address;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    task::JoinHandle,
};

/// Where the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cut {
    /// Redis does not see the script.
    Before,
    /// Redis carries it out, and its answer is lost.
    After,
    /// It waits in front of Redis until it is told to go on; then nothing is cut.
    Pause,
}

/// Stands between a store and Redis, on a Unix socket.
pub(crate) struct Scissors {
    pub(crate) address: Address,
    state: Arc<State>,
    accepting: JoinHandle<()>,
    _directory: TempDir,
}

struct State {
    upstream: String,
    /// Scripts that go through.
    first: usize,
    cut: Cut,
    seen: AtomicUsize,
    is_over: AtomicBool,
    /// Nothing goes through any more.
    closed: Notify,
    arrived: Notify,
    go_on: Notify,
    connections: Mutex<Vec<JoinHandle<()>>>,
}

impl Scissors {
    /// Lets `first` scripts through, then cuts. `upstream`: the address of a Redis on a Unix socket.
    pub(crate) fn new(upstream: &str, first: usize, cut: Cut) -> Self {
        let directory = tempfile::Builder::new().prefix("stockgate-cut-").tempdir().unwrap();
        let path = directory.path().join("redis.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let state = Arc::new(State {
            upstream: upstream.trim_start_matches("redis+unix://").to_owned(),
            first,
            cut,
            seen: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            closed: Notify::new(),
            arrived: Notify::new(),
            go_on: Notify::new(),
            connections: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let served = tokio::spawn(async move {
                    tokio::select! {
                        () = state.closed.notified() => {}
                        () = state.serve(client) => {}
                    }
                });
                shared.connections.lock().unwrap().push(served);
            }
        });
        let address = Address::parse(&format!("redis+unix://{}", path.display())).unwrap();
        Self { address, state, accepting, _directory: directory }
    }

    /// Whether so many scripts came that it was used.
    pub(crate) fn was_used(&self) -> bool {
        self.state.is_over.load(Ordering::SeqCst)
    }

    /// Waits until a script stands still.
    pub(crate) async fn arrived(&self) {
        self.state.arrived.notified().await;
    }

    /// Lets what stands still go on.
    pub(crate) fn go_on(&self) {
        self.state.go_on.notify_one();
    }
}

impl Drop for Scissors {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.connections.lock().unwrap().iter().for_each(JoinHandle::abort);
    }
}

impl State {
    async fn serve(&self, client: UnixStream) {
        if self.was_cut() {
            return;
        }
        let Ok(upstream) = UnixStream::connect(&self.upstream).await else { return };
        let (mut from_client, to_client) = client.into_split();
        let (from_redis, mut to_redis) = upstream.into_split();
        let answers = self.hand_back(from_redis, to_client);
        tokio::pin!(answers);
        let commands = self.hand_on(&mut from_client, &mut to_redis);
        tokio::select! {
            () = &mut answers => return,
            () = commands => {}
        }
        // What went through is carried out: Redis hangs up when it has read it all.
        let _ = to_redis.shutdown().await;
        answers.await;
        if self.was_cut() {
            self.closed.notify_waiters();
        }
    }

    fn was_cut(&self) -> bool {
        self.cut != Cut::Pause && self.is_over.load(Ordering::SeqCst)
    }

    /// Answers, until Redis hangs up; after the cut they are lost.
    async fn hand_back(&self, mut from_redis: OwnedReadHalf, mut to_client: OwnedWriteHalf) {
        let mut read = Vec::new();
        while read_more(&mut from_redis, &mut read).await {
            if !self.was_cut() && to_client.write_all(&read).await.is_err() {
                return;
            }
            read.clear();
        }
    }

    /// Commands, until the client hangs up or the cut.
    async fn hand_on(&self, from_client: &mut OwnedReadHalf, to_redis: &mut OwnedWriteHalf) {
        let mut read = Vec::new();
        loop {
            while let Some(length) = command_length(&read) {
                let command: Vec<u8> = read.drain(..length).collect();
                if is_script(&command) && self.seen.fetch_add(1, Ordering::SeqCst) == self.first {
                    self.is_over.store(true, Ordering::SeqCst);
                    match self.cut {
                        Cut::Pause => {
                            self.arrived.notify_one();
                            self.go_on.notified().await;
                        }
                        Cut::Before => return,
                        Cut::After => {
                            let _ = to_redis.write_all(&command).await;
                            return;
                        }
                    }
                }
                if to_redis.write_all(&command).await.is_err() {
                    return;
                }
            }
            if !read_more(from_client, &mut read).await {
                return;
            }
        }
    }
}

async fn read_more(from: &mut OwnedReadHalf, read: &mut Vec<u8>) -> bool {
    matches!(from.read_buf(read).await, Ok(1..))
}

/// The bytes of the first command, an array of bulk strings; None when it is not there as a whole.
fn command_length(bytes: &[u8]) -> Option<usize> {
    let (count, mut at) = number(bytes, 0)?;
    for _ in 0..count {
        let (length, after) = number(bytes, at)?;
        at = after + length + 2;
    }
    (at <= bytes.len()).then_some(at)
}

/// The number on a line, behind its mark, and where the next line begins.
fn number(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let line = bytes.get(at + 1..)?;
    let end = line.windows(2).position(|pair| pair == b"\r\n")?;
    let number = std::str::from_utf8(&line[..end]).ok()?.parse().ok()?;
    Some((number, at + 1 + end + 2))
}

fn is_script(command: &[u8]) -> bool {
    command.windows(6).take(24).any(|bytes| bytes == b"EVALSH")
        || command.windows(6).take(24).any(|bytes| bytes == b"\nEVAL\r")
}
