//! Looks at a Redis that somebody else runs, before the first sale: may stock be trusted to it?
//!
//! What would break a promise refuses to start; what only weakens one warns, with the line that mends it. A user
//! who may not look (INFO, CONFIG) is no fault: what stays unknown is said. Used by `app`; writes no data.

mod permissions;
mod settings;
#[cfg(test)]
mod tests;

use redis::{RedisError, aio::MultiplexedConnection};

use self::settings::{Persistence, Settings};

/// Scripts with `#!lua` headers and the stream commands used need it.
const REDIS_MAJOR_MIN: u32 = 7;
const NO_EVICTION: &str = "noeviction";

/// A Redis that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The version of Redis or Valkey.
    pub version: String,
    /// What weakens a promise, each with the line that mends it.
    pub warnings: Vec<String>,
    /// What is good to know and needs no mending.
    pub notes: Vec<String>,
}

/// Why a Redis may not be used.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It lacks what the scripts need.
    #[error("redis is version {version}, and 7.0 or newer (or valkey) is needed: upgrade it")]
    TooOld {
        /// What it says.
        version: String,
    },
    /// It does not say which version it is.
    #[error(
        "redis tells no version, neither by HELLO nor by INFO: point STOCKGATE_REDIS_URL at redis 7.0 or \
        newer, or valkey"
    )]
    VersionUnknown,
    /// It would throw stock away when memory is short.
    #[error(
        "redis deletes keys when it reaches maxmemory (maxmemory-policy {policy}), and a deleted key is \
        lost stock: run `CONFIG SET maxmemory-policy noeviction` and put `maxmemory-policy noeviction` \
        into redis.conf"
    )]
    Evicts {
        /// The policy in force.
        policy: String,
    },
    /// It takes no writes.
    #[error("redis is a replica of {master}: point STOCKGATE_REDIS_URL at the master")]
    Replica {
        /// Host and port, as far as known.
        master: String,
    },
    /// It serves only part of the keys.
    #[error(
        "redis runs in cluster mode, and STOCKGATE_REDIS_URL names one server: write redis+cluster://host:6379,host:6379"
    )]
    Cluster,
    /// It has all keys.
    #[error(
        "redis runs without cluster mode, and STOCKGATE_REDIS_URL names a cluster: write redis://host:6379/0"
    )]
    NoCluster,
    /// The user may not do what the gateway does.
    #[error("the redis user may not run {command} on {namespace}:* keys: run `{grant}`")]
    NoPermission {
        /// The first command that was refused.
        command: &'static str,
        /// Whose keys.
        namespace: String,
        /// The command that gives all rights the gateway needs.
        grant: String,
        /// What Redis said.
        #[source]
        source: RedisError,
    },
    /// It answers nothing, or only that it cannot.
    #[error("cannot ask redis {command}: check that it runs and that STOCKGATE_REDIS_URL is right")]
    NoAnswer {
        /// The question.
        command: &'static str,
        /// What the client said.
        #[source]
        source: RedisError,
    },
}

/// Checks one server: version, role, whether it is one of a cluster as it should, eviction, persistence and rights. Deadlines are those of the connection.
pub async fn inspect(
    connection: &mut MultiplexedConnection,
    namespace: &str,
    is_cluster: bool,
) -> Result<Inspection, InspectError> {
    let settings = settings::read(connection).await?;
    refuse_unfit(&settings, is_cluster)?;
    permissions::check(connection, namespace, is_cluster).await?;
    let mut warnings = settings.unknown.clone();
    warnings.extend(weaknesses(&settings));
    let notes = notes(&settings);
    Ok(Inspection { version: settings.version, warnings, notes })
}

/// Whether this version of Redis or Valkey will do; None when it does not look like a version.
pub(super) fn is_served(version: &str) -> Option<bool> {
    let major: u32 = version.split('.').next()?.parse().ok()?;
    Some(major >= REDIS_MAJOR_MIN)
}

fn refuse_unfit(settings: &Settings, is_cluster: bool) -> Result<(), InspectError> {
    match is_served(&settings.version) {
        Some(true) => {}
        Some(false) => return Err(InspectError::TooOld { version: settings.version.clone() }),
        None => return Err(InspectError::VersionUnknown),
    }
    match (settings.is_cluster, is_cluster) {
        (true, false) => return Err(InspectError::Cluster),
        (false, true) => return Err(InspectError::NoCluster),
        _ => {}
    }
    if let Some(master) = &settings.master {
        return Err(InspectError::Replica { master: master.clone() });
    }
    match &settings.eviction_policy {
        Some(policy) if policy != NO_EVICTION && settings.memory_bytes_max != Some(0) => {
            Err(InspectError::Evicts { policy: policy.clone() })
        }
        _ => Ok(()),
    }
}

fn weaknesses(settings: &Settings) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(policy) = &settings.eviction_policy
        && policy != NO_EVICTION
    {
        found.push(format!(
            "maxmemory-policy is {policy}, harmless only while maxmemory is 0: run `CONFIG SET \
            maxmemory-policy noeviction` and put `maxmemory-policy noeviction` into redis.conf"
        ));
    }
    match settings.persistence {
        Some(Persistence::Nothing) => found.push(
            "a restart of redis loses all stock: run `CONFIG SET appendonly yes` and put `appendonly yes` \
            into redis.conf"
                .to_owned(),
        ),
        Some(Persistence::Snapshots) => found.push(
            "a crash of redis loses every change since its last snapshot: run `CONFIG SET appendonly yes` \
            and put `appendonly yes` into redis.conf"
                .to_owned(),
        ),
        Some(Persistence::AppendOnly) if settings.fsync.as_deref() == Some("no") => found.push(
            "a power cut loses up to half a minute of changes (appendfsync no): run `CONFIG SET \
            appendfsync everysec` and put `appendfsync everysec` into redis.conf"
                .to_owned(),
        ),
        _ => {}
    }
    if settings.replicas > 0 && !settings.needs_replicas {
        found.push(format!(
            "redis has {} replica(s) and goes on selling when it is cut off from them, which a failover \
            then forgets: run `CONFIG SET min-replicas-to-write 1` and put `min-replicas-to-write 1` into \
            redis.conf",
            settings.replicas
        ));
    }
    found
}

fn notes(settings: &Settings) -> Vec<String> {
    match (settings.persistence, settings.fsync.as_deref()) {
        (Some(Persistence::AppendOnly), Some("everysec")) => vec![
            "a power cut may lose about one second of changes (appendfsync everysec); `CONFIG SET \
            appendfsync always` loses none and is slower"
                .to_owned(),
        ],
        _ => Vec::new(),
    }
}
