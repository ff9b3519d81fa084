//! The sentinels: each is asked which server is the master, and the answer of the newest failover counts.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::timeout};

/// All sentinels of a URL.
pub(super) struct Sentinels {
    master: String,
    all: Vec<Sentinel>,
    patience: Duration,
}

/// One of them, with the connection it was asked on last.
struct Sentinel {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// Where the master is said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) host: String,
    pub(super) port: u16,
    /// Counts failovers: of two that differ, the greater one is the newer.
    pub(super) epoch: u64,
}

impl Sentinels {
    /// `patience`: how long each may take to answer.
    pub(super) fn new(master: String, clients: Vec<Client>, patience: Duration) -> Self {
        let all =
            clients.into_iter().map(|client| Sentinel { client, connection: Mutex::new(None) }).collect();
        Self { master, all, patience }
    }

    /// Asks all at once and goes by the majority that is first to answer: one that was cut off may not know of a failover yet,
    /// and one that is frozen must not be waited for.
    pub(super) async fn ask(&self) -> RedisResult<Said> {
        let ask = |sentinel| timeout(self.patience, self.ask_one(sentinel));
        let mut answers: FuturesUnordered<_> = self.all.iter().map(ask).collect();
        let (mut heard, mut newest, mut fault) = (0, None::<Said>, None);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Ok(said)) => {
                    heard += 1;
                    if newest.as_ref().is_none_or(|other| other.epoch < said.epoch) {
                        newest = Some(said);
                    }
                    if heard > self.all.len() / 2 {
                        break;
                    }
                }
                Ok(Err(error)) => fault = Some(error),
                Err(_) => fault = fault.or_else(|| Some(silence())),
            }
        }
        newest.ok_or_else(|| fault.unwrap_or_else(silence))
    }

    async fn ask_one(&self, sentinel: &Sentinel) -> RedisResult<Said> {
        let mut kept = sentinel.connection.lock().await;
        // Taken out, so that one that does not answer in time is not asked again.
        let answer = match kept.take() {
            Some(mut connection) => match self.question(&mut connection).await {
                Ok(said) => Ok((said, connection)),
                Err(error) if error.is_unrecoverable_error() => self.ask_anew(sentinel).await,
                Err(error) => Err(error),
            },
            None => self.ask_anew(sentinel).await,
        };
        let (said, connection) = answer?;
        *kept = Some(connection);
        Ok(said)
    }

    async fn ask_anew(&self, sentinel: &Sentinel) -> RedisResult<(Said, MultiplexedConnection)> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            .set_response_timeout(Some(self.patience));
        let mut connection = sentinel.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok((self.question(&mut connection).await?, connection))
    }

    async fn question(&self, connection: &mut MultiplexedConnection) -> RedisResult<Said> {
        let ask = |word| {
            let mut command = redis::cmd("SENTINEL");
            command.arg(word).arg(&self.master);
            command
        };
        let place: Option<(String, u16)> = ask("GET-MASTER-ADDR-BY-NAME").query_async(connection).await?;
        let Some((host, port)) = place else {
            let kind = ErrorKind::MasterNameNotFoundBySentinel;
            return Err((kind, "the sentinels watch no master of this name", self.master.clone()).into());
        };
        let about: HashMap<String, String> = ask("MASTER").query_async(connection).await?;
        let epoch = about.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default();
        Ok(Said { host, port, epoch })
    }
}

fn silence() -> RedisError {
    (ErrorKind::Io, "no sentinel answered in time").into()
}
