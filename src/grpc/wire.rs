//! Connections: accepted once, spread over the threads that serve, and ended politely.
//!
//! hyper is driven from here rather than through tonic's own server: that one boxes request, body and future of every
//! call several times, and dates every answer.

use std::{convert::Infallible, io, net, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::Service as HyperService};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower::Service;

use super::{
    ending::{AgeTerms, Closed, Ending, Open},
    lingering::Lingering,
    method::Method,
};

/// Finds dead peers: the pair juspay's production write-up settles on.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What a caller may send ahead on one stream, and on all of a connection: a Transact stream that is not read because its
/// caller does not read must not hold up the other calls beside it.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// After an accept that failed, which does so again while the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that may wait for their thread.
pub(super) const BACKLOG: usize = 1024;

/// Gives accepted connections to the threads in turn, until told to stop. In turn, and not by SO_REUSEPORT: callers
/// have few connections and keep them, and the kernel would deal them out by chance.
pub(super) async fn accept(
    listener: TcpListener,
    threads: Vec<mpsc::Sender<net::TcpStream>>,
    stop: CancellationToken,
) {
    for thread in threads.iter().cycle() {
        let accepted = tokio::select! {
            biased;
            // Those who are connected already are served: closing would reset them.
            accepted = next(&listener) => accepted,
            () = stop.cancelled() => return,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            // A thread that ended takes the whole server with it.
            _ = thread.send(accepted) => {}
        }
    }
}

async fn next(listener: &TcpListener) -> net::TcpStream {
    loop {
        let accepted = listener.accept().await.and_then(|(stream, _)| {
            stream.set_nodelay(true)?;
            stream.into_std()
        });
        match accepted {
            Ok(stream) => return stream,
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await; // why: nothing tells when a file descriptor is free again
            }
        }
    }
}

/// Whether the connection failed, and not we.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Interrupted
    )
}

/// Serves the connections that come, until no more do; says goodbye to old ones, and to all when told to stop. Returns when
/// all are closed.
pub(super) async fn serve<S>(
    mut connections: mpsc::Receiver<net::TcpStream>,
    service: S,
    concurrent_streams_max: u32,
    age: AgeTerms,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(concurrent_streams_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(Some(KEEPALIVE_INTERVAL))
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    let open = TaskTracker::new();
    // Those accepted before the stop are served too: each hears the goodbye, and what it had sent by then is answered.
    while let Some(connection) = connections.recv().await {
        let Ok(stream) = TcpStream::from_std(connection) else { continue };
        let ending = Ending::new(&stop);
        let calls = Calls { service: service.clone(), ending: ending.clone() };
        let (stream, remains) = Lingering::new(stream);
        let served = builder.serve_connection(TokioIo::new(stream), calls);
        open.spawn(async move {
            let (mut served, meter) = (Box::pin(served), Open::new());
            let goodbye = tokio::select! {
                ended = served.as_mut() => return meter.closed(closed_by_itself(ended)),
                goodbye = ending.goodbye(age) => goodbye,
            };
            served.as_mut().graceful_shutdown();
            tokio::select! {
                // It may break now as well: it was on its way out.
                _ = served.as_mut() => {
                    drop(served);
                    remains.linger().await;
                    meter.closed(goodbye);
                }
                () = ending.overdue(goodbye, age) => meter.closed(Closed::Overdue),
            }
        });
    }
    open.close();
    open.wait().await;
}

fn closed_by_itself(ended: Result<(), hyper::Error>) -> Closed {
    match ended {
        Ok(()) => Closed::Caller,
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
            Closed::Broken
        }
    }
}

/// Our layers, as hyper calls them for one connection: all of them are always ready.
struct Calls<S> {
    service: S,
    ending: Ending,
}

impl<S> HyperService<Request<Incoming>> for Calls<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn call(&self, mut request: Request<Incoming>) -> S::Future {
        // Only what may last has to know: an extension costs a call a map.
        if Method::may_last(request.uri().path()) {
            request.extensions_mut().insert(self.ending.clone());
        }
        self.service.clone().call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_go_round() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (threads, mut receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| mpsc::channel(BACKLOG)).unzip();
        let stop = CancellationToken::new();
        let accepting = tokio::spawn(accept(listener, threads, stop.clone()));
        for _ in 0..2 {
            for connections in &mut receivers {
                let caller = TcpStream::connect(address).await.expect("listens");
                let accepted = connections.recv().await.expect("its turn");
                assert_eq!(accepted.peer_addr().expect("open"), caller.local_addr().expect("open"));
            }
        }
        stop.cancel();
        accepting.await.expect("ends");
        assert!(receivers[0].recv().await.is_none());
        assert!(TcpStream::connect(address).await.is_err(), "the port is free");
    }
}
