//! What runs by itself: carrying events to channels, ending overdue holds, measuring how far behind channels are.
//!
//! Workers on any machine share the work by claims; there is no leader. Each is one task, told to stop by a token and joined
//! by whoever spawned it on the tracker.

mod dispatcher;
mod fan_out;
mod gate;
mod gauges;
mod outage;
mod seeder;
mod sweeper;

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    channels::Channel,
    domain::{Backoff, ChannelId, PublishPolicy},
    store::Store,
};

use dispatcher::ChannelWorker;

pub use gate::{Gate, Pass, Ticket, Verdict};

/// After a fault of the store, a worker waits so long before its next try.
const FAULT_PAUSE: Duration = Duration::from_millis(250);

/// What workers must be told.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Names this process among the consumers of the stream.
    pub consumer: String,
    /// How often to look for work nobody woke us for.
    pub poll_interval: Duration,
    /// Stream entries fanned out at once.
    pub fan_out_batch: usize,
    /// How often overdue holds are looked for.
    pub sweep_interval: Duration,
    /// Overdue holds ended by one script.
    pub sweep_batch: u32,
    /// A channel that lags more is warned about.
    pub lag_warn: Duration,
}

/// One configured channel.
pub struct ChannelSetup {
    /// Its name.
    pub id: ChannelId,
    /// How it is spoken to.
    pub channel: Arc<dyn Channel>,
    /// How much of the stock it may show.
    pub policy: PublishPolicy,
    /// Differs when the policy or the address differs: then the channel is told about all stock again.
    pub fingerprint: String,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// Calls on their way at the same time.
    pub concurrency: usize,
}

/// Wakes the dispatchers of this process when something became due. A wake is kept until it is heard.
#[derive(Clone)]
struct Wake(Arc<[Arc<Notify>]>);

impl Wake {
    fn all(&self) {
        self.0.iter().for_each(|channel| channel.notify_one());
    }
}

/// Spawns all workers on `tasks`; they end after `stop`.
pub fn spawn(
    store: &Store,
    setups: Vec<ChannelSetup>,
    settings: &WorkerSettings,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let wakes: Vec<Arc<Notify>> = setups.iter().map(|_| Arc::new(Notify::new())).collect();
    let wake = Wake(wakes.iter().cloned().collect());
    tasks.spawn(sweeper::run(store.clone(), settings.clone(), stop.clone()));
    if setups.is_empty() {
        // Nobody is to be told: a channel that is added later is told about all stock by the seeder.
        return;
    }
    tasks.spawn(fan_out::run(store.clone(), settings.clone(), wake.clone(), stop.clone()));
    let fingerprinted = setups.iter().map(|setup| (setup.id.clone(), setup.fingerprint.clone())).collect();
    tasks.spawn(seeder::run(store.clone(), fingerprinted, wake, stop.clone()));
    tasks.spawn(gauges::run(store.clone(), settings.clone(), stop.clone()));
    for (setup, wake) in setups.into_iter().zip(wakes) {
        let worker = ChannelWorker::new(store.clone(), setup, settings.poll_interval, wake);
        tasks.spawn(worker.run(stop.clone()));
    }
}

/// Waits, unless told to stop first; false when told to stop.
async fn pause(duration: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(duration) => true, // why: the wait itself is what is asked for
    }
}
