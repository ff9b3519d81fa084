//! The operator's hand: pausing, resuming and telling again. The log says who did it.

use crate::{
    domain::{ChannelId, Operator, Refusal},
    grpc::convert::{Problem, ResyncQuery},
    store::Store,
};

/// Lets nobody call the channel any more.
pub(super) async fn pause(store: &Store, channel: &ChannelId, operator: &Operator) -> Result<(), Problem> {
    store.pause_channel(channel, operator.name(), operator.reason.as_str()).await?;
    store.ring(std::slice::from_ref(channel)).await?;
    tracing::info!(
        channel = channel.as_str(),
        actor = operator.actor.as_str(),
        client = operator.client.as_str(),
        reason = operator.reason.as_str(),
        "a channel was paused"
    );
    Ok(())
}

/// Lets the channel be called again at once.
pub(super) async fn resume(store: &Store, channel: &ChannelId, operator: &Operator) -> Result<(), Problem> {
    store.resume_channel(channel).await?;
    store.ring(std::slice::from_ref(channel)).await?;
    tracing::info!(
        channel = channel.as_str(),
        actor = operator.actor.as_str(),
        client = operator.client.as_str(),
        "a channel was resumed"
    );
    Ok(())
}

/// Has these channels told again; answers how many SKUs are due at once for it, counted per channel.
pub(super) async fn resync(
    store: &Store,
    channels: &[ChannelId],
    query: &ResyncQuery,
) -> Result<usize, Problem> {
    if !store.resync(channels, query.sku.as_ref()).await? {
        let unknown = query.sku.clone().into_iter().collect();
        return Err(Problem::refused(&Refusal::UnknownSku(unknown), false));
    }
    tracing::info!(
        channel = query.channel.as_ref().map(tracing::field::display),
        sku = query.sku.as_ref().map(tracing::field::display),
        actor = query.operator.actor.as_str(),
        client = query.operator.client.as_str(),
        reason = query.operator.reason.as_str(),
        "channels are told again"
    );
    Ok(query.sku.as_ref().map_or(0, |_| channels.len()))
}
