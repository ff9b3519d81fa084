//! Reads what matters of HELLO, INFO and CONFIG GET into one value; the last two may be refused.

use std::collections::HashMap;

use redis::{ErrorKind, FromRedisValue, InfoDict, RedisError, ServerErrorKind, aio::MultiplexedConnection};

use super::InspectError;

/// What a Redis says about itself. None: it would not say.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) version: String,
    pub(super) is_cluster: bool,
    /// Host and port of the master, when this is a replica.
    pub(super) master: Option<String>,
    pub(super) replicas: u32,
    /// Whether it stops selling when it is cut off from its replicas.
    pub(super) needs_replicas: bool,
    /// 0: no limit.
    pub(super) memory_bytes_max: Option<u64>,
    pub(super) eviction_policy: Option<String>,
    pub(super) persistence: Option<Persistence>,
    pub(super) fsync: Option<String>,
    /// What could not be learnt, said to the operator.
    pub(super) unknown: Vec<String>,
}

/// What is there after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    Nothing,
    Snapshots,
    AppendOnly,
}

const CONFIG_NAMES: [&str; 5] = ["maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save"];

/// Asks, and puts the answers together.
pub(super) async fn read(connection: &mut MultiplexedConnection) -> Result<Settings, InspectError> {
    // No ACL forbids HELLO, and it tells version, mode and role.
    let hello: HashMap<String, redis::Value> = ask(connection, "HELLO", &[]).await?.unwrap_or_default();
    let info: Option<InfoDict> = ask(connection, "INFO", &[]).await?;
    let config: Option<HashMap<String, String>> = ask(connection, "CONFIG GET", &CONFIG_NAMES).await?;

    let mut settings = Settings::default();
    settings.take_hello(&hello);
    match &info {
        Some(info) => settings.take_info(info),
        None => settings.unknown.push(
            "this user may not run INFO, so replicas are not checked: give it `+info`, or check by hand"
                .to_owned(),
        ),
    }
    match &config {
        // Some managed services leave names out of the answer.
        Some(config) => settings.take_config(config),
        None => settings.unknown.push(
            "this user may not run CONFIG GET, so appendfsync is not checked: give it `+config|get`, or \
            see that redis.conf has `appendonly yes`, `appendfsync everysec` and `maxmemory-policy \
            noeviction`"
                .to_owned(),
        ),
    }
    if settings.eviction_policy.is_none() {
        settings.unknown.push(
            "maxmemory-policy is not known: see that redis.conf has `maxmemory-policy noeviction`".to_owned(),
        );
    }
    Ok(settings)
}

/// None when Redis answers that it will not say.
async fn ask<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &'static str,
    arguments: &[&str],
) -> Result<Option<T>, InspectError> {
    let mut question = redis::Cmd::new();
    for word in command.split(' ') {
        question.arg(word);
    }
    match question.arg(arguments).query_async(connection).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_withheld(&error) => Ok(None),
        Err(source) => Err(InspectError::NoAnswer { command, source }),
    }
}

/// Forbidden by an ACL, or a command that the operator (or a managed service) renamed or took away.
fn is_withheld(error: &RedisError) -> bool {
    use ServerErrorKind::{NoPerm, ResponseError};
    matches!(error.kind(), ErrorKind::Server(NoPerm | ResponseError))
}

impl Settings {
    fn take_hello(&mut self, hello: &HashMap<String, redis::Value>) {
        let text = |name| hello.get(name).and_then(|value| String::from_redis_value_ref(value).ok());
        self.version = text("version").unwrap_or_default();
        self.is_cluster = text("mode").as_deref() == Some("cluster");
        if text("role").is_some_and(|role| role != "master") {
            self.master = Some("another redis".to_owned());
        }
    }

    fn take_info(&mut self, info: &InfoDict) {
        if let Some(version) = info.get::<String>("valkey_version").or_else(|| info.get("redis_version")) {
            self.version = version;
        }
        self.is_cluster |= info.get::<u8>("cluster_enabled") == Some(1);
        if let (Some(host), Some(port)) = (info.get::<String>("master_host"), info.get::<u16>("master_port"))
        {
            self.master = Some(format!("{host}:{port}"));
        }
        self.replicas = info.get("connected_slaves").unwrap_or(0);
        // INFO has this line only when min-replicas-to-write is in force: above zero, and its max-lag too.
        self.needs_replicas = info.get::<u32>("min_slaves_good_slaves").is_some();
        self.memory_bytes_max = info.get("maxmemory");
        self.eviction_policy = info.get("maxmemory_policy");
        self.persistence = match info.get::<u8>("aof_enabled") {
            Some(1) => Some(Persistence::AppendOnly),
            // Whether snapshots are on is only in the settings; the better guess until then.
            Some(_) => Some(Persistence::Snapshots),
            None => None,
        };
    }

    fn take_config(&mut self, config: &HashMap<String, String>) {
        let text = |name: &str| config.get(name).cloned();
        let number = |name: &str| config.get(name).and_then(|value| value.parse::<u64>().ok());
        self.memory_bytes_max = number("maxmemory").or(self.memory_bytes_max);
        self.eviction_policy = text("maxmemory-policy").or_else(|| self.eviction_policy.take());
        self.fsync = text("appendfsync");
        self.persistence = match (text("appendonly").as_deref(), text("save").as_deref()) {
            (Some("yes"), _) => Some(Persistence::AppendOnly),
            (Some(_), Some("")) => Some(Persistence::Nothing),
            (Some(_), _) => Some(Persistence::Snapshots),
            (None, _) => self.persistence,
        };
    }
}
