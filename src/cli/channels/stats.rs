//! `stockgate channels stats`: the streams of events, and what of them was not carried to channels yet.

use std::time::Duration;

use serde::Serialize;

use super::super::{
    Verdict,
    failure::CliError,
    gateway::Gateway,
    moment,
    output::{Output, Row},
};
use crate::proto::{GetStreamStatsRequest, StreamStats};

/// Shows the stream of every partition.
pub(super) async fn run(gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
    let request = gateway.request(GetStreamStatsRequest {});
    let answer = gateway.channels().get_stream_stats(request).await?.into_inner();
    let rows: Vec<_> = answer.streams.into_iter().map(StreamRow::from).collect();
    output.rows(&rows)?;
    // Such an entry waits for a person.
    Ok(Verdict::of_findings(rows.iter().any(|row| row.poison_count > 0)))
}

#[derive(Debug, Serialize)]
struct StreamRow {
    partition: i32,
    entry_count: i64,
    first_entry_time: Option<String>,
    last_entry_time: Option<String>,
    pending_count: i64,
    oldest_pending_age_ms: u64,
    undelivered_count: Option<i64>,
    consumer_count: i64,
    poison_count: i64,
}

impl From<StreamStats> for StreamRow {
    fn from(stats: StreamStats) -> Self {
        let age = stats.oldest_pending_age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default();
        Self {
            partition: stats.partition,
            entry_count: stats.entry_count,
            first_entry_time: moment::show(stats.first_entry_time),
            last_entry_time: moment::show(stats.last_entry_time),
            pending_count: stats.pending_count,
            oldest_pending_age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            undelivered_count: stats.undelivered_count,
            consumer_count: stats.consumer_count,
            poison_count: stats.poison_count,
        }
    }
}

impl Row for StreamRow {
    const HEAD: &'static [&'static str] = &[
        "partition",
        "entries",
        "first",
        "last",
        "undelivered",
        "pending",
        "oldest pending",
        "consumers",
        "poison",
    ];

    fn cells(&self) -> Vec<String> {
        let age = match self.pending_count {
            0 => String::new(),
            _ => moment::show_duration(Duration::from_millis(self.oldest_pending_age_ms)),
        };
        vec![
            self.partition.to_string(),
            self.entry_count.to_string(),
            self.first_entry_time.clone().unwrap_or_default(),
            self.last_entry_time.clone().unwrap_or_default(),
            self.undelivered_count.map_or_else(|| "?".to_owned(), |count| count.to_string()),
            self.pending_count.to_string(),
            age,
            self.consumer_count.to_string(),
            self.poison_count.to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::output::table, *};

    #[test]
    fn stream_shows_what_waits() {
        let stats = StreamStats {
            entry_count: 12,
            pending_count: 2,
            oldest_pending_age: Some(prost_types::Duration { seconds: 3, nanos: 0 }),
            consumer_count: 1,
            ..StreamStats::default()
        };
        assert_eq!(
            table(&[StreamRow::from(stats)]),
            "PARTITION  ENTRIES  FIRST  LAST  UNDELIVERED  PENDING  OLDEST PENDING  CONSUMERS  POISON\n\
             \u{20}       0       12  -      -     ?                  2  3s                      1       0"
        );
    }
}
