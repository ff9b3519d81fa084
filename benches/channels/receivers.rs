//! The channels: listeners in this process, on its one thread, which read just as much HTTP as the gateway's client writes.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Result, ensure};
use bytes::{Buf as _, BytesMut};
use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    book::{Book, lag_histogram},
    plan::Behaviour,
};

/// A batch of a hundred is some 35 kB.
const BUFFER_BYTES: usize = 64 * 1024;
/// The largest call: a thousand events of under a kilobyte.
const CALL_BYTES_MAX: usize = 1 << 20;

/// All channels. Dropping them closes them.
pub(crate) struct Receivers {
    pub(crate) addresses: Vec<SocketAddr>,
    books: Vec<Arc<Mutex<Book>>>,
    /// What becomes of the last channels.
    illnesses: &'static [Behaviour],
    _listeners: JoinSet<()>,
}

impl Receivers {
    pub(crate) async fn start(channels: usize, skus: usize, illnesses: &'static [Behaviour]) -> Result<Self> {
        ensure!(channels > illnesses.len(), "one channel at least must stay healthy");
        let (mut addresses, mut books, mut listeners) = (Vec::new(), Vec::new(), JoinSet::new());
        for _ in 0..channels {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            addresses.push(listener.local_addr()?);
            let book = Arc::new(Mutex::new(Book::new(skus)?));
            books.push(Arc::clone(&book));
            listeners.spawn(listen(listener, book));
        }
        Ok(Self { addresses, books, illnesses, _listeners: listeners })
    }

    /// The book of a channel. Not to be held over an await: its calls wait.
    pub(crate) fn book(&self, channel: usize) -> MutexGuard<'_, Book> {
        lock(&self.books[channel])
    }

    pub(crate) fn count(&self) -> usize {
        self.books.len()
    }

    /// Those that never fall ill.
    pub(crate) fn healthy(&self) -> Range<usize> {
        0..self.count() - self.illnesses.len()
    }

    /// Those that fall ill, and how.
    pub(crate) fn sick(&self) -> impl Iterator<Item = (usize, Behaviour)> {
        (self.healthy().end..).zip(self.illnesses.iter().copied())
    }

    /// The last channels fall ill.
    pub(crate) fn sicken(&self) {
        for (channel, illness) in self.sick() {
            self.book(channel).behaviour = illness;
        }
    }

    /// All answer at once again; calls the slow one has begun still take their time.
    pub(crate) fn heal(&self) {
        (0..self.count()).for_each(|channel| self.book(channel).behaviour = Behaviour::Healthy);
    }

    /// A sum over all channels.
    pub(crate) fn sum(&self, of: impl Fn(&Book) -> u64) -> u64 {
        (0..self.count()).map(|channel| of(&self.book(channel))).sum()
    }

    /// The lags of the healthy channels since the last time.
    pub(crate) fn take_lags(&self) -> Result<Histogram<u64>> {
        let mut all = lag_histogram()?;
        for channel in self.healthy() {
            let lags = &mut self.book(channel).lag_us;
            all.add(&*lags)?;
            lags.reset();
        }
        Ok(all)
    }
}

/// One thread runs all: nobody ever waits for this lock.
fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(listener: TcpListener, book: Arc<Mutex<Book>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                // A connection that breaks is one the gateway gave up: it calls again.
                connections.spawn(serve(stream, Arc::clone(&book)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers calls until the other side closes.
async fn serve(mut stream: TcpStream, book: Arc<Mutex<Book>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
    while let Some(call) = next_call(&mut stream, &mut buffer).await? {
        let answer = lock(&book).decide();
        if let Some(delay) = answer.is_taken_after() {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await; // why: being slow is what this channel is for
            }
            let body = std::str::from_utf8(&buffer[call.head..call.head + call.body]);
            lock(&book).take(body.map_err(io::Error::other)?);
        }
        buffer.advance(call.head + call.body);
        stream.write_all(answer.bytes()).await?;
    }
    Ok(())
}

/// How many bytes of the buffer are a call.
struct Call {
    head: usize,
    body: usize,
}

async fn next_call(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<Call>> {
    loop {
        if let Some(call) = framed(buffer)? {
            return Ok(Some(call));
        }
        buffer.reserve(BUFFER_BYTES / 2);
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// The call at the beginning of the buffer, once all of it is there.
fn framed(buffer: &[u8]) -> io::Result<Option<Call>> {
    let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&buffer[..head]).map_err(io::Error::other)?;
    let length = text.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let body = length
        .filter(|length| *length <= CALL_BYTES_MAX)
        .ok_or_else(|| io::Error::other("a call without a length, or far too long"))?;
    let call = Call { head: head + 4, body };
    Ok((buffer.len() >= call.head + call.body).then_some(call))
}
