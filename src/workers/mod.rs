//! What runs by itself: carrying events to channels, ending overdue holds, measuring how far behind channels are.
//!
//! Workers on any machine share the work by claims; there is no leader. Each is one task, told to stop by a token and joined
//! by whoever spawned it on the tracker.

mod bell;
mod dispatcher;
mod fan_out;
mod gate;
mod gauges;
mod lookout;
mod outage;
mod seeder;
mod sweeper;
mod wake;

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    channels::Channel,
    domain::{Backoff, ChannelId, ChannelRules, ChannelTerms},
    store::Store,
};

use dispatcher::ChannelWorker;
use wake::{Ears, Wake};

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
    /// Connections that wait for events at most, on a cluster; what is beyond is looked at again and again.
    pub blocking_readers_max: usize,
    /// After a fan-out, what comes within so long goes together in the next.
    pub gather: Duration,
    /// How often overdue holds are looked for.
    pub sweep_interval: Duration,
    /// Overdue holds ended by one script.
    pub sweep_batch: u32,
    /// A channel that lags more is a critical line in the log.
    pub lag_critical: Duration,
    /// A channel that lags more costs money: a cost event.
    pub lag_cost: Duration,
    /// How long calls to channels may go on at shutdown before they are cut off.
    pub drain_timeout: Duration,
}

/// One configured channel.
pub struct ChannelSetup {
    /// Its name.
    pub id: ChannelId,
    /// How it is spoken to.
    pub channel: Arc<dyn Channel>,
    /// What it shows, and how long it is tried.
    pub rules: ChannelRules,
    /// When it may be called.
    pub terms: ChannelTerms,
    /// Differs when the address or the policy differs: then the channel is told about all stock again.
    pub fingerprint: String,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// Calls on their way at the same time.
    pub concurrency: usize,
}

/// Spawns all workers on `tasks`; they end after `stop`.
pub fn spawn(
    store: &Store,
    setups: Vec<ChannelSetup>,
    settings: &WorkerSettings,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    tasks.spawn(sweeper::run(store.clone(), settings.clone(), stop.clone()));
    if setups.is_empty() {
        // Nobody is to be told: a channel that is added later is told about all stock by the seeder.
        return;
    }
    let wake = Wake::new(setups.iter().map(|setup| setup.id.clone()));
    tasks.spawn(fan_out::run(store.clone(), settings.clone(), wake.clone(), stop.clone()));
    tasks.spawn(bell::run(store.clone(), wake.clone(), stop.clone()));
    tasks.spawn(lookout::run(store.clone(), settings.clone(), wake.clone(), stop.clone()));
    let fingerprinted = setups.iter().map(|setup| (setup.id.clone(), setup.fingerprint.clone())).collect();
    let seeder = seeder::Seeder::new(store.clone(), fingerprinted, settings.consumer.clone(), wake.clone());
    tasks.spawn(seeder.run(stop.clone()));
    let policies = setups.iter().map(|setup| (setup.id.clone(), setup.rules.policy)).collect();
    tasks.spawn(gauges::run(store.clone(), policies, settings.clone(), stop.clone()));
    for (setup, ears) in setups.into_iter().zip(wake.ears()) {
        let worker = ChannelWorker::new(store.clone(), setup, settings.drain_timeout, ears.clone());
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
