//! Where Redis is: the URL of the settings, read once. What it says of user and password is never printed.

use std::fmt;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};

/// Where sentinels listen when the URL does not say.
const SENTINEL_PORT: u16 = 26379;
/// Where servers of a cluster listen when the URL does not say.
const REDIS_PORT: u16 = 6379;
/// The most sentinels, or servers of a cluster, a URL may name.
const HOSTS_MAX: usize = 16;

/// Where Redis is, and what its URL says of user, password and database.
#[derive(Clone)]
pub struct Address {
    pub(super) place: Place,
    pub(super) redis: RedisConnectionInfo,
}

/// One server, the sentinels that know which of several is the master, or some servers of a cluster.
#[derive(Clone)]
pub(super) enum Place {
    Single(ConnectionAddr),
    Sentinels { hosts: Vec<(String, u16)>, master: String, is_tls: bool },
    Cluster { hosts: Vec<(String, u16)>, is_tls: bool },
}

/// Why a URL leads to no Redis. The texts follow the name of the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is nothing we know.
    #[error(
        "is not a redis url: write redis://host:6379/0, rediss://host:6379/0, redis+unix:///path, \
         redis+sentinel://host:26379,host:26379/NAME/0 or redis+cluster://host:6379,host:6379, or leave it empty for the \
         embedded redis"
    )]
    Malformed,
    /// Sentinels without the name of a master.
    #[error(
        "names no master: write redis+sentinel://host:26379,host:26379/NAME/0, where NAME is the one of `sentinel \
         monitor NAME …`"
    )]
    NoMaster,
    /// More hosts than are ever asked.
    #[error(
        "names more than {HOSTS_MAX} hosts: three or five are enough to be asked, and a cluster names the others itself"
    )]
    TooManyHosts,
    /// A cluster has one database.
    #[error("names another database than 0: a cluster has no other, so leave out what follows the hosts")]
    ClusterDatabase,
    /// It would trust any certificate.
    #[error("ends in #insecure, which would trust any certificate: leave that out and set redis.ca_file")]
    Insecure,
}

impl Address {
    /// Reads a URL.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        match url.split_once("://") {
            Some(("redis+cluster", rest)) => cluster(rest, false),
            Some(("rediss+cluster", rest)) => cluster(rest, true),
            Some(("redis+sentinel", rest)) => sentinels(rest, false),
            Some(("rediss+sentinel", rest)) => sentinels(rest, true),
            _ => {
                let info = connection_info(url)?;
                if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
                    return Err(AddressError::Insecure);
                }
                Ok(Self { place: Place::Single(info.addr().clone()), redis: info.redis_settings().clone() })
            }
        }
    }

    /// Whether connections are encrypted.
    pub fn is_tls(&self) -> bool {
        match &self.place {
            Place::Single(address) => matches!(address, ConnectionAddr::TcpTls { .. }),
            Place::Sentinels { is_tls, .. } | Place::Cluster { is_tls, .. } => *is_tls,
        }
    }

    /// Whether keys are spread over several masters.
    pub fn is_cluster(&self) -> bool {
        matches!(self.place, Place::Cluster { .. })
    }

    /// Whether sentinels are asked for the master.
    pub fn is_sentinel(&self) -> bool {
        matches!(self.place, Place::Sentinels { .. })
    }

    /// Whether the URL names a user.
    pub fn has_user(&self) -> bool {
        self.redis.username().is_some()
    }

    /// Whether the URL has a password in it.
    pub fn has_password(&self) -> bool {
        self.redis.password().is_some()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.has_user() || self.has_password() { "***@" } else { "" };
        let db = self.redis.db();
        let tls = if self.is_tls() { "s" } else { "" };
        match &self.place {
            Place::Single(ConnectionAddr::Unix(path)) => write!(f, "redis+unix://{}", path.display()),
            Place::Single(address) => write!(f, "redis{tls}://{login}{address}/{db}"),
            Place::Sentinels { hosts, master, .. } => {
                write!(f, "redis{tls}+sentinel://{login}{}/{master}/{db}", listed(hosts))
            }
            Place::Cluster { hosts, .. } => write!(f, "redis{tls}+cluster://{login}{}", listed(hosts)),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// As it stands in a URL: an IPv6 address in brackets.
pub(super) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn connection_info(url: &str) -> Result<ConnectionInfo, AddressError> {
    url.into_connection_info().map_err(|_| AddressError::Malformed)
}

fn listed(hosts: &[(String, u16)]) -> String {
    let hosts: Vec<String> = hosts.iter().map(|(host, port)| host_and_port(host, *port)).collect();
    hosts.join(",")
}

/// A URL with several hosts: `[user:password@]host:port,host:port/path?query`.
struct Several<'a> {
    /// With its `@`, or empty.
    login: String,
    hosts: Vec<(String, u16)>,
    path: &'a str,
    query: &'a str,
}

impl<'a> Several<'a> {
    fn read(rest: &'a str, port: u16) -> Result<Self, AddressError> {
        if rest.ends_with("#insecure") {
            return Err(AddressError::Insecure);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (format!("{login}@"), hosts),
            None => (String::new(), authority),
        };
        let hosts: Vec<_> = hosts.split(',').map(|text| host(text, port)).collect::<Result<_, _>>()?;
        if hosts.len() > HOSTS_MAX {
            return Err(AddressError::TooManyHosts);
        }
        Ok(Self { login, hosts, path, query })
    }

    /// What the URL says of user, password and database, read by the client: of a URL with one host.
    fn redis(&self, db: &str) -> Result<RedisConnectionInfo, AddressError> {
        let info = connection_info(&format!("redis://{}host/{db}?{}", self.login, self.query))?;
        Ok(info.redis_settings().clone())
    }
}

/// Reads `[user:password@]host:port,host:port/master/db`.
fn sentinels(rest: &str, is_tls: bool) -> Result<Address, AddressError> {
    let several = Several::read(rest, SENTINEL_PORT)?;
    let (master, db) = several.path.split_once('/').unwrap_or((several.path, ""));
    if master.is_empty() || !master.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AddressError::NoMaster);
    }
    let redis = several.redis(db)?;
    Ok(Address { place: Place::Sentinels { hosts: several.hosts, master: master.to_owned(), is_tls }, redis })
}

/// Reads `[user:password@]host:port,host:port`.
fn cluster(rest: &str, is_tls: bool) -> Result<Address, AddressError> {
    let several = Several::read(rest, REDIS_PORT)?;
    if !matches!(several.path, "" | "0") {
        return Err(AddressError::ClusterDatabase);
    }
    let redis = several.redis("0")?;
    Ok(Address { place: Place::Cluster { hosts: several.hosts, is_tls }, redis })
}

fn host(text: &str, port: u16) -> Result<(String, u16), AddressError> {
    let has_port =
        text.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let whole = if has_port { text.to_owned() } else { format!("{text}:{port}") };
    match connection_info(&format!("redis://{whole}"))?.addr() {
        ConnectionAddr::Tcp(host, port) if !host.is_empty() => Ok((host.clone(), *port)),
        _ => Err(AddressError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_whole_and_without_what_is_secret() {
        let check = |url, printed: &str| {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.to_string(), printed);
            assert_eq!(format!("{address:?}"), format!("Address({printed})"));
        };
        check("redis://127.0.0.1", "redis://127.0.0.1:6379/0");
        check("rediss://shop:hunter2@redis:6380/3", "rediss://***@redis:6380/3");
        check("redis+unix:///run/r.sock?user=a&pass=hunter2", "redis+unix:///run/r.sock");
        check("redis+sentinel://a,b:1,[::1]/shop", "redis+sentinel://a:26379,b:1,[::1]:26379/shop/0");
        check("rediss+sentinel://:hunter2@a:26379/shop/2", "rediss+sentinel://***@a:26379/shop/2");
        check("redis+cluster://a,[::1]:7001/0", "redis+cluster://a:6379,[::1]:7001");
        check("rediss+cluster://shop:hunter2@a:7000,b:7001", "rediss+cluster://***@a:7000,b:7001");
    }

    #[test]
    fn user_password_and_database_are_those_of_the_master() {
        let address = Address::parse("redis+sentinel://sh%40p:hunt%2Fer2@a,b/shop/7?protocol=resp3").unwrap();
        let read = (address.redis.username(), address.redis.password(), address.redis.db());
        assert_eq!(read, (Some("sh@p"), Some("hunt/er2"), 7));
        assert_eq!(address.redis.protocol(), redis::ProtocolVersion::RESP3);
        assert!(address.is_sentinel() && address.has_user() && address.has_password() && !address.is_tls());
    }

    #[test]
    fn what_leads_nowhere_is_refused_for_its_own_reason() {
        let many = format!("redis+sentinel://{}/shop", ["a"; HOSTS_MAX + 1].join(","));
        for (url, expected) in [
            ("redis", AddressError::Malformed),
            ("http://redis:6379", AddressError::Malformed),
            ("redis+sentinel:///shop", AddressError::Malformed),
            ("redis+sentinel://a,,b/shop", AddressError::Malformed),
            ("redis+sentinel://a:port/shop", AddressError::Malformed),
            ("redis+sentinel://a/shop/seven", AddressError::Malformed),
            ("redis+sentinel://a:26379,b", AddressError::NoMaster),
            ("redis+sentinel://a:26379/", AddressError::NoMaster),
            ("redis+sentinel://a//0", AddressError::NoMaster),
            (&many, AddressError::TooManyHosts),
            ("redis+cluster://a:7000,b:7001/3", AddressError::ClusterDatabase),
            ("redis+cluster://a:7000,/0", AddressError::Malformed),
            ("rediss://redis/#insecure", AddressError::Insecure),
            ("rediss+sentinel://a/shop/0#insecure", AddressError::Insecure),
        ] {
            assert_eq!(Address::parse(url).unwrap_err(), expected, "{url}");
        }
    }
}
