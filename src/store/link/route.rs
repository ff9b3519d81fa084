//! The way to the master: where it is now, how connections to it are made, and when all of them are of no more use.
//!
//! Shared by everything that connects for a store and its siblings. A term is the time of one master: when it ends, whoever holds
//! a connection lets go of it and connects anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, FromRedisValue as _, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, Value, aio::ConnectionLike,
    io::tcp::TcpSettings,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    super::{StoreError, address::host_and_port},
    Current, LinkSettings, NodeAddress, classify,
    sentinels::{Said, Sentinels},
};

/// How often the sentinels are asked whether the master is still the same.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The way to the master.
pub(in super::super) struct Route {
    settings: LinkSettings,
    way: Way,
    /// The last one that was spoken to, and said itself that it was the master.
    known: Mutex<Option<Said>>,
    term: watch::Sender<u64>,
}

/// Who says where it is.
enum Way {
    /// There is one server, and it is the master.
    One(ConnectionAddr),
    Sentinels {
        sentinels: Sentinels,
        is_tls: bool,
    },
}

/// Where the master is said to be.
pub(in super::super) struct Master {
    pub(in super::super) client: Client,
    /// None: nobody but the settings say so.
    said: Option<Said>,
    /// When they were asked.
    term: u64,
}

impl Route {
    /// The way to a server that is the master.
    pub(super) fn to_one(settings: LinkSettings, address: ConnectionAddr) -> Self {
        Self::on(Way::One(address), settings)
    }

    /// The way to the server that sentinels call by this name. An error when none of them can be asked so.
    pub(super) fn by_sentinels(
        settings: LinkSettings,
        hosts: &[NodeAddress],
        master: &str,
        is_tls: bool,
    ) -> Result<Self, StoreError> {
        let login = settings.sentinel_login.apply(RedisConnectionInfo::default());
        let open =
            |(host, port): &NodeAddress| client(&settings, tcp(host.clone(), *port, is_tls), login.clone());
        let clients = hosts.iter().map(open).collect::<RedisResult<_>>().map_err(refused)?;
        let sentinels = Sentinels::new(master.to_owned(), clients, settings.connect_timeout);
        Ok(Self::on(Way::Sentinels { sentinels, is_tls }, settings))
    }

    fn on(way: Way, settings: LinkSettings) -> Self {
        Self { settings, way, known: Mutex::new(None), term: watch::Sender::new(0) }
    }

    pub(in super::super) fn settings(&self) -> &LinkSettings {
        &self.settings
    }

    /// The term of now. A connection of another one is of no more use.
    pub(super) fn term(&self) -> u64 {
        *self.term.borrow()
    }

    /// Tells when a term ends.
    pub(in super::super) fn terms(&self) -> watch::Receiver<u64> {
        self.term.subscribe()
    }

    /// Ends a term; nothing when it is over already.
    pub(super) fn end_term(&self, term: u64) {
        self.term.send_if_modified(|now| {
            let is_now = *now == term;
            *now += u64::from(is_now);
            is_now
        });
    }

    /// Where the master is said to be.
    pub(in super::super) async fn find(&self) -> Result<Master, StoreError> {
        let term = self.term();
        let (address, said) = match &self.way {
            Way::One(address) => (address.clone(), None),
            Way::Sentinels { sentinels, is_tls } => {
                let said = sentinels.ask().await.map_err(unavailable)?;
                (tcp(said.host.clone(), said.port, *is_tls), Some(said))
            }
        };
        let client = client(&self.settings, address, redis_info(&self.settings)).map_err(refused)?;
        Ok(Master { client, said, term })
    }

    /// Connects to the master, to wait so long at most for each answer.
    pub(super) async fn connect(&self, response_timeout: Duration) -> Result<Current, StoreError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.connect_timeout))
            .set_response_timeout(Some(response_timeout));
        let master = self.find().await?;
        let connecting = master.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(|source| match source.kind() {
            ErrorKind::Server(ServerErrorKind::BusyLoading) => classify(source, response_timeout),
            _ => unavailable(source),
        })?;
        let term = self.admit(&mut connection, &master).await?;
        Ok(Current::new(connection, term, self.terms()))
    }

    /// Takes a server for the master when it says so itself: a sentinel may be behind, and a demoted one answers PING all the
    /// same. A new master begins a new term.
    pub(in super::super) async fn admit(
        &self,
        connection: &mut impl ConnectionLike,
        master: &Master,
    ) -> Result<u64, StoreError> {
        let Some(said) = &master.said else {
            // It took its time, and has no slot any more: what it says counts for nothing.
            let is_over = self.term() != master.term;
            return if is_over { Err(StoreError::Unavailable { source: None }) } else { Ok(master.term) };
        };
        let asking = timeout(self.settings.connect_timeout, role(connection));
        let role = asking.await.map_err(|_| unavailable(silence()))?.map_err(unavailable)?;
        if role.is_some_and(|role| role != "master") {
            let detail = host_and_port(&said.host, said.port);
            let text = "the sentinels name a server as master that is none yet, or no more";
            return Err(unavailable((ErrorKind::Client, text, detail).into()));
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if self.term() != master.term {
            // It took its time to say so, and meanwhile another one began: a frozen master that goes on says so too.
            return Err(StoreError::Unavailable { source: None });
        }
        let is_new = known.as_ref().is_none_or(|known| (&known.host, known.port) != (&said.host, said.port));
        if is_new {
            tracing::info!(master = host_and_port(&said.host, said.port), "redis has a master");
            if known.is_some() {
                self.end_term(self.term());
            }
        }
        *known = Some(said.clone());
        Ok(self.term())
    }

    /// Looks again and again whether the master is still the same, until told to stop; returns at once without sentinels.
    pub(in super::super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let Way::Sentinels { sentinels, .. } = &self.way else { return };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {} // why: between two looks at who is the master
            }
            self.look(sentinels).await;
        }
    }

    /// Asks the sentinels whether the master is still the one that is spoken to: cut off from them, an old one goes on answering,
    /// and all that it is told will be lost. Ends the term when it is another. Nobody there to say so changes nothing.
    async fn look(&self, sentinels: &Sentinels) {
        let Ok(said) = sentinels.ask().await else { return };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(known) = known else { return };
        let is_other = (&known.host, known.port) != (&said.host, said.port);
        // An older failover than the one that made this master is old news.
        if is_other && said.epoch >= known.epoch {
            self.end_term(self.term());
        }
    }
}

/// What a server says it is; None when it will not say.
async fn role(connection: &mut impl ConnectionLike) -> RedisResult<Option<String>> {
    // No ACL forbids HELLO; ROLE is a right few users have.
    let hello: RedisResult<HashMap<String, Value>> = redis::cmd("HELLO").query_async(connection).await;
    match hello {
        Ok(hello) => Ok(hello.get("role").and_then(|role| String::from_redis_value_ref(role).ok())),
        Err(error) if matches!(error.kind(), ErrorKind::Server(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn tcp(host: String, port: u16, is_tls: bool) -> ConnectionAddr {
    if is_tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

pub(super) fn redis_info(settings: &LinkSettings) -> RedisConnectionInfo {
    settings.login.apply(settings.address.redis.clone())
}

pub(super) fn client(
    settings: &LinkSettings,
    address: ConnectionAddr,
    redis: RedisConnectionInfo,
) -> RedisResult<Client> {
    let is_tls = matches!(address, ConnectionAddr::TcpTls { .. });
    // Small scripts must not wait for more bytes.
    let tcp = TcpSettings::default().set_nodelay(true);
    let info = address.into_connection_info()?.set_redis_settings(redis).set_tcp_settings(tcp);
    match settings.certificates.for_client().filter(|_| is_tls) {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    }
}

/// Whether there can be a client of such a server at all.
pub(super) fn check_client(settings: &LinkSettings, address: ConnectionAddr) -> Result<(), StoreError> {
    client(settings, address, redis_info(settings)).map(drop).map_err(refused)
}

fn refused(source: RedisError) -> StoreError {
    StoreError::Refused { source }
}

pub(super) fn unavailable(source: RedisError) -> StoreError {
    StoreError::Unavailable { source: Some(source) }
}

fn silence() -> RedisError {
    (ErrorKind::Io, "the master did not say what it is in time").into()
}
