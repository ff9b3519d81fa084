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
    dead: bool,
    dead_time: Option<String>,
    listing_paused: bool,
    wanted_paused: bool,
    next_attempt_time: Option<String>,
    oldest_unconfirmed_time: Option<String>,
    last_error: String,
}

impl From<SyncStatus> for SyncRow {
    fn from(status: SyncStatus) -> Self {
        Self {
            why: status.explanation,
            channel: status.channel,
            in_sync: status.in_sync,
            wanted_quantity: status.wanted_quantity,
            confirmed_quantity: status.confirmed_quantity,
            confirmed_version: status.confirmed_version,
            confirm_time: moment::show(status.confirm_time),
            attempts: status.attempts,
            leased: status.leased,
            dead: status.dead,
            dead_time: moment::show(status.dead_time),
            listing_paused: status.listing_paused,
            wanted_paused: status.wanted_paused,
            next_attempt_time: moment::show(status.next_attempt_time),
            oldest_unconfirmed_time: moment::show(status.oldest_unconfirmed_time),
            last_error: status.last_error,
        }
    }
}

/// A quantity, and whether its listing is paused with it.
fn shown(quantity: i64, paused: bool) -> String {
    if paused { format!("{quantity} (paused)") } else { quantity.to_string() }
}

impl Row for SyncRow {
    const HEAD: &'static [&'static str] =
        &["channel", "should show", "shows", "of version", "confirmed", "why"];

    fn cells(&self) -> Vec<String> {
        let told = self.confirmed_version > 0;
        let if_told = |text: String| if told { text } else { String::new() };
        vec![
            self.channel.clone(),
            shown(self.wanted_quantity, self.wanted_paused),
            if_told(shown(self.confirmed_quantity, self.listing_paused)),
            if_told(self.confirmed_version.to_string()),
            self.confirm_time.clone().unwrap_or_default(),
            self.why.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_told_channel_shows_no_number() {
        let row = SyncRow::from(SyncStatus {
            channel: "web".to_owned(),
            wanted_quantity: 4,
            ..SyncStatus::default()
        });
        assert_eq!(row.cells()[..4], ["web", "4", "", ""].map(str::to_owned));
    }

    #[test]
    fn paused_listing_is_shown_with_its_number() {
        let row =
            SyncRow::from(SyncStatus { confirmed_version: 3, wanted_paused: true, ..SyncStatus::default() });
        assert_eq!(row.cells()[1..4], ["0 (paused)", "0", "3"].map(str::to_owned));
    }
}
