//! Says which channels this worker serves, and tells those that are new, or have a new policy, about the stock that is there
//! already: page by page, beside the live changes.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    domain::ChannelId,
    store::{SeedingCause, Store, StoreError, WalkPosition},
};

use super::{FAULT_PAUSE, Wake, fan_out::CHANNELS_REFRESH, outage::Outage, pause};

/// How often the channels are registered.
const REGISTER_INTERVAL: Duration = Duration::from_secs(5);
/// From registering a channel to telling it all stock: twice what other workers take to hear of it, so that no change falls
/// between their marks and ours.
const HEARD_AFTER: Duration = CHANNELS_REFRESH.saturating_mul(2);

/// A channel, and the fingerprint of its policy and address.
pub(super) type Fingerprinted = (ChannelId, String);

pub(super) async fn run(store: Store, channels: Vec<Fingerprinted>, wake: Wake, stop: CancellationToken) {
    let mut outage = Outage::of("tell new channels about all stock", None);
    // Policies are compared at the start only: during a rollout old and new workers would tell all stock in turns for ever.
    let mut compares_policies = true;
    loop {
        let wait = match round(&store, &channels, compares_policies, &wake, &stop).await {
            Ok(()) => {
                compares_policies = false;
                outage.is_over();
                REGISTER_INTERVAL
            }
            Err(fault) => {
                outage.is_felt(&fault);
                FAULT_PAUSE
            }
        };
        if !pause(wait, &stop).await {
            return;
        }
    }
}

async fn round(
    store: &Store,
    channels: &[Fingerprinted],
    compares_policies: bool,
    wake: &Wake,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    store.register_channels().await?;
    let mut seedings = Vec::new();
    for (channel, fingerprint) in channels {
        let compared = compares_policies.then_some(fingerprint.as_str());
        seedings.extend(store.seeding(channel, compared).await?.map(|seeding| (seeding, fingerprint)));
    }
    if seedings.is_empty() || !pause(HEARD_AFTER, stop).await {
        return Ok(());
    }
    for (seeding, fingerprint) in seedings {
        let channel = seeding.channel.as_str();
        match seeding.cause {
            SeedingCause::New => info!(channel, "a new channel is told about all stock"),
            SeedingCause::Outdated => info!(
                channel,
                "a channel is told about all stock again: its policy or address changed, or it was away for long"
            ),
        }
        let mut at = Some(WalkPosition::default());
        while let Some(position) = at {
            if stop.is_cancelled() {
                return Ok(());
            }
            at = store.seed_channel(&seeding, position).await?;
            wake.all();
        }
        store.mark_seeded(&seeding.channel, fingerprint).await?;
    }
    Ok(())
}
