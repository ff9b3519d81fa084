//! Which channels anybody serves. During a rollout workers differ in their settings and share one stream: whoever carries an
//! entry must mark it on every channel that somebody serves, its own or not.

use std::collections::HashMap;

use crate::domain::ChannelId;

use super::{Store, StoreError};

/// A channel nobody served for so long is told no more; when it comes back it is told about all stock.
const FORGOTTEN_AFTER_MS: i64 = 24 * 3_600_000;
/// The most channels marked by one worker; a gateway has at most 64 of its own.
const CHANNELS_MAX: usize = 256;

impl Store {
    /// Says that the configured channels are served. One that was forgotten meanwhile is to be told about all stock again.
    pub async fn register_channels(&self) -> Result<(), StoreError> {
        if self.channels().is_empty() {
            return Ok(());
        }
        let (now_ms, seen) = (self.now_ms().await?, self.channels_seen().await?);
        let is_forgotten =
            |channel: &ChannelId| seen.get(channel.as_str()).is_none_or(|at| is_old(*at, now_ms));
        for channel in self.channels().iter().filter(|channel| is_forgotten(channel)) {
            // Before it is registered: a crash in between must not leave it registered and believed to be told.
            self.forget_policy(channel).await?;
        }
        let key = self.inner.keys.channels();
        let mut command = redis::cmd("HSET");
        command.arg(&key);
        for channel in self.channels() {
            command.arg(channel.as_str()).arg(now_ms);
        }
        let _: i64 = self.query_at(&key, &command).await?;
        Ok(())
    }

    /// The configured channels, then those others serve.
    pub async fn served_channels(&self) -> Result<Vec<ChannelId>, StoreError> {
        let (now_ms, seen) = (self.now_ms().await?, self.channels_seen().await?);
        let mut others: Vec<(i64, ChannelId)> = seen
            .into_iter()
            .filter(|(_, at)| !is_old(*at, now_ms))
            .filter_map(|(name, at)| Some((at, ChannelId::parse(&name).ok()?)))
            .filter(|(_, channel)| !self.channels().contains(channel))
            .collect();
        others.sort_by(|one, other| other.cmp(one));
        let mut served = self.channels().to_vec();
        let room = CHANNELS_MAX.saturating_sub(served.len());
        if others.len() > room {
            tracing::error!(
                served = served.len() + others.len(),
                told_max = CHANNELS_MAX,
                "too many channels share this namespace and some are not told: give shops a redis.namespace each"
            );
        }
        served.extend(others.into_iter().take(room).map(|(_, channel)| channel));
        Ok(served)
    }

    async fn channels_seen(&self) -> Result<HashMap<String, i64>, StoreError> {
        let key = self.inner.keys.channels();
        self.query_at(&key, redis::cmd("HGETALL").arg(&key)).await
    }
}

fn is_old(seen_ms: i64, now_ms: i64) -> bool {
    now_ms - seen_ms > FORGOTTEN_AFTER_MS
}
