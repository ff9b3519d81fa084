//! The sections of the settings as the rest of the house reads them. Ranges and defaults: `config.default.toml`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::{
    domain::{self, Backoff, BreakerTerms, DurabilityProblem, Replicas},
    telemetry::LogFormat,
};

/// The Redis we start ourselves.
#[derive(Debug, Clone, Deserialize)]
pub struct Embedded {
    /// Where its data and socket are.
    pub data_dir: PathBuf,
    /// The program.
    pub redis_server: PathBuf,
    /// When an answered change is on disk.
    pub fsync: Fsync,
    /// How long it may take to come up.
    #[serde(with = "humantime_serde")]
    pub start_timeout: Duration,
    /// How long it may take to load its data.
    #[serde(with = "humantime_serde")]
    pub load_timeout: Duration,
    /// How long it may take to stop before it is killed.
    #[serde(with = "humantime_serde")]
    pub stop_timeout: Duration,
}

/// When an answered change is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// Within a second.
    Everysec,
    /// Before the answer.
    Always,
}

/// The gRPC server.
#[derive(Debug, Clone, Deserialize)]
pub struct Grpc {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that serve calls; 0: see [`Grpc::threads_of`].
    pub threads: usize,
    /// The largest message accepted.
    pub message_bytes_max: usize,
    /// Calls at the same time on one connection.
    pub concurrent_streams_max: u32,
    /// `WatchStock` streams at the same time.
    pub watches_max: usize,
    /// Operations of one `Transact` stream under way at the same time.
    pub transact_in_flight_max: usize,
    /// The deadline of a call whose caller sets none.
    #[serde(with = "humantime_serde")]
    pub default_deadline: Duration,
    /// The age at which a connection says goodbye, a tenth more or less; zero: never.
    #[serde(with = "humantime_serde")]
    pub connection_age_max: Duration,
    /// How long its streams go on after that.
    #[serde(with = "humantime_serde")]
    pub connection_age_grace: Duration,
    /// How long calls are still served at shutdown, after health says no.
    #[serde(with = "humantime_serde")]
    pub drain_grace: Duration,
    /// How long everything under way may take to finish after that.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

impl Grpc {
    /// Threads on a machine of `cores`: the setting, or half the cores, at least two where there are two.
    pub fn threads_of(&self, cores: usize) -> usize {
        // Half: Redis and the channels need the rest. Two on two cores measured better than one: docs/benchmarks.md.
        if self.threads == 0 { (cores / 2).max(2).min(cores) } else { self.threads }
    }
}

/// The HTTP server.
#[derive(Debug, Clone, Deserialize)]
pub struct Http {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// Group commit.
#[derive(Debug, Clone, Deserialize)]
pub struct Committer {
    /// Calls in one script.
    pub batch_max: usize,
    /// Lines in one script.
    pub lines_max: usize,
    /// Calls that may wait; half of them for one SKU.
    pub queue_max: usize,
    /// Scripts on their way, over all threads: see [`Committer::scripts_of`].
    pub scripts_in_flight_max: usize,
    /// Calls that must wait for another script to follow one that is on its way.
    pub overlap_calls_min: usize,
}

impl Committer {
    /// Scripts on their way for each of so many threads: its part of all, at least one.
    pub fn scripts_of(&self, threads: usize) -> usize {
        (self.scripts_in_flight_max / threads.max(1)).max(1)
    }
}

/// Reads of counts.
#[derive(Debug, Clone, Deserialize)]
pub struct Reads {
    /// SKUs of which a gateway keeps a copy; 0: it keeps none.
    pub copied_skus_max: usize,
    /// How often the copy is made fresh.
    #[serde(with = "humantime_serde")]
    pub copy_refresh: Duration,
}

/// How durable changes are when the caller does not say.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawDurability")]
pub struct Durability {
    /// The level.
    pub level: domain::Durability,
    /// How long a batch may wait to be as durable as asked.
    pub wait_timeout: Duration,
}

#[derive(Deserialize)]
struct RawDurability {
    level: String,
    replicas: i64,
    #[serde(with = "humantime_serde")]
    wait_timeout: Duration,
}

impl TryFrom<RawDurability> for Durability {
    type Error = DurabilityProblem;

    fn try_from(raw: RawDurability) -> Result<Self, DurabilityProblem> {
        let level = match raw.level.as_str() {
            "replicated" => domain::Durability::Replicated(Replicas::parse(raw.replicas)?),
            other => other.parse()?,
        };
        Ok(Self { level, wait_timeout: raw.wait_timeout })
    }
}

/// Holds and records.
#[derive(Debug, Clone, Deserialize)]
pub struct Holds {
    /// How long a hold lives when the caller does not say.
    #[serde(with = "humantime_serde")]
    pub ttl_default: Duration,
    /// The longest a caller may ask for.
    #[serde(with = "humantime_serde")]
    pub ttl_max: Duration,
    /// How long records and ended holds are kept.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// How long a partition keeps its part of an undecided cart.
    #[serde(with = "humantime_serde")]
    pub cart_ttl: Duration,
    /// How often overdue holds are looked for.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// Overdue holds ended by one script.
    pub sweep_batch: usize,
}

/// From event to channel.
#[derive(Debug, Clone, Deserialize)]
pub struct Propagation {
    /// How long a worker keeps what it claimed.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// How often a worker looks, in one command, for what nobody woke it for.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Stream entries fanned out at once.
    pub fan_out_batch: usize,
    /// Connections of a worker that wait for events, on a cluster.
    pub blocking_readers_max: usize,
    /// After a fan-out, what comes within so long goes together in the next.
    #[serde(with = "humantime_serde")]
    pub gather: Duration,
    /// The wait after a first failure.
    #[serde(with = "humantime_serde")]
    pub backoff_first: Duration,
    /// The longest wait between attempts.
    #[serde(with = "humantime_serde")]
    pub backoff_cap: Duration,
    /// Each wait is moved by up to this share.
    pub jitter: f64,
    /// How long calls to channels may go on at shutdown.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// Failed calls in a row that open a channel's breaker.
    pub breaker_failures: u32,
    /// The share of failed calls that opens it.
    pub breaker_rate: f64,
    /// The share counts from so many calls on.
    pub breaker_calls_min: u32,
    /// The calls of so long count.
    #[serde(with = "humantime_serde")]
    pub breaker_window: Duration,
    /// From the first opening to the call that tries.
    #[serde(with = "humantime_serde")]
    pub breaker_first: Duration,
    /// The longest wait between tries.
    #[serde(with = "humantime_serde")]
    pub breaker_cap: Duration,
    /// A channel that lags more is critical.
    #[serde(with = "humantime_serde")]
    pub lag_critical: Duration,
    /// A channel that lags more costs sales.
    #[serde(with = "humantime_serde")]
    pub lag_cost: Duration,
}

impl Propagation {
    /// When calls to a channel stop.
    pub fn breaker(&self) -> BreakerTerms {
        BreakerTerms {
            failures: self.breaker_failures,
            rate: self.breaker_rate,
            calls_min: self.breaker_calls_min,
            window: self.breaker_window,
            open_first: self.breaker_first,
            open_cap: self.breaker_cap,
            jitter: self.jitter,
        }
    }

    /// The waits between attempts.
    pub fn backoff(&self) -> Backoff {
        Backoff { first: self.backoff_first, cap: self.backoff_cap, jitter: self.jitter }
    }
}

/// Logs.
#[derive(Debug, Clone, Deserialize)]
pub struct Log {
    /// What is logged, in the syntax of `EnvFilter`.
    pub level: String,
    /// How a line is written.
    pub format: LogFormat,
}
