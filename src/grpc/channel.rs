//! ChannelService: how far behind channels are, and why.

use tonic::{Request, Response, Status};

use crate::{
    domain::{ChannelId, PublishPolicy, Refusal},
    proto::{self, channel_service_server::ChannelService},
    store::{Store, StoredLevel, SyncState},
};

use super::{
    convert::{self, Problem},
    stock::broken,
};

/// What is to be told of a configured channel.
#[derive(Debug, Clone)]
pub struct ChannelInfo {
    /// Its name.
    pub id: ChannelId,
    /// What it speaks.
    pub kind: &'static str,
    /// How much of the stock it may show.
    pub policy: PublishPolicy,
}

/// The service.
pub(super) struct ChannelServer {
    pub(super) store: Store,
    pub(super) channels: Vec<ChannelInfo>,
}

#[tonic::async_trait]
impl ChannelService for ChannelServer {
    async fn list_channels(
        &self,
        _request: Request<proto::ListChannelsRequest>,
    ) -> Result<Response<proto::ListChannelsResponse>, Status> {
        let now_ms = self.store.now_ms().await.map_err(Problem::from)?;
        let mut channels = Vec::with_capacity(self.channels.len());
        for info in &self.channels {
            let counts = self.store.channel_counts(&info.id).await.map_err(Problem::from)?;
            let lag_ms = counts.oldest_unconfirmed_ms.map_or(0, |oldest| (now_ms - oldest).max(0));
            channels.push(proto::ChannelStatus {
                channel: info.id.to_string(),
                kind: info.kind.to_owned(),
                sync_lag: Some(span(lag_ms)),
                oldest_unconfirmed_time: counts.oldest_unconfirmed_ms.map(convert::timestamp),
                due_count: count(counts.due),
                leased_count: count(counts.leased),
                retrying_count: count(counts.retrying),
            });
        }
        Ok(Response::new(proto::ListChannelsResponse { channels }))
    }

    async fn get_sync_status(
        &self,
        request: Request<proto::GetSyncStatusRequest>,
    ) -> Result<Response<proto::GetSyncStatusResponse>, Status> {
        let sku = convert::get_sync_status(request.get_ref())?;
        let levels = self.store.levels(std::slice::from_ref(&sku)).await.map_err(Problem::from)?;
        let level = match levels.into_iter().next() {
            Some(StoredLevel::Known { level, .. }) => level,
            Some(StoredLevel::Broken) => return Err(broken(&sku).into()),
            Some(StoredLevel::Unknown) | None => {
                return Err(Problem::refused(&Refusal::UnknownSku(vec![sku]), false).into());
            }
        };
        let mut channels = Vec::with_capacity(self.channels.len());
        for info in &self.channels {
            let state = self.store.sync_state(&info.id, &sku).await.map_err(Problem::from)?;
            channels.push(sync_status(info, &state, level.version, level.available()));
        }
        let (version, available) = (level.version, level.available());
        Ok(Response::new(proto::GetSyncStatusResponse { version, available, channels }))
    }
}

fn sync_status(info: &ChannelInfo, state: &SyncState, version: i64, available: i64) -> proto::SyncStatus {
    let told = state.confirmed_version > 0;
    let wanted_quantity = info.policy.published(available);
    let is_newest = state.confirmed_version >= version && state.confirmed_quantity == wanted_quantity;
    // What is sold out is due ahead of everything, at 0: since its oldest change.
    let due_ms = state.due_ms.map(|due_ms| due_ms.max(state.oldest_unconfirmed_ms.unwrap_or(0)));
    proto::SyncStatus {
        channel: info.id.to_string(),
        confirmed_version: state.confirmed_version,
        confirmed_quantity: state.confirmed_quantity,
        confirm_time: told.then(|| convert::timestamp(state.confirmed_ms)),
        wanted_quantity,
        in_sync: is_newest && state.oldest_unconfirmed_ms.is_none(),
        attempts: i64::from(state.attempts),
        next_attempt_time: due_ms.map(convert::timestamp),
        last_error: state.last_error.clone(),
        leased: state.lease_end_ms.is_some(),
        oldest_unconfirmed_time: state.oldest_unconfirmed_ms.map(convert::timestamp),
    }
}

fn span(ms: i64) -> prost_types::Duration {
    let nanos = i32::try_from(ms.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    prost_types::Duration { seconds: ms.div_euclid(1000), nanos }
}

fn count(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
