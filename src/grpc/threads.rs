//! Threads that serve calls: each with a runtime, a store handle and a committer of its own, so that a call is never
//! handed from one core to another.

use std::{io, net, thread};

use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::store::Store;

use super::{CutOff, FLUSH_PATIENCE, GrpcError, Shared, serve_here};

/// A thread that serves. Joined by [`Self::ended`].
pub(super) struct Thread {
    handle: thread::JoinHandle<()>,
    end: oneshot::Receiver<Result<CutOff, GrpcError>>,
}

impl Thread {
    /// Starts thread `number`: serves `connections` until told to stop, drains, answers what is queued for Redis, and ends.
    pub(super) fn start(
        number: usize,
        connections: mpsc::Receiver<net::TcpStream>,
        store: Store,
        shared: Shared,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (told, end) = oneshot::channel();
        let handle = thread::Builder::new().name(format!("grpc-{number}")).spawn(move || {
            let ended = runtime.block_on(serve(connections, &store, shared, stop));
            // Nobody listens when the drain took too long.
            let _ = told.send(ended);
        })?;
        Ok(Self { handle, end })
    }

    /// Waits for its end.
    pub(super) async fn ended(self) -> Result<CutOff, GrpcError> {
        let ended = self.end.await.unwrap_or(Err(GrpcError::Thread));
        // It has said its last word: this takes as long as dropping its runtime.
        self.handle.join().map_err(|_| GrpcError::Thread)?;
        ended
    }
}

async fn serve(
    connections: mpsc::Receiver<net::TcpStream>,
    store: &Store,
    shared: Shared,
    stop: CancellationToken,
) -> Result<CutOff, GrpcError> {
    let (tasks, drained) = (TaskTracker::new(), CancellationToken::new());
    let sibling = store.sibling(&tasks, drained.clone());
    let served = serve_here(connections, sibling, shared, stop).await;
    drained.cancel();
    tasks.close();
    let is_flushed = timeout(FLUSH_PATIENCE, tasks.wait()).await.is_ok();
    served.map(|cut_off| CutOff { committers: usize::from(!is_flushed), ..cut_off })
}
