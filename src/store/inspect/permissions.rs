//! May this user do what the gateway does? Each right is tried on a key that is not there: no data is written.
//!
//! Redis checks rights before anything else, so every answer but NOPERM means "allowed", errors included. ACL
//! DRYRUN would say the same, but is itself forbidden to most users with limited rights.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value, aio::MultiplexedConnection};

use super::InspectError;

/// SHA-1 of no script at all: EVALSHA answers NOSCRIPT to those who may call it.
const NO_SCRIPT_SHA: &str = "0000000000000000000000000000000000000000";
/// Stands for the key in a probe.
const KEY: &str = "{key}";

/// Commands and their arguments, none of which changes anything as long as the key does not exist.
const PROBES: [(&str, &[&str]); 22] = [
    ("SCRIPT LOAD", &["#!lua\nreturn 1"]),
    ("EVALSHA", &[NO_SCRIPT_SHA, "1", KEY]),
    // A Redis that forgot the scripts, as a new master has, gets their text with the call.
    ("EVAL", &["#!lua\nreturn 1", "1", KEY]),
    // A worker that stops cuts its own read short; there is no connection 0.
    ("CLIENT UNBLOCK", &["0"]),
    ("TIME", &[]),
    ("HMGET", &[KEY, "field"]),
    ("MGET", &[KEY]),
    // Only if it is there.
    ("SET", &[KEY, "value", "XX", "PX", "1"]),
    // A field without its value: an error, but only after the rights were looked at.
    ("HSET", &[KEY, "field", "value", "field"]),
    ("HDEL", &[KEY, "field"]),
    ("ZADD", &[KEY, "XX", "1", "member"]),
    ("ZRANGE", &[KEY, "0", "0"]),
    ("ZREM", &[KEY, "member"]),
    ("XADD", &[KEY, "NOMKSTREAM", "*", "field", "value"]),
    ("XRANGE", &[KEY, "-", "+", "COUNT", "1"]),
    ("XREVRANGE", &[KEY, "+", "-", "COUNT", "1"]),
    ("XGROUP CREATE", &[KEY, "group", "$"]),
    ("XREADGROUP", &["GROUP", "group", "consumer", "COUNT", "1", "STREAMS", KEY, ">"]),
    ("XACK", &[KEY, "group", "0-1"]),
    ("XTRIM", &[KEY, "MINID", "0-1"]),
    ("PTTL", &[KEY]),
    ("UNLINK", &[KEY]),
];

/// Of a server of a cluster: who has which slot.
const CLUSTER_PROBE: (&str, &[&str]) = ("CLUSTER NODES", &[]);
/// What is needed for that.
const CLUSTER_RIGHTS: &str = "+cluster|nodes";

/// What the gateway needs, and no FLUSHALL, no KEYS, no CONFIG SET.
pub(super) const RIGHTS: &str = "+@read +@write +@connection -@dangerous +client|unblock +evalsha +eval +script|load +time +info \
                      +config|get +acl|whoami";

/// Refuses on the first command the user may not run on keys of the namespace.
pub(super) async fn check(
    connection: &mut MultiplexedConnection,
    namespace: &str,
    is_cluster: bool,
) -> Result<(), InspectError> {
    let key = format!("{namespace}:{{probe}}:rights");
    for (command, arguments) in PROBES.into_iter().chain(is_cluster.then_some(CLUSTER_PROBE)) {
        let mut probe = redis::Cmd::new();
        for word in command.split(' ') {
            probe.arg(word);
        }
        for &argument in arguments {
            probe.arg(if argument == KEY { &key } else { argument });
        }
        let answer: Result<Value, RedisError> = probe.query_async(connection).await;
        match answer {
            Err(source) if is_refused_by_acl(&source) => {
                let grant = grant(connection, namespace, is_cluster).await;
                let namespace = namespace.to_owned();
                return Err(InspectError::NoPermission { command, namespace, grant, source });
            }
            Err(source) if !is_answer(&source) => {
                return Err(InspectError::NoAnswer { command, source });
            }
            _ => {}
        }
    }
    Ok(())
}

async fn grant(connection: &mut MultiplexedConnection, namespace: &str, is_cluster: bool) -> String {
    let whoami: Result<String, RedisError> = redis::cmd("ACL").arg("WHOAMI").query_async(connection).await;
    // A user who may not ask for the own name reads the line all the same.
    let user = whoami.unwrap_or_else(|_| "<user>".to_owned());
    let more = if is_cluster { format!(" {CLUSTER_RIGHTS}") } else { String::new() };
    format!("ACL SETUSER {user} ~{namespace}:* {RIGHTS}{more}")
}

fn is_refused_by_acl(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
}

/// True when Redis answered with an error, as opposed to no answer at all.
fn is_answer(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}
