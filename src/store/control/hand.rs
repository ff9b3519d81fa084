//! The operator's hand on a channel: pause, resume, and what steers the channel now.

use crate::domain::{BreakerState, ChannelId};

use super::{
    super::{Store, StoreError},
    TOKENS_PER_CALL,
};

/// At full pace.
const PACE_FULL: i64 = 1000;
/// One permille of pace comes back in so long, as in `lua/include/bucket.lua`.
const PACE_PERMILLE_MS: i64 = 60;

/// An operator's pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelPause {
    /// Since when, in ms of the Redis clock.
    pub since_ms: i64,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What steers a channel now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelControl {
    /// The operator's pause, while there is one.
    pub pause: Option<ChannelPause>,
    /// The breaker.
    pub breaker: BreakerState,
    /// While it is not closed: when the next probe may go, in ms of the Redis clock.
    pub probe_ms: Option<i64>,
    /// While the channel asked to be left alone: until when, in ms of the Redis clock.
    pub not_before_ms: Option<i64>,
    /// Whole calls in the token bucket when it was last drawn from.
    pub tokens: i64,
    /// Share of its rate the channel is called at, 50 to 1,000 permille: halved when it says "too many", back within a minute.
    pub pace_permille: u32,
    /// Units it shows beyond what is there, when that was last measured.
    pub exposed_units: i64,
}

impl Store {
    /// Lets no more calls to a channel through until it is resumed; what is due waits and burns no attempts.
    pub async fn pause_channel(
        &self,
        channel: &ChannelId,
        actor: &str,
        reason: &str,
    ) -> Result<(), StoreError> {
        let now_ms = self.now_ms().await?;
        let key = self.inner.keys.control(channel);
        let mut command = redis::cmd("HSET");
        command.arg(&key).arg("paused").arg(now_ms);
        command.arg("paused_by").arg(actor).arg("paused_why").arg(reason);
        self.query_at::<i64>(&key, &command).await.map(drop)
    }

    /// Lets calls through again at once: lifts the pause, closes the breaker, forgets that the channel asked to be left alone.
    pub async fn resume_channel(&self, channel: &ChannelId) -> Result<(), StoreError> {
        let key = self.inner.keys.control(channel);
        let mut command = redis::cmd("HDEL");
        // `turns` stays, or calls from before the breaker opened would count again.
        command.arg(&key).arg(&[
            "paused",
            "paused_by",
            "paused_why",
            "opened",
            "openings",
            "probe_at",
            "probe",
            "probe_end",
            "streak",
            "worked",
            "failed",
            "worked_before",
            "failed_before",
            "not_before",
            "slowed",
            "slowed_at",
        ]);
        self.query_at::<i64>(&key, &command).await.map(drop)
    }

    /// Writes down how many units a channel shows beyond what is there.
    pub async fn expose(&self, channel: &ChannelId, units: i64) -> Result<(), StoreError> {
        let key = self.inner.keys.control(channel);
        let mut command = redis::cmd("HSET");
        command.arg(&key).arg("exposed").arg(units);
        self.query_at::<i64>(&key, &command).await.map(drop)
    }

    /// What steers a channel now.
    pub async fn channel_control(&self, channel: &ChannelId) -> Result<ChannelControl, StoreError> {
        self.control_by(&self.inner.keys.control(channel)).await
    }

    /// The same by the key of what steers the calls.
    pub(super) async fn control_by(&self, key: &str) -> Result<ChannelControl, StoreError> {
        let now_ms = self.now_ms().await?;
        let mut command = redis::cmd("HMGET");
        command.arg(key).arg(&[
            "paused",
            "paused_by",
            "paused_why",
            "opened",
            "probe_at",
            "probe",
            "probe_end",
            "not_before",
            "slowed",
            "slowed_at",
            "tokens",
            "exposed",
        ]);
        let texts: Vec<Option<String>> = self.query_at(key, &command).await?;
        let texts: [Option<String>; 12] = texts.try_into().map_err(|_| StoreError::Corrupt {
            script: "HMGET",
            detail: "another count of values than of fields".to_owned(),
        })?;
        Ok(control(texts, now_ms))
    }
}

fn control(texts: [Option<String>; 12], now_ms: i64) -> ChannelControl {
    let [
        paused,
        actor,
        reason,
        opened,
        probe_at,
        probe,
        probe_end,
        not_before,
        slowed,
        slowed_at,
        tokens,
        exposed,
    ] = texts;
    // As in the scripts: what is no number is 0.
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0_i64);
    let (since_ms, not_before_ms, probe_end_ms) = (number(paused), number(not_before), number(probe_end));
    let is_probing = probe.is_some_and(|token| !token.is_empty()) && now_ms < probe_end_ms;
    let (breaker, probe_ms) = match number(opened) {
        0 => (BreakerState::Closed, None),
        _ if is_probing => (BreakerState::HalfOpen, Some(probe_end_ms)),
        _ => (BreakerState::Open, Some(number(probe_at))),
    };
    let regained = (now_ms - number(slowed_at)).max(0) / PACE_PERMILLE_MS;
    let pace = PACE_FULL - (number(slowed) - regained).max(0);
    ChannelControl {
        pause: (since_ms > 0).then(|| ChannelPause {
            since_ms,
            actor: actor.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
        }),
        breaker,
        probe_ms,
        not_before_ms: (not_before_ms > now_ms).then_some(not_before_ms),
        tokens: number(tokens) / TOKENS_PER_CALL,
        pace_permille: u32::try_from(pace).unwrap_or(0),
        exposed_units: number(exposed),
    }
}
