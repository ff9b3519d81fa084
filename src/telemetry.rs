//! Logs and metrics: set up once by `app`, written to by every floor. Imports nothing of ours.
//!
//! A SKU is never a label, nor is anything else that is not one of a few known words.

use std::{
    io::{self, IsTerminal as _},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use serde::Deserialize;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// How often the exporter folds what was recorded into its buckets; until then it is kept sample by sample.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Upper bounds of `_seconds` histograms: from a call on a Unix socket to a channel that hangs.
const SECONDS: [f64; 17] = [
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Upper bounds of what lasts as long as a channel is away: from a push at once to an outage of a day.
const LAG_SECONDS: [f64; 19] = [
    0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0,
    28_800.0, 86_400.0,
];
/// Upper bounds of batches, up to the largest `committer.batch_max`.
const CALLS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// What is to be logged is not in the syntax of `EnvFilter`.
    #[error("cannot read the log level {level:?}: write a level such as \"info\", or levels by target")]
    Level {
        /// What was given.
        level: String,
        /// Why.
        #[source]
        source: ParseError,
    },
    /// The metrics of this process go elsewhere already.
    #[error("cannot install the metrics recorder: this process has one already")]
    Recorder {
        /// What the exporter said.
        #[source]
        source: BuildError,
    },
}

enum Kind {
    Counter,
    Gauge,
    Histogram,
}

// A macro, so that a name cannot come without its kind and help: promtool refuses metrics that have none.
macro_rules! catalogue {
    ($($kind:ident $name:ident = $text:literal: $help:literal;)*) => {
        $(#[doc = $help] pub const $name: &str = $text;)*
        const CATALOGUE: &[(Kind, &str, &str)] = &[$((Kind::$kind, $text, $help)),*];
    };
}

catalogue! {
    Counter GRPC_HANDLED = "grpc_server_handled_total": "Calls answered, by grpc_service, grpc_method and grpc_code.";
    Histogram GRPC_HANDLING_SECONDS = "grpc_server_handling_seconds": "Time to answer a call, by grpc_service and grpc_method.";
    Counter MUTATIONS = "stockgate_mutations_total": "Mutations decided by Redis, by rpc and outcome.";
    Counter REPLAYS = "stockgate_replays_total": "Repeats that got the first answer of their key again.";
    Counter BATCHES = "stockgate_batches_total": "Scripts sent by group commit.";
    Histogram BATCH_CALLS = "stockgate_batch_calls": "Calls that went together in one script.";
    Histogram SCRIPT_SECONDS = "stockgate_script_seconds": "Time from sending a script to its answer, by script.";
    Histogram DURABILITY_SECONDS = "stockgate_durability_seconds": "Time from the answer of a script to its changes being as durable as asked, or to the end of the wait, by level.";
    Counter DURABILITY_SHORT = "stockgate_durability_short_total": "Changes that were answered less durable than asked, by level.";
    Gauge QUEUE_CALLS = "stockgate_queue_calls": "Calls that wait for the next script.";
    Gauge REDIS_UP = "stockgate_redis_up": "1 while Redis answers, else 0.";
    Counter EMBEDDED_RESTARTS = "stockgate_embedded_restarts_total": "Times the embedded Redis died and was started again.";
    Counter HOLDS_EXPIRED = "stockgate_holds_expired_total": "Holds that expired and gave their units back.";
    Counter EVENTS_FANNED_OUT = "stockgate_events_fanned_out_total": "Events marked due on the channels.";
    Histogram SYNC_LAG_SECONDS = "stockgate_sync_lag_seconds": "Time from the oldest change a channel had not confirmed to its confirmation, by channel.";
    Gauge OLDEST_UNCONFIRMED_SECONDS = "stockgate_oldest_unconfirmed_seconds": "Age of the oldest change not confirmed, by channel; 0 when all are.";
    Gauge UNCARRIED_SECONDS = "stockgate_uncarried_seconds": "Age of the oldest event not carried to the channels yet; 0 when all are.";
    Gauge DUE = "stockgate_due": "SKUs that wait to be told, by channel.";
    Gauge LEASED = "stockgate_leased": "SKUs that are being told, by channel.";
    Gauge DEAD = "stockgate_dead": "Dead letters that wait for a person, by channel.";
    Gauge EXPOSED_UNITS = "stockgate_exposed_units": "Units a channel may show beyond what it should, since it has not confirmed their sale, by channel.";
    Histogram SOLD_OUT_SECONDS = "stockgate_sold_out_seconds": "Time from a SKU being sold out to the last channel being told.";
    Counter LAG_CRITICAL = "stockgate_lag_critical_total": "Times the lag of a channel became critical, by channel.";
    Counter LAG_COST_EVENTS = "stockgate_lag_cost_events_total": "Times the lag of a channel grew so long that it costs sales, by channel.";
    Counter PUSHES = "stockgate_pushes_total": "SKUs told to a channel, by channel and outcome.";
    Histogram PUSH_SECONDS = "stockgate_push_seconds": "Time of one call to a channel, by channel.";
    Counter COALESCED = "stockgate_coalesced_total": "Changes that needed no call of their own since a newer number went out, by channel.";
    Counter CHANNEL_CALLS = "stockgate_calls_total": "Calls made to channels, by channel.";
    Counter UNCHANGED = "stockgate_unchanged_total": "SKUs confirmed without a call since what the channel shows stays, by channel.";
    Counter BATCHED = "stockgate_batched_total": "Calls saved since several SKUs went in one, by channel.";
    Counter WAITS = "stockgate_waits_total": "Times a channel could not be called although something was due, by channel and why.";
    Gauge BREAKER_STATE = "stockgate_breaker_state": "0 while a channel is called, 1 while one call tries it, 2 while it is not called, by channel.";
    Counter BREAKER_OPENED = "stockgate_breaker_opened_total": "Times a channel was found failing and called no more for a while, by channel.";
    Gauge CHANNEL_PAUSED = "stockgate_channel_paused": "1 while an operator has paused a channel, else 0, by channel.";
    Counter DEAD_LETTERS = "stockgate_dead_letters_total": "SKUs given up on a channel until a person decides, by channel.";
    Counter SUPERSEDED = "stockgate_superseded_total": "Dead letters that ended since the channel took a newer number, by channel.";
    Counter POISON_ENTRIES = "stockgate_poison_entries_total": "Stream entries that cannot be carried to channels and were put aside.";
    Counter BROKEN_RECORDS = "stockgate_broken_records_total": "Stored records that did not parse.";
    Counter READS = "stockgate_reads_total": "Counts answered, by source: copy of this process, or redis.";
    Gauge COPIED_SKUS = "stockgate_copied_skus": "SKUs of which this process keeps a copy, for reads that may be a little old.";
    Gauge WATCHES = "stockgate_watches": "WatchStock streams that are open.";
    Counter CARRIER_SELECTIONS = "stockgate_carrier_selections_total": "Carriers chosen, by carrier and policy.";
    Counter CARRIER_SELECTION_REFUSED = "stockgate_carrier_selection_refused_total": "Selections that chose no carrier, by reason.";
    Histogram CARRIER_SELECTION_SECONDS = "stockgate_carrier_selection_seconds": "Time to choose a carrier.";
    Histogram CARRIER_QUOTE_SECONDS = "stockgate_carrier_quote_seconds": "Time of one call to a source of carriers' prices, by source.";
    Counter CARRIER_QUOTES = "stockgate_carrier_quotes_total": "What sources of carriers' prices did for selections, by source and outcome.";
    Counter CARRIER_FALLBACKS = "stockgate_carrier_fallbacks_total": "Selections for which the fallback was asked, since no other source had a quote.";
    Counter CARRIER_PARTIAL = "stockgate_carrier_partial_total": "Selections to which a source or a carrier did not answer that may have had a quote.";
    Counter CARRIER_DELIVERIES = "stockgate_carrier_deliveries_total": "Deliveries recorded, by carrier and outcome.";
    Gauge CARRIER_ON_TIME_RATIO = "stockgate_carrier_on_time_ratio": "Share of parcels in time that selections expect of a carrier as a whole, by carrier.";
    Counter CARRIER_AUDIT_LOST = "stockgate_carrier_audit_lost_total": "Decisions on carriers that nobody saw written to the audit trail.";
    Gauge CONNECTIONS = "stockgate_connections": "gRPC connections that are open.";
    Counter CONNECTIONS_CLOSED = "stockgate_connections_closed_total": "gRPC connections closed, by why: caller, broken, age, overdue or drain.";
}

/// The metrics without labels, which are shown as 0 before the first time: a rate needs a start.
const COUNTERS_FROM_ZERO: [&str; 10] = [
    REPLAYS,
    BATCHES,
    EMBEDDED_RESTARTS,
    HOLDS_EXPIRED,
    EVENTS_FANNED_OUT,
    POISON_ENTRIES,
    BROKEN_RECORDS,
    CARRIER_FALLBACKS,
    CARRIER_PARTIAL,
    CARRIER_AUDIT_LOST,
];
const GAUGES_FROM_ZERO: [&str; 6] =
    [QUEUE_CALLS, REDIS_UP, WATCHES, CONNECTIONS, UNCARRIED_SECONDS, COPIED_SKUS];

/// Reads what is to be logged.
pub fn log_filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder()
        .parse(level)
        .map_err(|source| TelemetryError::Level { level: level.to_owned(), source })
}

/// Sends the logs to standard error. The first call of a process counts; later ones change nothing.
pub fn init_logs(level: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let filter = log_filter(level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // The only failure is that there is a subscriber already, of ours or of whoever embeds us: it stays.
    let _first = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Installs the recorder of this process and describes every metric. Later calls return the first one's handle.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let as_error = |source| TelemetryError::Recorder { source };
    let recorder = recorder().map_err(as_error)?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|taken| as_error(taken.into()))?;
    describe();
    *installed = Some(handle.clone());
    Ok(handle)
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    // Without buckets a histogram is rendered as a summary, which cannot be added up over gateways.
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full(SYNC_LAG_SECONDS.to_owned()), &LAG_SECONDS)?
        .set_buckets_for_metric(Matcher::Full(SOLD_OUT_SECONDS.to_owned()), &LAG_SECONDS)?
        .set_buckets_for_metric(Matcher::Full(BATCH_CALLS.to_owned()), &CALLS)?;
    Ok(builder.build_recorder())
}

fn describe() {
    for (kind, name, help) in CATALOGUE {
        match kind {
            Kind::Counter => describe_counter!(*name, *help),
            Kind::Gauge => describe_gauge!(*name, *help),
            Kind::Histogram => describe_histogram!(*name, *help),
        }
    }
    COUNTERS_FROM_ZERO.iter().for_each(|name| counter!(*name).increment(0));
    GAUGES_FROM_ZERO.iter().for_each(|name| gauge!(*name).set(0.0));
}

/// Keeps the recorder small until `stop`; whoever called [`init_metrics`] for a server spawns this and joins it.
pub async fn keep_metrics(handle: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use metrics::histogram;

    use super::*;

    #[test]
    fn every_metric_has_help_and_every_histogram_buckets() {
        let recorder = recorder().expect("buckets are given");
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            for (kind, name, _) in CATALOGUE {
                match kind {
                    Kind::Counter => counter!(*name).increment(1),
                    Kind::Gauge => gauge!(*name).set(1.0),
                    Kind::Histogram => histogram!(*name).record(1.0),
                }
            }
        });
        let page = handle.render();
        for (kind, name, help) in CATALOGUE {
            let word = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            assert_eq!(matches!(kind, Kind::Counter), name.ends_with("_total"), "{name}");
            assert!(page.contains(&format!("# HELP {name} {help}\n")), "{name}:\n{page}");
            assert!(page.contains(&format!("# TYPE {name} {word}\n")), "{name}:\n{page}");
        }
        assert!(page.contains("stockgate_script_seconds_bucket{le=\"0.00025\"} 0\n"), "{page}");
        assert!(page.contains("stockgate_batch_calls_bucket{le=\"512\"} 1\n"), "{page}");
        for lag in [SYNC_LAG_SECONDS, SOLD_OUT_SECONDS] {
            assert!(page.contains(&format!("{lag}_bucket{{le=\"86400\"}} 1\n")), "{page}");
        }
    }

    #[test]
    fn metrics_without_labels_start_at_zero() {
        let recorder = recorder().expect("buckets are given");
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, describe);
        let page = handle.render();
        for name in COUNTERS_FROM_ZERO.iter().chain(&GAUGES_FROM_ZERO) {
            assert!(page.contains(&format!("\n{name} 0\n")), "{name}:\n{page}");
        }
    }

    #[tokio::test]
    async fn setting_up_twice_is_safe() {
        init_logs("warn", LogFormat::Text).expect("a level");
        init_logs("info", LogFormat::Json).expect("a level");
        assert!(matches!(init_logs("stockgate=loud", LogFormat::Text), Err(TelemetryError::Level { .. })));
        let first = init_metrics().expect("nobody else installs one");
        let second = init_metrics().expect("the same again");
        gauge!(WATCHES).set(7.0);
        assert!([&first, &second].iter().all(|handle| handle.render().contains("\nstockgate_watches 7\n")));
        let stop = CancellationToken::new();
        let upkeep = tokio::spawn(keep_metrics(first, stop.clone()));
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), upkeep)
            .await
            .expect("ends at once")
            .expect("does not panic");
    }
}
