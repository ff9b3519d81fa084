//! A socket that is read to its end before it is closed.
//!
//! The kernel answers what comes to a closed socket with a reset, and a reset makes the other side forget what it has not
//! read yet. A caller that was sending when its stream ended would so lose the answers before the end.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};

/// How long a caller may take to close his side: a few round trips.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is thrown away at once.
const CHUNK_BYTES: usize = 16 << 10;

/// A socket that comes back to its owner when it is dropped.
pub(super) struct Lingering {
    stream: Option<TcpStream>,
    back: Option<oneshot::Sender<TcpStream>>,
}

/// Where a dropped socket comes out.
pub(super) struct Remains(oneshot::Receiver<TcpStream>);

impl Lingering {
    pub(super) fn new(stream: TcpStream) -> (Self, Remains) {
        let (back, remains) = oneshot::channel();
        (Self { stream: Some(stream), back: Some(back) }, Remains(remains))
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("it is only taken when dropped"))
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let (Some(stream), Some(back)) = (self.stream.take(), self.back.take()) {
            // Nobody wants it: then it is closed.
            let _ = back.send(stream);
        }
    }
}

impl Remains {
    /// Once the socket was dropped: says that nothing more comes, and reads until the other side says so too.
    pub(super) async fn linger(mut self) {
        let Ok(mut stream) = self.0.try_recv() else { return };
        let read_out = async {
            // It may be shut down already, or broken: reading tells.
            let _ = stream.shutdown().await;
            let mut chunk = vec![0; CHUNK_BYTES];
            while let Ok(1..) = stream.read(&mut chunk).await {}
        };
        let _ = timeout(PATIENCE, read_out).await;
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
