//! Measures how far behind channels are and what that costs. Counts come from Redis, so every worker shows the same numbers;
//! what is counted, and the line in the log, come from one worker per case.

use std::time::Duration;

use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use crate::{
    domain::{BreakerState, ChannelId, Partition, PublishPolicy},
    store::{ChannelCounts, ExposurePlace, Lateness, Store, StoreError},
    telemetry,
};

use super::{WorkerSettings, pause};

/// Partitions a walk goes through in one round, however little is in them.
const PAGES_MAX: usize = 64;
/// While nothing is unconfirmed anywhere, breakers and pauses are looked at every so many rounds.
const QUIET_ROUNDS: u32 = 10;

pub(super) async fn run(
    store: Store,
    policies: Vec<(ChannelId, PublishPolicy)>,
    settings: WorkerSettings,
    stop: CancellationToken,
) {
    let channels = policies.into_iter().map(|(id, policy)| Watched::new(id, policy)).collect();
    let mut gauges = Gauges { store, settings, channels, quiet_rounds: 0 };
    while pause(gauges.settings.poll_interval, &stop).await {
        if let Err(fault) = gauges.measure().await {
            // Readiness tells of it already.
            debug!(error = &fault as &dyn std::error::Error, "cannot measure channels now");
        }
    }
}

struct Gauges {
    store: Store,
    settings: WorkerSettings,
    channels: Vec<Watched>,
    /// Rounds since anything was unconfirmed or looked at.
    quiet_rounds: u32,
}

/// One channel, and what was said of it.
struct Watched {
    id: ChannelId,
    policy: PublishPolicy,
    /// None at first: a note may be left of a time when no worker was there to take it back.
    critical: Option<bool>,
    costly: Option<bool>,
    /// Where the walk over its unconfirmed SKUs is, and what it found so far.
    place: ExposurePlace,
    exposed_so_far: i64,
    /// None at first: what another worker noted may be out of date.
    exposed: Option<i64>,
}

impl Gauges {
    async fn measure(&mut self) -> Result<(), StoreError> {
        let now_ms = self.store.now_ms().await?;
        // What is not carried is due nowhere yet: every channel lags by it.
        let uncarried_ms = self.store.oldest_uncarried_ms().await?;
        let uncarried_ms = uncarried_ms.map_or(0, |oldest_ms| (now_ms - oldest_ms).max(0));
        gauge!(telemetry::UNCARRIED_SECONDS).set(uncarried_ms as f64 / 1000.0);
        let is_stuck =
            u128::try_from(uncarried_ms).is_ok_and(|ms| ms > self.settings.lag_critical.as_millis());
        let unconfirmed = self.store.partitions_unconfirmed().await?;
        let is_busy = is_stuck || !unconfirmed.is_empty();
        self.quiet_rounds = if is_busy { 0 } else { self.quiet_rounds.saturating_add(1) };
        if !is_busy && self.quiet_rounds != 1 && !self.quiet_rounds.is_multiple_of(QUIET_ROUNDS) {
            return Ok(());
        }
        for channel in &mut self.channels {
            let counts = match is_busy {
                true => self.store.channel_counts_in(&channel.id, &unconfirmed).await?,
                false => ChannelCounts::default(),
            };
            let lag_ms = counts.oldest_unconfirmed_ms.map_or(0, |oldest| (now_ms - oldest).max(0));
            let lag_ms = if is_stuck { lag_ms.max(uncarried_ms) } else { lag_ms };
            channel.show(&counts, lag_ms);
            channel.show_control(&self.store).await?;
            channel.walk(&self.store, &counts, &unconfirmed).await?;
            // A resync or a first telling takes its time, and nobody shows a wrong number meanwhile.
            let is_only_behind = !is_stuck && counts.leased == 0 && counts.due == counts.behind;
            let judged_ms = if is_only_behind { 0 } else { lag_ms };
            channel.judge(&self.store, &self.settings, &counts, judged_ms).await?;
        }
        Ok(())
    }
}

impl Watched {
    fn new(id: ChannelId, policy: PublishPolicy) -> Self {
        let place = ExposurePlace::default();
        // A rate needs a start.
        for name in [telemetry::LAG_CRITICAL, telemetry::LAG_COST_EVENTS] {
            counter!(name, "channel" => id.as_str().to_owned()).increment(0);
        }
        Self { id, policy, critical: None, costly: None, place, exposed_so_far: 0, exposed: None }
    }

    fn label(&self) -> String {
        self.id.as_str().to_owned()
    }

    fn show(&self, counts: &ChannelCounts, lag_ms: i64) {
        // All of these are far below 2^53.
        gauge!(telemetry::OLDEST_UNCONFIRMED_SECONDS, "channel" => self.label()).set(lag_ms as f64 / 1000.0);
        gauge!(telemetry::DUE, "channel" => self.label()).set(counts.due as f64);
        gauge!(telemetry::LEASED, "channel" => self.label()).set(counts.leased as f64);
        gauge!(telemetry::DEAD, "channel" => self.label()).set(counts.dead as f64);
    }

    async fn show_control(&self, store: &Store) -> Result<(), StoreError> {
        let control = store.channel_control(&self.id).await?;
        let state = match control.breaker {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        };
        gauge!(telemetry::BREAKER_STATE, "channel" => self.label()).set(state);
        let paused = if control.pause.is_some() { 1.0 } else { 0.0 };
        gauge!(telemetry::CHANNEL_PAUSED, "channel" => self.label()).set(paused);
        Ok(())
    }

    /// Goes on over the unconfirmed SKUs, up to a full page; the sum of a whole walk is what is shown.
    async fn walk(
        &mut self,
        store: &Store,
        counts: &ChannelCounts,
        unconfirmed: &[Partition],
    ) -> Result<(), StoreError> {
        let is_over = counts.oldest_unconfirmed_ms.is_none() && counts.dead == 0;
        if is_over {
            // Nothing is left to walk over, wherever the walk is.
            (self.place, self.exposed_so_far) = (ExposurePlace::default(), 0);
        }
        for page in 0.. {
            let place = self.place.within(unconfirmed).filter(|_| !is_over);
            let Some(place) = place else { break };
            if page > 0 && (page == PAGES_MAX || !place.is_first()) {
                self.place = place;
                return Ok(());
            }
            let (units, next) = store.exposure_page(&self.id, &self.policy, place).await?;
            self.exposed_so_far += units;
            match next {
                Some(next) => self.place = next,
                None => break,
            }
        }
        self.place = ExposurePlace::default();
        let exposed = std::mem::take(&mut self.exposed_so_far);
        if self.exposed != Some(exposed) {
            self.exposed = Some(exposed);
            store.expose(&self.id, exposed).await?;
        }
        gauge!(telemetry::EXPOSED_UNITS, "channel" => self.label()).set(exposed as f64);
        Ok(())
    }

    async fn judge(
        &mut self,
        store: &Store,
        settings: &WorkerSettings,
        counts: &ChannelCounts,
        lag_ms: i64,
    ) -> Result<(), StoreError> {
        let channel = self.id.as_str();
        let is_over = |limit: Duration| u128::try_from(lag_ms).unwrap_or(0) > limit.as_millis();
        let (critical, costly) = (is_over(settings.lag_critical), is_over(settings.lag_cost));
        if critical
            && self.critical != Some(true)
            && store.begin_lateness(&self.id, Lateness::Critical).await?
        {
            counter!(telemetry::LAG_CRITICAL, "channel" => self.label()).increment(1);
            error!(
                channel,
                lag_ms,
                due = counts.due,
                retrying = counts.retrying,
                exposed_units = self.exposed.unwrap_or(0),
                "CRITICAL: a channel is behind: its shoppers may buy what is gone; see stockgate channels list"
            );
        }
        if costly && self.costly != Some(true) && store.begin_lateness(&self.id, Lateness::Costly).await? {
            counter!(telemetry::LAG_COST_EVENTS, "channel" => self.label()).increment(1);
            error!(
                channel,
                lag_ms,
                exposed_units = self.exposed.unwrap_or(0),
                "COST: a channel is so far behind that it costs orders and rank"
            );
        }
        if !critical
            && self.critical != Some(false)
            && store.end_lateness(&self.id, Lateness::Critical).await?
        {
            info!(channel, "a channel is no longer behind");
        }
        if !costly && self.costly != Some(false) {
            store.end_lateness(&self.id, Lateness::Costly).await?;
        }
        (self.critical, self.costly) = (Some(critical), Some(costly));
        Ok(())
    }
}
