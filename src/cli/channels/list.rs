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
use crate::proto::{ChannelStatus, ListChannelsRequest};

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
}

impl From<ChannelStatus> for ChannelRow {
    fn from(status: ChannelStatus) -> Self {
        let lag = status.sync_lag.and_then(|lag| Duration::try_from(lag).ok()).unwrap_or_default();
        Self {
            channel: status.channel,
            kind: status.kind,
            sync_lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
            oldest_unconfirmed_time: moment::show(status.oldest_unconfirmed_time),
            due_count: status.due_count,
            leased_count: status.leased_count,
            retrying_count: status.retrying_count,
        }
    }
}

impl Row for ChannelRow {
    const HEAD: &'static [&'static str] =
        &["channel", "kind", "sync lag", "due", "leased", "retrying", "oldest unconfirmed"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.channel.clone(),
            self.kind.clone(),
            moment::show_duration(Duration::from_millis(self.sync_lag_ms)),
            self.due_count.to_string(),
            self.leased_count.to_string(),
            self.retrying_count.to_string(),
            self.oldest_unconfirmed_time.clone().unwrap_or_default(),
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
            ..ChannelStatus::default()
        };
        assert_eq!(
            table(&[ChannelRow::from(status)]),
            "CHANNEL  KIND     SYNC LAG  DUE  LEASED  RETRYING  OLDEST UNCONFIRMED\n\
             web      webhook  1s 500ms    3       0         1  -"
        );
    }
}
