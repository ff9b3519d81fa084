//! Ctrl-C: once ends the sending, twice ends everything.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
    task::JoinHandle,
};

use super::super::failure::CliError;

/// Hears Ctrl-C as long as it lives.
#[derive(Debug)]
pub(super) struct Interrupt {
    once: Arc<AtomicBool>,
    twice: Arc<Notify>,
    listener: JoinHandle<()>,
}

impl Interrupt {
    pub(super) fn listen() -> Result<Self, CliError> {
        let mut pressed = signal(SignalKind::interrupt()).map_err(|error| CliError::Gateway(error.into()))?;
        let (once, twice) = (Arc::<AtomicBool>::default(), Arc::<Notify>::default());
        let listener = tokio::spawn({
            let (once, twice) = (Arc::clone(&once), Arc::clone(&twice));
            async move {
                pressed.recv().await;
                once.store(true, Ordering::Relaxed);
                eprintln!(
                    "\nno more calls are sent; waiting for those under way, then the books (Ctrl-C again: not even that)"
                );
                pressed.recv().await;
                twice.notify_one();
            }
        });
        Ok(Self { once, twice, listener })
    }

    /// True from the first Ctrl-C on.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.once)
    }

    /// Waits for the second.
    pub(super) async fn twice(&self) {
        self.twice.notified().await;
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
