//! The settings: built-in defaults < TOML file < environment. Read once, at start, by `app` and `cli`.
//!
//! `config.default.toml` is compiled in and is the manual. [`Config::load`] reads nothing but its arguments and the
//! files they name, finds all problems at once, and never shows a secret.

mod carriers;
mod channel;
mod check;
mod environment;
mod layers;
mod lists;
mod nearest;
mod problem;
mod redis;
mod schema;
mod secret_file;
mod secret_url;
mod sections;
mod shape;

use std::{
    env,
    path::{Path, PathBuf},
};

use serde::Deserialize;

pub use carriers::{CarrierSource, Carriers, HttpKind, HttpOrigin, PriceOrigin, SOURCES_MAX};
pub use channel::{CHANNELS_MAX, Channel, ChannelKind};
pub use problem::{ConfigError, Origin, Problem};
pub use redis::Redis;
pub use secret_url::SecretUrl;
pub use sections::{Committer, Durability, Embedded, Fsync, Grpc, Holds, Http, Log, Propagation, Reads};

/// The built-in defaults, which are also the manual of settings.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");

/// The settings file that is read, when it exists and no other is named.
pub const DEFAULT_FILE: &str = "stockgate.toml";

/// What a process does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answers calls.
    Gateway,
    /// Tells the channels and ends overdue holds.
    Worker,
    /// Both.
    #[default]
    All,
}

impl Role {
    /// Whether this process answers calls.
    pub fn serves(self) -> bool {
        matches!(self, Self::Gateway | Self::All)
    }

    /// Whether this process tells the channels and ends overdue holds.
    pub fn works(self) -> bool {
        matches!(self, Self::Worker | Self::All)
    }
}

/// All settings, checked: each within its range, and fitting each other.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Redis is, who we are to it, and how keys are laid out.
    pub redis: Redis,
    /// The Redis we start ourselves when `redis.url` is empty.
    pub embedded: Embedded,
    /// The gRPC server.
    pub grpc: Grpc,
    /// The HTTP server.
    pub http: Http,
    /// Group commit.
    pub committer: Committer,
    /// Reads of counts.
    pub reads: Reads,
    /// How durable changes are when the caller does not say.
    pub durability: Durability,
    /// Holds and records.
    pub holds: Holds,
    /// From event to channel.
    pub propagation: Propagation,
    /// How carriers are chosen and measured.
    pub carriers: Carriers,
    /// Logs.
    pub log: Log,
    /// The channels; ids are unique.
    pub channels: Vec<Channel>,
}

impl Config {
    /// Loads the settings from the defaults, `file` and those of `env` that start with `STOCKGATE`.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut tree = layers::defaults();
        if let Some(path) = file {
            match layers::read(path) {
                Ok(layer) => layers::merge(&mut tree, layer),
                Err(problem) => problems.push(problem),
            }
        }
        environment::apply(&mut tree, env, &mut problems);
        schema::check(&mut tree, &mut problems);
        let origins = layers::origins(&tree);
        let Some(raw) = schema::deserialize(tree, &origins, &mut problems) else {
            return Err(ConfigError { problems });
        };
        let config = Self {
            channels: channel::convert(raw.channels, &raw.propagation, &origins, &mut problems),
            carriers: carriers::convert(raw.carriers, &origins, &mut problems),
            redis: redis::convert(raw.redis, &origins, &mut problems),
            embedded: raw.embedded,
            grpc: raw.grpc,
            http: raw.http,
            committer: raw.committer,
            reads: raw.reads,
            durability: raw.durability,
            holds: raw.holds,
            propagation: raw.propagation,
            log: raw.log,
        };
        check::check(&config, &origins, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }
}

/// Returns the settings file to read: the one named, else `./stockgate.toml` when it exists.
pub fn file_to_read(named: Option<PathBuf>) -> Option<PathBuf> {
    // An empty STOCKGATE_CONFIG means none, as an empty variable does elsewhere.
    named
        .filter(|path| !path.as_os_str().is_empty())
        .or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()))
}

/// Returns the environment of this process, without what is not UTF-8.
pub fn process_env() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[cfg(test)]
mod tests;
