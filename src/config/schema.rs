//! Every setting with the values it may have: the names, the ranges, and the tree of values they are checked in.

use ::config::{Value, ValueKind};
use serde::Deserialize;

use crate::domain::QUANTITY_MAX;

use super::{
    Committer, Durability, Embedded, Grpc, Holds, Http, Log, Origin, Problem, Propagation, Reads,
    carriers::RawCarriers,
    channel::RawChannel,
    environment,
    layers::{self, Origins, Table},
    lists::{LISTS, List},
    nearest,
    redis::RawRedis,
    shape::Shape::{
        self, Address, Flag, HttpUrl, Integer, Label, LogFilter, Name, Names, Number, RedisUrl, Secret, Span,
        Text, Words,
    },
};

/// The settings outside channels, in the order of the manual.
pub(super) const SETTINGS: &[(&str, Shape)] = &[
    ("redis.url", RedisUrl),
    ("redis.user", Text),
    ("redis.password_file", Text),
    ("redis.ca_file", Text),
    ("redis.client_cert_file", Text),
    ("redis.client_key_file", Text),
    ("redis.sentinel_user", Text),
    ("redis.sentinel_password_file", Text),
    ("redis.response_timeout", Span("10ms", "1m")),
    ("redis.connect_timeout", Span("10ms", "1m")),
    ("redis.namespace", Label),
    ("redis.partitions", Integer(0, 4096)),
    ("redis.cluster_wait", Span("10ms", "1m")),
    ("redis.pool_max", Integer(3, 1024)),
    ("embedded.data_dir", Name),
    ("embedded.redis_server", Name),
    ("embedded.fsync", Words(&["everysec", "always"])),
    ("embedded.start_timeout", Span("100ms", "10m")),
    ("embedded.load_timeout", Span("1s", "24h")),
    ("embedded.stop_timeout", Span("100ms", "10m")),
    ("grpc.listen", Address),
    ("grpc.threads", Integer(0, 256)),
    ("grpc.message_bytes_max", Integer(1024, 67_108_864)),
    ("grpc.concurrent_streams_max", Integer(1, 65_536)),
    ("grpc.watches_max", Integer(0, 65_536)),
    ("grpc.transact_in_flight_max", Integer(1, 65_536)),
    ("grpc.default_deadline", Span("1ms", "10m")),
    ("grpc.connection_age_max", Span("0s", "24h")),
    ("grpc.connection_age_grace", Span("0s", "1h")),
    ("grpc.drain_grace", Span("0s", "10m")),
    ("grpc.drain_timeout", Span("0s", "10m")),
    ("http.listen", Address),
    ("committer.batch_max", Integer(1, 512)),
    ("committer.lines_max", Integer(100, 4000)),
    ("committer.queue_max", Integer(1, 1_000_000)),
    ("committer.scripts_in_flight_max", Integer(1, 64)),
    ("committer.overlap_calls_min", Integer(1, 512)),
    ("reads.copied_skus_max", Integer(0, 10_000_000)),
    ("reads.copy_refresh", Span("1ms", "10s")),
    ("durability.level", Words(&["memory", "replicated", "fsync"])),
    ("durability.replicas", Integer(1, 16)),
    ("durability.wait_timeout", Span("1ms", "1m")),
    ("holds.ttl_default", Span("1ms", "24h")),
    ("holds.ttl_max", Span("1ms", "24h")),
    ("holds.retention", Span("1s", "90d")),
    ("holds.cart_ttl", Span("100ms", "10m")),
    ("holds.sweep_interval", Span("10ms", "1h")),
    ("holds.sweep_batch", Integer(1, 1000)),
    ("propagation.lease", Span("1s", "1h")),
    ("propagation.poll_interval", Span("10ms", "1m")),
    ("propagation.fan_out_batch", Integer(1, 4096)),
    ("propagation.blocking_readers_max", Integer(0, 4096)),
    ("propagation.gather", Span("0s", "1s")),
    ("propagation.drain_timeout", Span("0s", "10m")),
    ("propagation.backoff_first", Span("1ms", "1h")),
    ("propagation.backoff_cap", Span("1ms", "24h")),
    ("propagation.jitter", Number(0.0, 1.0)),
    ("propagation.breaker_failures", Integer(1, 1000)),
    ("propagation.breaker_rate", Number(0.01, 1.0)),
    ("propagation.breaker_calls_min", Integer(1, 1_000_000)),
    ("propagation.breaker_window", Span("1s", "1h")),
    ("propagation.breaker_first", Span("10ms", "1h")),
    ("propagation.breaker_cap", Span("10ms", "1h")),
    ("propagation.lag_critical", Span("1ms", "24h")),
    ("propagation.lag_cost", Span("1ms", "24h")),
    ("carriers.select_timeout", Span("10ms", "1m")),
    ("carriers.cache_ttl", Span("0s", "10m")),
    ("carriers.policy", Words(&["cost_over_reliability", "cheapest", "fastest", "lateness_penalty"])),
    ("carriers.half_life", Span("1h", "3650d")),
    ("carriers.prior_on_time", Number(0.01, 1.0)),
    ("carriers.prior_weight", Integer(0, 100_000)),
    ("carriers.usual_percent", Integer(50, 99)),
    ("carriers.usual_sample_min", Integer(1, 100_000)),
    ("carriers.lane_postal_characters", Integer(0, 10)),
    ("carriers.record_retention", Span("1h", "3650d")),
    ("carriers.audit_max", Integer(100, 1_000_000_000)),
    ("log.level", LogFilter),
    ("log.format", Words(&["text", "json"])),
];

/// The settings of a channel, in the order of the manual.
pub(super) const CHANNEL: &[(&str, Shape)] = &[
    ("id", Label),
    ("kind", Words(&["webhook"])),
    ("url", HttpUrl),
    ("secret", Secret),
    ("secret_file", Name),
    ("batch", Integer(1, 1000)),
    ("buffer", Integer(0, QUANTITY_MAX)),
    ("share", Number(0.0, 1.0)),
    ("cap", Integer(0, QUANTITY_MAX)),
    ("pause_at", Integer(-1, QUANTITY_MAX - 1)),
    ("resume_at", Integer(0, QUANTITY_MAX)),
    ("rate", Number(0.01, 100_000.0)),
    ("burst", Integer(1, 100_000)),
    ("concurrency", Integer(1, 1024)),
    ("timeout", Span("1ms", "10m")),
    ("max_attempts", Integer(1, 1_000_000)),
    ("max_age", Span("1s", "90d")),
];

/// The settings of a source of carriers' prices, in the order of the manual.
pub(super) const SOURCE: &[(&str, Shape)] = &[
    ("id", Label),
    ("kind", Words(&["rate_table", "easypost", "shippo", "shipengine"])),
    ("file", Name),
    ("fallback", Flag),
    ("url", HttpUrl),
    ("key", Secret),
    ("key_file", Name),
    ("accounts", Names),
    ("timeout", Span("1ms", "1m")),
    ("rate", Number(0.01, 100_000.0)),
    ("burst", Integer(1, 100_000)),
    ("concurrency", Integer(1, 1024)),
];

/// The settings as they are deserialized; channels are converted after that.
#[derive(Deserialize)]
pub(super) struct Raw {
    pub(super) redis: RawRedis,
    pub(super) embedded: Embedded,
    pub(super) grpc: Grpc,
    pub(super) http: Http,
    pub(super) committer: Committer,
    pub(super) reads: Reads,
    pub(super) durability: Durability,
    pub(super) holds: Holds,
    pub(super) propagation: Propagation,
    pub(super) carriers: RawCarriers,
    pub(super) log: Log,
    #[serde(default)]
    pub(super) channels: Vec<RawChannel>,
}

/// Returns the names of all settings outside channels.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|(name, _)| *name)
}

/// Returns the names of all sections, some more than once.
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    names().filter_map(|name| name.split('.').next()).chain(["channels"])
}

/// Checks every known setting; a wrong one is noted and gets its default, so that the others can be read.
pub(super) fn check(tree: &mut Table, problems: &mut Vec<Problem>) {
    let defaults = layers::defaults();
    let origins = layers::origins(tree);
    for (section, default) in &defaults {
        match tree.get(section).map(|value| &value.kind) {
            Some(ValueKind::Table(_)) => {}
            _ => {
                problems.push(origins.invalid(section, format!("must be a section: write [{section}]")));
                tree.insert(section.clone(), default.clone());
            }
        }
    }
    for (name, shape) in SETTINGS {
        let Some((fields, default, field)) = find(tree, &defaults, name) else { continue };
        let Some(value) = fields.get(field) else { continue };
        if let Err(detail) = shape.check(value) {
            problems.push(origins.invalid(name, detail));
            fields.insert(field.to_owned(), default);
        }
    }
    for list in LISTS {
        check_list(list, tree, &origins, problems);
    }
}

fn find<'t>(
    tree: &'t mut Table,
    defaults: &Table,
    name: &'static str,
) -> Option<(&'t mut Table, Value, &'static str)> {
    let (section, field) = name.split_once('.')?;
    let ValueKind::Table(default_fields) = &defaults.get(section)?.kind else { return None };
    let default = default_fields.get(field)?.clone();
    match &mut tree.get_mut(section)?.kind {
        ValueKind::Table(fields) => Some((fields, default, field)),
        _ => None,
    }
}

fn check_list(list: List, tree: &mut Table, origins: &Origins, problems: &mut Vec<Problem>) {
    let List { path, max, fields: shapes, .. } = list;
    let Some((home, name)) = list.home(tree) else { return };
    let Some(sections) = home.get_mut(name) else { return };
    let ValueKind::Array(items) = &mut sections.kind else {
        problems.push(origins.invalid(path, format!("must be sections: write [[{path}]] and id = \"…\"")));
        home.remove(name);
        return;
    };
    if items.len() > max {
        problems.push(origins.invalid(path, format!("are {}, must be at most {max}", items.len())));
        items.truncate(max);
    }
    for (index, item) in items.iter_mut().enumerate() {
        let ValueKind::Table(fields) = &mut item.kind else {
            problems.push(origins.invalid(
                &format!("{path}.{index}"),
                format!("must be a section: write [[{path}]] and id = \"…\""),
            ));
            item.kind = ValueKind::Table(Table::new());
            continue;
        };
        for (field, shape) in shapes {
            let Some(Err(detail)) = fields.get(*field).map(|value| shape.check(value)) else { continue };
            problems.push(origins.invalid(&format!("{path}.{index}.{field}"), detail));
            fields.remove(*field);
        }
    }
}

/// Turns a checked tree into settings; names what nobody reads.
pub(super) fn deserialize(tree: Table, origins: &Origins, problems: &mut Vec<Problem>) -> Option<Raw> {
    let mut unread = Vec::new();
    let raw = serde_ignored::deserialize(Value::new(None, tree), |path| unread.push(path.to_string()));
    unread.sort_unstable();
    problems.extend(unread.iter().flat_map(|path| origins.leaves(path)).map(|path| unknown(&path, origins)));
    raw.map_err(|source| problems.push(Problem::Unfit { source })).ok()
}

fn unknown(path: &str, origins: &Origins) -> Problem {
    let (setting, origin) = (origins.name(path), origins.of(path));
    let nearest = nearest::setting(&setting).map(|near| match origin {
        Origin::Variable(_) => environment::spelled(&near),
        _ => near,
    });
    Problem::Unknown { setting, origin, nearest }
}
