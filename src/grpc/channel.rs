//! ChannelService: how far behind channels are, and why; and the operator's hand on them.

mod explanation;
mod hand;
mod letters;
mod standing;
mod streams;

use tonic::{Request, Response, Status};

use crate::{
    domain::{ChannelId, PublishPolicy, Refusal},
    proto::{self, channel_service_server::ChannelService},
    store::{DeadRemedy, Store, StoredLevel},
};

use super::{
    convert::{self, Problem, RemedyQuery},
    decide::caller,
    stock::broken,
    token::{Purpose, open_dead, seal_dead},
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
    /// Calls per second over all workers; None: no limit.
    pub rate: Option<f64>,
    /// Failures that make a dead letter.
    pub attempts_max: u32,
}

/// The service.
pub(super) struct ChannelServer {
    pub(super) store: Store,
    pub(super) channels: Vec<ChannelInfo>,
}

impl ChannelServer {
    /// A configured channel.
    fn info(&self, channel: &ChannelId) -> Result<&ChannelInfo, Problem> {
        self.channels
            .iter()
            .find(|info| info.id == *channel)
            .ok_or_else(|| convert::unknown_channel(channel, self.channels.iter().map(|info| &info.id)))
    }

    /// One that is named must be configured.
    fn check(&self, channel: Option<&ChannelId>) -> Result<(), Problem> {
        channel.map_or(Ok(()), |channel| self.info(channel).map(drop))
    }

    /// The channel that is named, or all of them.
    fn named(&self, channel: Option<&ChannelId>) -> Vec<ChannelId> {
        match channel {
            Some(channel) => vec![channel.clone()],
            None => self.channels.iter().map(|info| info.id.clone()).collect(),
        }
    }

    /// Replays or discards what the query asks for; answers how many were found and treated, some of them, and where to go on.
    async fn treat(
        &self,
        remedy: DeadRemedy,
        query: RemedyQuery,
    ) -> Result<(i64, i64, Vec<proto::DeadLetter>, String), Problem> {
        let RemedyQuery { mut scope, page_token, operator } = query;
        self.check(scope.channel.as_ref())?;
        let token = open_dead("page_token", Purpose::Remedy, &page_token)?;
        self.check(token.position.as_ref().map(|position| &position.channel))?;
        // What dies again by this call's own doing is not treated by the next: that would never end.
        let until_ms = match token.until_ms {
            Some(until_ms) => until_ms,
            None => self.store.now_ms().await? + 1,
        };
        scope.until_ms = Some(until_ms);
        let position = token.position.as_ref();
        let done = self.store.treat_dead_letters(remedy, &scope, position, operator.as_ref()).await?;
        if let Some(operator) = &operator {
            letters::log(remedy, &scope, operator, &done);
        }
        // A ring for no channel is none.
        if let Err(fault) = self.store.ring(&done.channels).await {
            // It is done; workers find it a second later.
            tracing::debug!(error = &fault as &dyn std::error::Error, "cannot ring for what was replayed");
        }
        let sample = done.sample.iter().map(|letter| letters::message(letter, &self.channels)).collect();
        let next =
            done.next.map(|next| seal_dead(Purpose::Remedy, &next, Some(until_ms))).unwrap_or_default();
        Ok((standing::count(done.matched), standing::count(done.treated), sample, next))
    }
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
            let control = self.store.channel_control(&info.id).await.map_err(Problem::from)?;
            channels.push(standing::of_channel(info, &counts, &control, now_ms));
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
        let now_ms = self.store.now_ms().await.map_err(Problem::from)?;
        let mut channels = Vec::with_capacity(self.channels.len());
        for info in &self.channels {
            let state = self.store.sync_state(&info.id, &sku).await.map_err(Problem::from)?;
            let control = self.store.channel_control(&info.id).await.map_err(Problem::from)?;
            channels.push(standing::of_sku(info, &state, &control, &level, now_ms));
        }
        let (version, available) = (level.version, level.available());
        Ok(Response::new(proto::GetSyncStatusResponse { version, available, channels }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<proto::ListDeadLettersRequest>,
    ) -> Result<Response<proto::ListDeadLettersResponse>, Status> {
        let query = convert::list_dead_letters(request.into_inner())?;
        self.check(query.scope.channel.as_ref())?;
        let token = open_dead("page_token", Purpose::DeadLetters, &query.page_token)?;
        self.check(token.position.as_ref().map(|position| &position.channel))?;
        let page = self.store.dead_letters(&query.scope, token.position.as_ref(), query.page_size).await;
        let page = page.map_err(Problem::from)?;
        Ok(Response::new(proto::ListDeadLettersResponse {
            dead_letters: page
                .letters
                .iter()
                .map(|letter| letters::message(letter, &self.channels))
                .collect(),
            next_page_token: page
                .next
                .map(|next| seal_dead(Purpose::DeadLetters, &next, None))
                .unwrap_or_default(),
        }))
    }

    async fn replay_dead_letters(
        &self,
        request: Request<proto::ReplayDeadLettersRequest>,
    ) -> Result<Response<proto::ReplayDeadLettersResponse>, Status> {
        let query = convert::replay_dead_letters(request.into_inner(), caller())?;
        let (matched_count, replayed_count, sample, next_page_token) =
            self.treat(DeadRemedy::Replay, query).await?;
        let response =
            proto::ReplayDeadLettersResponse { matched_count, replayed_count, sample, next_page_token };
        Ok(Response::new(response))
    }

    async fn discard_dead_letters(
        &self,
        request: Request<proto::DiscardDeadLettersRequest>,
    ) -> Result<Response<proto::DiscardDeadLettersResponse>, Status> {
        let query = convert::discard_dead_letters(request.into_inner(), caller())?;
        let (matched_count, discarded_count, sample, next_page_token) =
            self.treat(DeadRemedy::Discard, query).await?;
        let response =
            proto::DiscardDeadLettersResponse { matched_count, discarded_count, sample, next_page_token };
        Ok(Response::new(response))
    }

    async fn pause_channel(
        &self,
        request: Request<proto::PauseChannelRequest>,
    ) -> Result<Response<proto::PauseChannelResponse>, Status> {
        let (channel, operator) = convert::pause_channel(request.into_inner(), caller())?;
        self.info(&channel)?;
        hand::pause(&self.store, &channel, &operator).await?;
        Ok(Response::new(proto::PauseChannelResponse {}))
    }

    async fn resume_channel(
        &self,
        request: Request<proto::ResumeChannelRequest>,
    ) -> Result<Response<proto::ResumeChannelResponse>, Status> {
        let (channel, operator) = convert::resume_channel(request.into_inner(), caller())?;
        self.info(&channel)?;
        hand::resume(&self.store, &channel, &operator).await?;
        Ok(Response::new(proto::ResumeChannelResponse {}))
    }

    async fn resync(
        &self,
        request: Request<proto::ResyncRequest>,
    ) -> Result<Response<proto::ResyncResponse>, Status> {
        let query = convert::resync(request.into_inner(), caller())?;
        self.check(query.channel.as_ref())?;
        let marked = hand::resync(&self.store, &self.named(query.channel.as_ref()), &query).await?;
        let marked_count = i64::try_from(marked).unwrap_or(i64::MAX);
        Ok(Response::new(proto::ResyncResponse { marked_count }))
    }

    async fn get_stream_stats(
        &self,
        _request: Request<proto::GetStreamStatsRequest>,
    ) -> Result<Response<proto::GetStreamStatsResponse>, Status> {
        let now_ms = self.store.now_ms().await.map_err(Problem::from)?;
        let all = self.store.stream_stats().await.map_err(Problem::from)?;
        let streams =
            all.iter().zip(0..).map(|(stats, partition)| streams::message(partition, stats, now_ms));
        Ok(Response::new(proto::GetStreamStatsResponse { streams: streams.collect() }))
    }
}
