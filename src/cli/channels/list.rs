//! `stockgate channels list`: every channel with its lag.

use std::time::Duration;

use serde::Serialize;

use super::super::{
    Verdict,
    failure::CliError,
    gateway::Gateway,
    moment,
    output::{Output, Row},
};
use crate::proto::{BreakerState, ChannelStatus, ListChannelsRequest};

/// Lists the channels.
pub(super) async fn run(gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
    let request = gateway.request(ListChannelsRequest {});
    let answer = gateway.channels().list_channels(request).await?.into_inner();
    let rows: Vec<_> = answer.channels.into_iter().map(ChannelRow::from).collect();
    output.rows(&rows)?;
    Ok(Verdict::Fine)
}

#[derive(Debug, Serialize)]
struct ChannelRow {
    channel: String,
    kind: String,
    sync_lag_ms: u64,
    oldest_unconfirmed_time: Option<String>,
    due_count: i64,
    leased_count: i64,
    retrying_count: i64,
    dead_count: i64,
    max_attempts: i64,
    breaker: &'static str,
    breaker_probe_time: Option<String>,
    paused: bool,
    paused_by: String,
    pause_reason: String,
    pause_time: Option<String>,
    throttled_until_time: Option<String>,
    rate: f64,
    exposed_units: i64,
    #[serde(skip)]
    state: String,
}

impl From<ChannelStatus> for ChannelRow {
    fn from(status: ChannelStatus) -> Self {
        let lag = status.sync_lag.and_then(|lag| Duration::try_from(lag).ok()).unwrap_or_default();
        Self {
            state: state(&status),
            breaker: breaker_word(status.breaker()),
            channel: status.channel,
            kind: status.kind,
            sync_lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
            oldest_unconfirmed_time: moment::show(status.oldest_unconfirmed_time),
            due_count: status.due_count,
            leased_count: status.leased_count,
            retrying_count: status.retrying_count,
            dead_count: status.dead_count,
            max_attempts: status.max_attempts,
            breaker_probe_time: moment::show(status.breaker_probe_time),
            paused: status.paused,
            paused_by: status.paused_by,
            pause_reason: status.pause_reason,
            pause_time: moment::show(status.pause_time),
            throttled_until_time: moment::show(status.throttled_until_time),
            rate: status.rate,
            exposed_units: status.exposed_units,
        }
    }
}

/// What keeps a channel from being told, the strongest first; empty when nothing does.
fn state(status: &ChannelStatus) -> String {
    if status.paused {
        let why = match status.pause_reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        return format!("paused by {}{why}", status.paused_by);
    }
    match status.breaker() {
        BreakerState::Open => format!("fails, probe {}", moment::show_until(status.breaker_probe_time)),
        BreakerState::HalfOpen => "fails, probed now".to_owned(),
        BreakerState::Closed | BreakerState::Unspecified => match status.throttled_until_time {
            Some(until) => format!("throttled, told {}", moment::show_until(Some(until))),
            None => String::new(),
        },
    }
}

fn breaker_word(breaker: BreakerState) -> &'static str {
    match breaker {
        BreakerState::Unspecified => "unspecified",
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half_open",
    }
}

impl Row for ChannelRow {
    const HEAD: &'static [&'static str] = &[
        "channel",
        "kind",
        "sync lag",
        "due",
        "leased",
        "retrying",
        "dead",
        "exposed",
        "oldest unconfirmed",
        "state",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.channel.clone(),
            self.kind.clone(),
            moment::show_duration(Duration::from_millis(self.sync_lag_ms)),
            self.due_count.to_string(),
            self.leased_count.to_string(),
            self.retrying_count.to_string(),
            self.dead_count.to_string(),
            self.exposed_units.to_string(),
            self.oldest_unconfirmed_time.clone().unwrap_or_default(),
            self.state.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::output::table, *};

    #[test]
    fn channel_shows_its_lag() {
        let status = ChannelStatus {
            channel: "web".to_owned(),
            kind: "webhook".to_owned(),
            sync_lag: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            due_count: 3,
            retrying_count: 1,
            dead_count: 2,
            paused: true,
            paused_by: "ann".to_owned(),
            pause_reason: "sale check".to_owned(),
            ..ChannelStatus::default()
        };
        assert_eq!(
            table(&[ChannelRow::from(status)]),
            "CHANNEL  KIND     SYNC LAG  DUE  LEASED  RETRYING  DEAD  EXPOSED  OLDEST UNCONFIRMED  STATE\n\
             web      webhook  1s 500ms    3       0         1     2        0  -                   paused by ann: sale check"
        );
    }

    #[test]
    fn state_names_the_strongest_hindrance() {
        let past = Some(moment::to_proto(jiff::Timestamp::UNIX_EPOCH));
        let throttled = ChannelStatus { throttled_until_time: past, ..ChannelStatus::default() };
        let open = ChannelStatus {
            breaker: BreakerState::Open.into(),
            breaker_probe_time: past,
            ..throttled.clone()
        };
        let half = ChannelStatus { breaker: BreakerState::HalfOpen.into(), ..open.clone() };
        let paused = ChannelStatus { paused: true, paused_by: "ann".to_owned(), ..open.clone() };
        let rows = [
            (ChannelStatus::default(), ""),
            (throttled, "throttled, told now"),
            (open, "fails, probe now"),
            (half, "fails, probed now"),
            (paused, "paused by ann"),
        ];
        for (status, said) in rows {
            assert_eq!(state(&status), said, "{status:?}");
        }
    }
}
