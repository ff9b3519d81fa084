//! `stockgate channels status`: "why is this SKU stale there".

use clap::Args;
use serde::Serialize;

use super::super::{
    Verdict,
    failure::CliError,
    gateway::Gateway,
    moment,
    output::{Output, Row},
};
use crate::proto::{GetSyncStatusRequest, SyncStatus};

/// Says where one SKU stands on every channel.
#[derive(Debug, Args)]
pub(in crate::cli) struct Status {
    /// The SKU
    sku: String,
}

impl Status {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let request = gateway.request(GetSyncStatusRequest { sku: self.sku.clone() });
        let answer = gateway.channels().get_sync_status(request).await?.into_inner();
        let rows: Vec<_> = answer.channels.into_iter().map(SyncRow::from).collect();
        if output == Output::Table {
            eprintln!("{}: version {}, available {}", self.sku, answer.version, answer.available);
        }
        output.rows(&rows)?;
        Ok(Verdict::Fine)
    }
}

#[derive(Debug, Serialize)]
struct SyncRow {
    channel: String,
    in_sync: bool,
    why: String,
    wanted_quantity: i64,
    confirmed_quantity: i64,
    confirmed_version: i64,
    confirm_time: Option<String>,
    attempts: i64,
    leased: bool,
    next_attempt_time: Option<String>,
    oldest_unconfirmed_time: Option<String>,
    last_error: String,
}

impl From<SyncStatus> for SyncRow {
    fn from(status: SyncStatus) -> Self {
        Self {
            why: why(&status),
            channel: status.channel,
            in_sync: status.in_sync,
            wanted_quantity: status.wanted_quantity,
            confirmed_quantity: status.confirmed_quantity,
            confirmed_version: status.confirmed_version,
            confirm_time: moment::show(status.confirm_time),
            attempts: status.attempts,
            leased: status.leased,
            next_attempt_time: moment::show(status.next_attempt_time),
            oldest_unconfirmed_time: moment::show(status.oldest_unconfirmed_time),
            last_error: status.last_error,
        }
    }
}

/// The state in words: what a person asks first.
fn why(status: &SyncStatus) -> String {
    if status.in_sync {
        return "in sync".to_owned();
    }
    let behind = moment::show_age(status.oldest_unconfirmed_time);
    let next = moment::show_until(status.next_attempt_time);
    match (status.leased, status.attempts) {
        (true, _) => format!("being told now, behind for {behind}"),
        (false, 0) => format!("waiting to be told, behind for {behind}"),
        (false, 1) => format!("failed once, next try {next}, behind for {behind}"),
        (false, attempts) => format!("failed {attempts} times, next try {next}, behind for {behind}"),
    }
}

impl Row for SyncRow {
    const HEAD: &'static [&'static str] =
        &["channel", "should show", "shows", "of version", "confirmed", "why", "last error"];

    fn cells(&self) -> Vec<String> {
        let told = self.confirmed_version > 0;
        let if_told = |text: String| if told { text } else { String::new() };
        vec![
            self.channel.clone(),
            self.wanted_quantity.to_string(),
            if_told(self.confirmed_quantity.to_string()),
            if_told(self.confirmed_version.to_string()),
            self.confirm_time.clone().unwrap_or_default(),
            self.why.clone(),
            self.last_error.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_says_what_happens_next() {
        let check = |status: SyncStatus, said: &str| {
            let text = why(&status);
            assert!(text.starts_with(said), "{text}");
        };
        check(SyncStatus { in_sync: true, ..SyncStatus::default() }, "in sync");
        check(SyncStatus { leased: true, attempts: 4, ..SyncStatus::default() }, "being told now");
        check(SyncStatus::default(), "waiting to be told");
        let next_attempt_time = Some(moment::to_proto(jiff::Timestamp::UNIX_EPOCH));
        let failing = SyncStatus { attempts: 3, next_attempt_time, ..SyncStatus::default() };
        check(failing, "failed 3 times, next try now");
    }

    #[test]
    fn never_told_channel_shows_no_number() {
        let row = SyncRow::from(SyncStatus {
            channel: "web".to_owned(),
            wanted_quantity: 4,
            ..SyncStatus::default()
        });
        assert_eq!(row.cells()[..4], ["web", "4", "", ""].map(str::to_owned));
    }
}
