//! The beat of the grid. The runtime's own timers are whole milliseconds, late by up to two: they would be measured too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use tokio::sync::Notify;

use super::schedule::GRID;

/// A thread that beats; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Metronome {
    beat: Arc<Notify>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Metronome {
    /// Beats on the grid that begins at `start`.
    pub(super) fn start(start: Instant) -> Self {
        let (beat, is_over) = (Arc::<Notify>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (beat, is_over) = (Arc::clone(&beat), Arc::clone(&is_over));
            move || {
                let mut next = start + GRID;
                while !is_over.load(Ordering::Relaxed) {
                    let now = Instant::now();
                    if now < next {
                        // Woken too early, it looks again.
                        std::thread::park_timeout(next - now);
                        continue;
                    }
                    beat.notify_one();
                    // Beats that were missed are not made up for: one wakes whoever waits.
                    while next <= now {
                        next += GRID;
                    }
                }
            }
        });
        Self { beat, is_over, thread: Some(thread) }
    }

    /// Waits for the next beat; returns at once when one came since the last wait.
    pub(super) async fn beat(&self) {
        self.beat.notified().await;
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only fails when the thread panicked, and that has been printed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beats_come_on_the_grid_and_never_early() {
        let start = Instant::now();
        let metronome = Metronome::start(start);
        metronome.beat().await;
        assert!(start.elapsed() >= GRID);
        metronome.beat().await;
        assert!(start.elapsed() >= 2 * GRID);
    }
}
