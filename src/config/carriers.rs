//! The `[carriers]` section, and the sources of prices in its `[[carriers.sources]]`.

use std::{path::PathBuf, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::domain::carrier::{PolicyKind, Prior, Reliability, SourceId};

use super::{Problem, SecretUrl, layers::Origins, secret_file};

/// The most sources a gateway asks: all are asked for every order, and each has its label in metrics.
pub const SOURCES_MAX: usize = 16;

/// How long a source may take unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Calls to a source on their way at the same time unless it says otherwise.
const CONCURRENCY: usize = 32;

/// How carriers are chosen and measured.
#[derive(Debug, Clone)]
pub struct Carriers {
    /// How long the sources may take, all together; callers may allow less.
    pub select_timeout: Duration,
    /// How long the answer of an HTTP source is used again for the same shipment; zero: never.
    pub cache_ttl: Duration,
    /// By what is chosen when the caller does not say.
    pub policy: PolicyKind,
    /// A delivery counts half after so long.
    pub half_life: Duration,
    /// What is believed of a carrier nobody knows.
    pub prior: Prior,
    /// The share of deliveries, in percent, that arrives within the usual days of a quote without date.
    pub usual_percent: u8,
    /// Deliveries a lane needs for that.
    pub usual_sample_min: u32,
    /// Characters of postal codes that make a lane.
    pub lane_postal_characters: usize,
    /// How long a RecordDelivery may be repeated.
    pub record_retention: Duration,
    /// Entries of the audit trail.
    pub audit_max: usize,
    /// Where prices come from; ids are unique.
    pub sources: Vec<CarrierSource>,
}

/// A place where prices come from.
#[derive(Debug, Clone)]
pub struct CarrierSource {
    /// Its name.
    pub id: SourceId,
    /// What it is.
    pub origin: PriceOrigin,
}

/// What a source is.
#[derive(Debug, Clone)]
pub enum PriceOrigin {
    /// A table in memory.
    RateTable {
        /// Its file.
        file: PathBuf,
        /// Whether it is asked only when no other source has a quote.
        fallback: bool,
    },
    /// A server.
    Http(HttpOrigin),
}

/// A server that knows prices.
#[derive(Debug, Clone)]
pub struct HttpOrigin {
    /// What it speaks.
    pub kind: HttpKind,
    /// Where it is.
    pub url: SecretUrl,
    /// Who we are to it.
    pub key: SecretString,
    /// Which carriers' accounts it is to ask; none: all it knows.
    pub accounts: Vec<String>,
    /// How long one call may take.
    pub timeout: Duration,
    /// Calls per second over all gateways. None: no limit.
    pub rate: Option<f64>,
    /// Calls that may go out at once after a quiet time; means something only with a rate.
    pub burst: u32,
    /// Calls of this gateway on their way at the same time.
    pub concurrency: usize,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpKind {
    /// EasyPost.
    EasyPost,
    /// Shippo.
    Shippo,
    /// ShipEngine.
    ShipEngine,
}

impl HttpKind {
    fn url(self) -> &'static str {
        match self {
            Self::EasyPost => "https://api.easypost.com",
            Self::Shippo => "https://api.goshippo.com",
            Self::ShipEngine => "https://api.shipengine.com",
        }
    }
}

/// The section as it was written.
#[derive(Deserialize)]
pub(super) struct RawCarriers {
    #[serde(with = "humantime_serde")]
    select_timeout: Duration,
    #[serde(with = "humantime_serde")]
    cache_ttl: Duration,
    policy: RawPolicy,
    #[serde(with = "humantime_serde")]
    half_life: Duration,
    prior_on_time: f64,
    prior_weight: u32,
    usual_percent: u8,
    usual_sample_min: u32,
    lane_postal_characters: usize,
    #[serde(with = "humantime_serde")]
    record_retention: Duration,
    audit_max: usize,
    #[serde(default)]
    sources: Vec<RawSource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawPolicy {
    CostOverReliability,
    Cheapest,
    Fastest,
    LatenessPenalty,
}

#[derive(Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    #[default]
    #[serde(rename = "rate_table")]
    RateTable,
    EasyPost,
    Shippo,
    ShipEngine,
}

/// A source as it was written.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawSource {
    id: Option<String>,
    kind: Option<RawKind>,
    file: Option<PathBuf>,
    fallback: Option<bool>,
    url: Option<SecretUrl>,
    key: Option<SecretString>,
    key_file: Option<PathBuf>,
    accounts: Option<RawAccounts>,
    #[serde(with = "humantime_serde")]
    timeout: Option<Duration>,
    rate: Option<f64>,
    burst: Option<u32>,
    concurrency: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawAccounts {
    List(Vec<String>),
    /// Of a variable.
    Joined(String),
}

impl RawAccounts {
    fn into_list(self) -> Vec<String> {
        let trimmed = |name: &str| name.trim().to_owned();
        match self {
            Self::List(list) => list.iter().map(|name| trimmed(name)).collect(),
            Self::Joined(joined) => joined.split(',').map(trimmed).collect(),
        }
    }
}

/// Converts the section and those sources that are complete, and notes what the others lack.
pub(super) fn convert(raw: RawCarriers, origins: &Origins, problems: &mut Vec<Problem>) -> Carriers {
    let mut sources: Vec<CarrierSource> = Vec::with_capacity(raw.sources.len());
    for (index, section) in raw.sources.into_iter().enumerate() {
        let path = format!("carriers.sources.{index}");
        let Some(source) = (Section { path: &path, origins, problems }).complete(section) else { continue };
        if sources.iter().any(|other| other.id == source.id) {
            let detail = "is the id of more than one source: give each its own".to_owned();
            problems.push(origins.invalid(&format!("{path}.id"), detail));
        }
        sources.push(source);
    }
    // 0.01 to 1.
    let on_time_ppm = (raw.prior_on_time * 1_000_000.0).round() as u64;
    Carriers {
        select_timeout: raw.select_timeout,
        cache_ttl: raw.cache_ttl,
        policy: match raw.policy {
            RawPolicy::CostOverReliability => PolicyKind::CostOverReliability,
            RawPolicy::Cheapest => PolicyKind::Cheapest,
            RawPolicy::Fastest => PolicyKind::Fastest,
            RawPolicy::LatenessPenalty => PolicyKind::LatenessPenalty,
        },
        half_life: raw.half_life,
        prior: Prior { on_time: Reliability::from_ppm(on_time_ppm), weight: raw.prior_weight },
        usual_percent: raw.usual_percent,
        usual_sample_min: raw.usual_sample_min,
        lane_postal_characters: raw.lane_postal_characters,
        record_retention: raw.record_retention,
        audit_max: raw.audit_max,
        sources,
    }
}

/// A section that is being read.
struct Section<'a> {
    path: &'a str,
    origins: &'a Origins,
    problems: &'a mut Vec<Problem>,
}

impl Section<'_> {
    fn complete(mut self, raw: RawSource) -> Option<CarrierSource> {
        let id = raw.id.as_deref().and_then(|id| SourceId::parse(id).ok());
        if id.is_none() {
            self.missing("id", "write id = \"table\", or what you call it");
        }
        let http = match raw.kind {
            Some(RawKind::RateTable) => None,
            Some(RawKind::EasyPost) => Some(HttpKind::EasyPost),
            Some(RawKind::Shippo) => Some(HttpKind::Shippo),
            Some(RawKind::ShipEngine) => Some(HttpKind::ShipEngine),
            None => {
                self.missing(
                    "kind",
                    "write kind = \"rate_table\", \"easypost\", \"shippo\" or \"shipengine\"",
                );
                return None;
            }
        };
        let origin = match http {
            Some(kind) => self.http(kind, raw),
            None => self.table(raw),
        };
        Some(CarrierSource { id: id?, origin: origin? })
    }

    fn table(&mut self, raw: RawSource) -> Option<PriceOrigin> {
        let of_servers = [
            ("url", raw.url.is_some()),
            ("key", raw.key.is_some()),
            ("key_file", raw.key_file.is_some()),
            ("accounts", raw.accounts.is_some()),
            ("timeout", raw.timeout.is_some()),
            ("rate", raw.rate.is_some()),
            ("burst", raw.burst.is_some()),
            ("concurrency", raw.concurrency.is_some()),
        ];
        self.meaningless(&of_servers, "means nothing to a rate_table, which is in memory: leave it out");
        if raw.file.is_none() {
            self.missing("file", "write file = \"PATH\", where the table is");
        }
        Some(PriceOrigin::RateTable { file: raw.file?, fallback: raw.fallback.unwrap_or(false) })
    }

    fn http(&mut self, kind: HttpKind, raw: RawSource) -> Option<PriceOrigin> {
        self.meaningless(&[("file", raw.file.is_some())], "is for a rate_table: leave it out");
        if raw.fallback == Some(true) {
            // It is asked when time is up.
            self.invalid("fallback", "is for a rate_table, which answers at once: leave it out");
        }
        if raw.burst.is_some() && raw.rate.is_none() && !self.is_noted("rate") {
            self.invalid("burst", "is set without rate: set rate too, or leave it out");
        }
        let accounts = raw.accounts.map(RawAccounts::into_list).unwrap_or_default();
        if kind == HttpKind::ShipEngine && accounts.is_empty() {
            self.missing("accounts", "write accounts = [\"se-…\"], the carriers ShipEngine is to ask");
        }
        let key = self.key(raw.key, raw.key_file);
        Some(PriceOrigin::Http(HttpOrigin {
            kind,
            url: raw.url.unwrap_or_else(|| SecretUrl::new(kind.url())),
            key: key?,
            accounts,
            timeout: raw.timeout.unwrap_or(TIMEOUT),
            rate: raw.rate,
            // At most 100,000.
            burst: raw.burst.unwrap_or_else(|| raw.rate.map_or(1, |rate| rate.ceil() as u32)),
            concurrency: raw.concurrency.unwrap_or(CONCURRENCY),
        }))
    }

    fn key(&mut self, given: Option<SecretString>, file: Option<PathBuf>) -> Option<SecretString> {
        let given = given.filter(|key| !key.expose_secret().is_empty());
        match (given, file) {
            (Some(_), Some(_)) => {
                let key = self.origins.of(&format!("{}.key", self.path));
                self.invalid("key_file", &format!("is set beside key in {key}: keep one of them"));
                None
            }
            (Some(key), None) => Some(key),
            (None, Some(file)) => {
                let read = secret_file::secret(&file, &format!("{}.key_file", self.path), self.origins);
                read.map_err(|problem| self.problems.push(problem)).ok()
            }
            (None, None) => {
                self.missing("key", "write key = \"…\", or key_file = \"PATH\"");
                None
            }
        }
    }

    fn meaningless(&mut self, fields: &[(&str, bool)], detail: &str) {
        for (field, _) in fields.iter().filter(|(_, is_set)| *is_set) {
            self.invalid(field, detail);
        }
    }

    fn invalid(&mut self, field: &str, detail: &str) {
        self.problems.push(self.origins.invalid(&format!("{}.{field}", self.path), detail.to_owned()));
    }

    fn missing(&mut self, field: &str, fix: &str) {
        // A value that was there and refused has been noted already.
        if !self.is_noted(field) {
            let setting = format!("{}.{field}", self.origins.name(self.path));
            self.problems.push(Problem::Missing { setting, fix: fix.to_owned() });
        }
    }

    fn is_noted(&self, field: &str) -> bool {
        let name = self.origins.name(&format!("{}.{field}", self.path));
        self.problems.iter().any(|problem| problem.is_about(&name))
    }
}
