//! Redis without a script: WATCH the SKU and the key, read, then MULTI … EXEC, which does nothing when somebody was faster.
//!
//! Each sale writes what a gateway's would: the count, the record of its key, an event. The Redis is the gateway's own, with
//! the same settings.

use std::time::Duration;

use anyhow::{Result, ensure};
use redis::{AsyncConnectionConfig, Client, RedisResult, aio::MultiplexedConnection as Connection, pipe};
use stockgate::{
    proto::{DecrementRequest, DecrementResponse, Line},
    store::embedded::{self, Embedded, EmbeddedConfig},
};
use tempfile::TempDir;
use tonic::Status;

use super::{Engine, Shelves, fault, one_line, pool::Pool, refused, sold};
use crate::shelves::sku;

/// WATCH belongs to a connection: as many as there are calls at the same time.
const CONNECTIONS: usize = 64;
/// After the first try.
const RETRIES: usize = 3;
/// As long as the gateway keeps records by default.
const RECORD_MS: u64 = 24 * 3_600_000;
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Decides by compare and set.
pub(super) struct Optimistic {
    connections: Pool<Connection>,
}

/// The Redis of a rival and its folder.
pub(super) struct RedisBehind {
    redis: Embedded,
    _home: TempDir,
}

impl RedisBehind {
    pub(super) async fn stop(self) {
        self.redis.stop().await;
    }
}

/// Starts a Redis and fills its shelves.
pub(super) async fn start(shelves: Shelves) -> Result<(Optimistic, RedisBehind)> {
    let home = tempfile::tempdir()?;
    let config = EmbeddedConfig { data_dir: home.path().join("data"), ..EmbeddedConfig::default() };
    let redis = embedded::start(config).await?;
    let client = Client::open(redis.url())?;
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(RESPONSE_TIMEOUT));
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        connections.push(client.get_multiplexed_async_connection_with_config(&config).await?);
    }
    if let Some(first) = connections.first_mut() {
        let mut filling = pipe();
        for number in 0..shelves.skus {
            let count = [("on_hand", shelves.units), ("version", 1)];
            filling.hset_multiple(stock_key(&sku(number)), &count).ignore();
        }
        let () = filling.query_async(first).await?;
    }
    ensure!(!connections.is_empty(), "no connection");
    Ok((Optimistic { connections: Pool::new(connections) }, RedisBehind { redis, _home: home }))
}

fn stock_key(sku: &str) -> String {
    format!("stock:{sku}")
}

fn record_key(key: &str) -> String {
    format!("record:{key}")
}

/// What one try came to.
enum Tried {
    Answered(Result<DecrementResponse, Status>),
    /// Somebody changed the count or used the key meanwhile.
    Overtaken,
}

impl Engine for Optimistic {
    async fn decrement(&self, request: DecrementRequest) -> Result<DecrementResponse, Status> {
        let line = one_line(request.lines)?;
        let taken = self.connections.take().await?;
        let mut connection = taken.clone();
        for _ in 0..=RETRIES {
            match attempt(&mut connection, &request.idempotency_key, &line).await.map_err(fault)? {
                Tried::Answered(answer) => return answer,
                Tried::Overtaken => {}
            }
        }
        Err(Status::aborted(format!("overtaken {} times", RETRIES + 1)))
    }

    async fn count(&self, skus: Vec<String>) -> Result<Vec<i64>, Status> {
        let mut connection = self.connections.take().await?.clone();
        let mut reading = pipe();
        for sku in skus {
            reading.hget(stock_key(&sku), "on_hand");
        }
        reading.query_async(&mut connection).await.map_err(fault)
    }
}

async fn attempt(connection: &mut Connection, key: &str, line: &Line) -> RedisResult<Tried> {
    let (stock, record) = (stock_key(&line.sku), record_key(key));
    let mut reading = pipe();
    reading.cmd("WATCH").arg(&stock).arg(&record).ignore();
    reading.hmget(&stock, &["on_hand", "version"]).get(&record);
    let ((on_hand, version), remembered): ((Option<i64>, Option<i64>), Option<String>) =
        reading.query_async(connection).await?;
    if let Some(remembered) = remembered {
        return Ok(Tried::Answered(replay(line, &remembered)));
    }
    let (Some(on_hand), Some(version)) = (on_hand, version) else {
        return Ok(Tried::Answered(Err(Status::not_found(format!("{} is unknown", line.sku)))));
    };

    let mut writing = pipe();
    writing.atomic();
    if on_hand < line.quantity {
        writing.pset_ex(&record, format!("{} {} refused", line.sku, line.quantity), RECORD_MS);
        let done: Option<(String,)> = writing.query_async(connection).await?;
        return Ok(done.map_or(Tried::Overtaken, |_| Tried::Answered(Err(refused(line)))));
    }
    let (on_hand, version) = (on_hand - line.quantity, version + 1);
    writing.hset_multiple(&stock, &[("on_hand", on_hand), ("version", version)]).ignore();
    let answer = format!("{} {} {on_hand} {version}", line.sku, line.quantity);
    writing.pset_ex(&record, answer, RECORD_MS).ignore();
    writing.cmd("XADD").arg("events").arg("*");
    writing.arg("sku").arg(&line.sku).arg("delta").arg(-line.quantity);
    writing.arg("on_hand").arg(on_hand).arg("version").arg(version);
    let done: Option<(String,)> = writing.query_async(connection).await?;
    Ok(match done {
        Some((event_id,)) => Tried::Answered(Ok(sold(line, on_hand, version, event_id, false))),
        None => Tried::Overtaken,
    })
}

/// The first answer again, when the request is the same. The event of a repeat is not told.
fn replay(line: &Line, remembered: &str) -> Result<DecrementResponse, Status> {
    let same = format!("{} {} ", line.sku, line.quantity);
    let Some(answer) = remembered.strip_prefix(&same) else {
        return Err(Status::already_exists("the key was used for another request"));
    };
    let counts = answer.split_once(' ').map(|(on_hand, version)| (on_hand.parse(), version.parse()));
    match counts {
        Some((Ok(on_hand), Ok(version))) => Ok(sold(line, on_hand, version, String::new(), true)),
        _ => Err(refused(line)),
    }
}
