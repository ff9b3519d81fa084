//! PostgreSQL with the guarantees of a Decrement: never below zero, once for each key, an event with every change, and on disk
//! before the answer, or, with `synchronous_commit` off, a moment after it.

use std::path::Path;

use anyhow::Result;
use stockgate::proto::{DecrementRequest, DecrementResponse, Line};
use tokio_postgres::{Client, Config, NoTls, Row, Statement, error::SqlState, types::ToSql};
use tonic::Status;

use super::{Engine, Shelves, fault, one_line, pool::Pool, refused, sold};

/// Each is a process of PostgreSQL's. Tried on two cores with 8 to 64: with 32 one SKU gains a sixth, and 1,000 lose a third.
const CONNECTIONS: usize = 16;
/// A shop has more than the one SKU that is asked for; with a table of one row the planner would read all its dead versions.
const CATALOGUE_MIN: usize = 1_000;
const SCHEMA: &str = include_str!("schema.sql");
const SELL: &str = include_str!("sell.sql");
/// A call meets another with its key once at most: then the answer is there.
const TRIES: usize = 2;

/// When an answer is on disk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Commit {
    /// Before it is given: as installed.
    OnDisk,
    /// Less than a second later, as Redis's `everysec` has it.
    Later,
}

/// Decides by one prepared statement.
pub(super) struct Postgres {
    connections: Pool<Connection>,
}

struct Connection {
    client: Client,
    sell: Statement,
}

/// Connects and fills the shelves.
pub(super) async fn start(socket_dir: &Path, shelves: Shelves, commit: Commit) -> Result<Postgres> {
    let first = connect(socket_dir, commit).await?;
    first.batch_execute(SCHEMA).await?;
    // Named as `shelves::sku` names them.
    let fill = "INSERT INTO stock SELECT 'SKU-' || lpad(n::text, 6, '0'), $1::bigint, 1 \
                FROM generate_series(0::bigint, $2::bigint - 1) AS n";
    first.execute(fill, &[&shelves.units, &i64::try_from(shelves.skus.max(CATALOGUE_MIN))?]).await?;
    // What the autovacuum would know a minute later.
    first.batch_execute("VACUUM ANALYZE").await?;
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let client = connect(socket_dir, commit).await?;
        let sell = client.prepare(SELL).await?;
        connections.push(Connection { client, sell });
    }
    Ok(Postgres { connections: Pool::new(connections) })
}

async fn connect(socket_dir: &Path, commit: Commit) -> Result<Client> {
    let mut config = Config::new();
    config.host_path(socket_dir).user("bench").dbname("postgres");
    match commit {
        Commit::OnDisk => {}
        Commit::Later => {
            config.options("-c synchronous_commit=off");
        }
    }
    let (client, connection) = config.connect(NoTls).await?;
    // Ends when its client is dropped.
    tokio::spawn(connection);
    Ok(client)
}

impl Engine for Postgres {
    async fn decrement(&self, request: DecrementRequest) -> Result<DecrementResponse, Status> {
        let line = one_line(request.lines)?;
        let taken = self.connections.take().await?;
        for _ in 0..TRIES {
            let parameters: [&(dyn ToSql + Sync); 3] = [&request.idempotency_key, &line.sku, &line.quantity];
            match taken.client.query_one(&taken.sell, &parameters).await {
                Ok(row) => return answer(&line, &row),
                Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {}
                Err(error) => return Err(fault(error)),
            }
        }
        Err(Status::aborted("the key is in use"))
    }

    async fn count(&self, skus: Vec<String>) -> Result<Vec<i64>, Status> {
        let taken = self.connections.take().await?;
        let count = "SELECT on_hand FROM unnest($1::text[]) WITH ORDINALITY AS asked (sku, place) \
                     JOIN stock USING (sku) ORDER BY place";
        let rows = taken.client.query(count, &[&skus]).await.map_err(fault)?;
        rows.iter().map(|row| row.try_get(0).map_err(fault)).collect()
    }
}

/// An unknown SKU is refused like one that is sold out: the bench asks for none.
fn answer(line: &Line, row: &Row) -> Result<DecrementResponse, Status> {
    let text = |column| row.try_get::<_, &str>(column).map_err(fault);
    let whole = |column| row.try_get::<_, Option<i64>>(column).map_err(fault);
    if text("sku")? != line.sku || whole("quantity")? != Some(line.quantity) {
        return Err(Status::already_exists("the key was used for another request"));
    }
    match (whole("on_hand")?, whole("version")?, whole("event_id")?) {
        (Some(on_hand), Some(version), Some(event_id)) => {
            let replayed = row.try_get("replayed").map_err(fault)?;
            Ok(sold(line, on_hand, version, event_id.to_string(), replayed))
        }
        _ => Err(refused(line)),
    }
}
