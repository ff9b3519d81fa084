//! Says which channels this worker serves, and tells those that are new, have a new address or policy, or are to be told again
//! by an operator's wish, about the stock that is there already: page by page, behind the live changes, one worker per channel.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    domain::{ChannelId, Partition},
    store::{Seeding, SeedingCause, Store, StoreError, WalkPosition},
};

use super::{FAULT_PAUSE, Wake, fan_out::CHANNELS_REFRESH, outage::Outage, pause};

/// How often the channels are registered.
const REGISTER_INTERVAL: Duration = Duration::from_secs(5);
/// From registering a channel to telling it all stock: twice what other workers take to hear of it, so that no change falls
/// between their marks and ours.
const HEARD_AFTER: Duration = CHANNELS_REFRESH.saturating_mul(2);
/// Between two pages of marks: sales come first at Redis too.
const PAGE_PAUSE: Duration = Duration::from_millis(10);

/// A channel, and the fingerprint of its address and policy.
pub(super) type Fingerprinted = (ChannelId, String);

pub(super) struct Seeder {
    store: Store,
    channels: Vec<Fingerprinted>,
    /// Names this worker among those that may walk the stock.
    worker: String,
    wake: Wake,
    /// Channels whose fingerprint was compared. It is at the start only: during a rollout old and new workers would tell all
    /// stock in turns for ever.
    compared: Vec<ChannelId>,
}

impl Seeder {
    pub(super) fn new(store: Store, channels: Vec<Fingerprinted>, worker: String, wake: Wake) -> Self {
        Self { store, channels, worker, wake, compared: Vec::new() }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut outage = Outage::of("tell new channels about all stock", None);
        while !stop.is_cancelled() {
            match self.round(&stop).await {
                Ok(()) => {
                    outage.is_over();
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = self.wake.seeder.notified() => {}
                        () = tokio::time::sleep(REGISTER_INTERVAL) => {} // why: the pace of registering
                    }
                }
                Err(fault) => {
                    outage.is_felt(&fault);
                    pause(FAULT_PAUSE, &stop).await;
                }
            }
        }
    }

    async fn round(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        self.store.register_channels().await?;
        let mut seedings = Vec::new();
        for (channel, fingerprint) in &self.channels {
            let compared = (!self.compared.contains(channel)).then_some(fingerprint.as_str());
            match self.store.seeding(channel, compared).await? {
                Some(seeding) => seedings.push((seeding, fingerprint.clone())),
                None if compared.is_some() => self.compared.push(channel.clone()),
                None => {}
            }
        }
        let is_news =
            |(seeding, _): &(Seeding, String)| seeding.is_first || seeding.cause != SeedingCause::Resync;
        if seedings.iter().any(is_news) && !pause(HEARD_AFTER, stop).await {
            return Ok(());
        }
        for (seeding, fingerprint) in seedings {
            if self.store.hold_walk(&seeding.channel, &self.worker).await? {
                let walked = self.walk(&seeding, &fingerprint, stop).await;
                self.store.leave_walk(&seeding.channel).await?;
                walked?;
            }
        }
        Ok(())
    }

    async fn walk(
        &mut self,
        seeding: &Seeding,
        fingerprint: &str,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        // Another worker may have walked while we waited for our turn.
        let compared = (!self.compared.contains(&seeding.channel)).then_some(fingerprint);
        if self.store.seeding(&seeding.channel, compared).await?.as_ref() != Some(seeding) {
            return Ok(());
        }
        let channel = seeding.channel.as_str();
        match seeding.cause {
            SeedingCause::New => info!(channel, "a new channel is told about all stock"),
            SeedingCause::Policy => {
                info!(channel, "a channel has another policy: what it should show is told again")
            }
            SeedingCause::Outdated => info!(
                channel,
                "a channel is told about all stock again: its address changed, or it was away for long"
            ),
            SeedingCause::Resync => {
                info!(channel, "a channel is told about all stock again, as an operator asked")
            }
        }
        let mut at = Some(WalkPosition::default());
        while let Some(position) = at {
            let is_ours = self.store.hold_walk(&seeding.channel, &self.worker).await?;
            if stop.is_cancelled() || !is_ours {
                return Ok(());
            }
            let first = position.partition;
            at = self.store.seed_channel(seeding, position).await?;
            let last = at.as_ref().map_or(self.store.partitions().count() - 1, |next| next.partition);
            for partition in first..=last {
                self.wake.due_in(&seeding.channel, Partition(partition));
            }
            pause(PAGE_PAUSE, stop).await;
        }
        self.store.mark_seeded(seeding, fingerprint).await?;
        self.compared.push(seeding.channel.clone());
        Ok(())
    }
}
