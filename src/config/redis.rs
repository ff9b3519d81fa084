//! The `[redis]` section: where Redis is, who we are to it, and how keys are laid out.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    domain::Partitions,
    store::{Address, CertificateError, Certificates, Login},
};

use super::{Problem, SecretUrl, layers::Origins, secret_file};

/// Where Redis is, who we are to it, and how keys are laid out.
#[derive(Debug, Clone)]
pub struct Redis {
    /// None: the embedded Redis.
    pub url: Option<SecretUrl>,
    /// The same, read.
    pub address: Option<Address>,
    /// Who we are, where the URL does not say.
    pub login: Login,
    /// Who we are to the sentinels.
    pub sentinel_login: Login,
    /// For encrypted connections.
    pub certificates: Certificates,
    /// How long a call may wait for an answer.
    pub response_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// The first part of every key.
    pub namespace: String,
    /// Into how many partitions the SKUs are spread.
    pub partitions: Partitions,
    /// How long a call may wait for a slot of a cluster that nobody serves.
    pub cluster_wait: Duration,
    /// Connections kept for what needs one of its own, to each server.
    pub pool_max: usize,
}

/// The section as it was written; what is empty is not set.
#[derive(Deserialize)]
pub(super) struct RawRedis {
    url: String,
    user: String,
    password_file: PathBuf,
    ca_file: PathBuf,
    client_cert_file: PathBuf,
    client_key_file: PathBuf,
    sentinel_user: String,
    sentinel_password_file: PathBuf,
    #[serde(with = "humantime_serde")]
    response_timeout: Duration,
    #[serde(with = "humantime_serde")]
    connect_timeout: Duration,
    namespace: String,
    partitions: u16,
    #[serde(with = "humantime_serde")]
    cluster_wait: Duration,
    pool_max: usize,
}

/// As many as the settings say; 0: as many as suit the address.
fn partitions(count: u16, address: Option<&Address>) -> Partitions {
    let fitting = match address {
        Some(address) if address.is_cluster() => Partitions::OF_CLUSTER,
        _ => Partitions::ONE,
    };
    Partitions::new(count).unwrap_or(fitting)
}

/// Reads the files the section names, and notes what does not fit together.
pub(super) fn convert(raw: RawRedis, origins: &Origins, problems: &mut Vec<Problem>) -> Redis {
    // A URL that is none has been noted already, and stands empty here.
    let address = Some(&raw.url).filter(|url| !url.is_empty()).and_then(|url| Address::parse(url).ok());
    let is_noted = problems.iter().any(|problem| problem.is_about("redis.url"));
    let mut reading = Reading { origins, problems };
    if !is_noted {
        reading.check_fit(&raw, address.as_ref());
    }
    Redis {
        url: Some(&raw.url).filter(|url| !url.is_empty()).map(|url| SecretUrl::new(url)),
        login: reading.login(
            "redis.user",
            raw.user,
            "redis.password_file",
            raw.password_file,
            address.as_ref().is_some_and(Address::has_password),
        ),
        sentinel_login: reading.login(
            "redis.sentinel_user",
            raw.sentinel_user,
            "redis.sentinel_password_file",
            raw.sentinel_password_file,
            false,
        ),
        certificates: reading.certificates(raw.ca_file, raw.client_cert_file, raw.client_key_file),
        partitions: partitions(raw.partitions, address.as_ref()),
        address,
        response_timeout: raw.response_timeout,
        connect_timeout: raw.connect_timeout,
        namespace: raw.namespace,
        cluster_wait: raw.cluster_wait,
        pool_max: raw.pool_max,
    }
}

struct Reading<'a> {
    origins: &'a Origins,
    problems: &'a mut Vec<Problem>,
}

impl Reading<'_> {
    fn invalid(&mut self, path: &str, detail: String) {
        self.problems.push(self.origins.invalid(path, detail));
    }

    /// Whether the URL has a use for what is set, and says nothing else itself.
    fn check_fit(&mut self, raw: &RawRedis, address: Option<&Address>) {
        let url = self.origins.of("redis.url");
        let of = |has: fn(&Address) -> bool| address.is_some_and(has);
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        let (is_tls, is_sentinel) = (of(Address::is_tls), of(Address::is_sentinel));
        let logins = [
            ("redis.user", !raw.user.is_empty(), of(Address::has_user), "a user"),
            ("redis.password_file", is_set(&raw.password_file), of(Address::has_password), "a password"),
        ];
        for (setting, _, _, what) in
            logins.into_iter().filter(|(_, is_set, is_in_url, _)| *is_set && *is_in_url)
        {
            self.invalid(setting, format!("is set, and redis.url in {url} has {what} too: keep one of them"));
        }
        let tls = "is not rediss:// or rediss+sentinel://: encrypt the way, or leave this out";
        let sentinel = "is not redis+sentinel://: leave this out";
        let none = "is empty, so stockgate starts its own redis: set the url, or leave this out";
        for (setting, is_set, is_of_use, why) in [
            ("redis.user", !raw.user.is_empty(), address.is_some(), none),
            ("redis.password_file", is_set(&raw.password_file), address.is_some(), none),
            ("redis.ca_file", is_set(&raw.ca_file), is_tls, tls),
            ("redis.client_cert_file", is_set(&raw.client_cert_file), is_tls, tls),
            ("redis.client_key_file", is_set(&raw.client_key_file), is_tls, tls),
            ("redis.sentinel_user", !raw.sentinel_user.is_empty(), is_sentinel, sentinel),
            ("redis.sentinel_password_file", is_set(&raw.sentinel_password_file), is_sentinel, sentinel),
        ] {
            if is_set && !is_of_use {
                self.invalid(setting, format!("is set, but redis.url in {url} {why}"));
            }
        }
    }

    fn login(
        &mut self,
        user_setting: &str,
        user: String,
        file_setting: &str,
        file: PathBuf,
        has_password: bool,
    ) -> Login {
        let file = Some(file).filter(|file| !file.as_os_str().is_empty());
        let user = Some(user).filter(|user| !user.is_empty());
        if user.is_some() && file.is_none() && !has_password {
            // Redis takes no name without a password: we would be the default user, unnoticed.
            self.invalid(user_setting, format!("is set without a password: set {file_setting} too"));
        }
        Login { user, password: file.and_then(|file| self.secret(file_setting, &file)) }
    }

    fn secret(&mut self, setting: &str, file: &std::path::Path) -> Option<SecretString> {
        let secret = secret_file::secret(file, setting, self.origins);
        secret.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn pem(&mut self, setting: &str, file: PathBuf) -> Option<String> {
        let file = Some(file).filter(|file| !file.as_os_str().is_empty())?;
        let pem = secret_file::pem(&file, setting, self.origins);
        pem.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn certificates(&mut self, authorities: PathBuf, certificate: PathBuf, key: PathBuf) -> Certificates {
        let mut certificates = Certificates::default();
        if let Some(pem) = self.pem("redis.ca_file", authorities)
            && let Err(wrong) = certificates.trust(pem.into_bytes())
        {
            self.invalid("redis.ca_file", wrong.to_string());
        }
        let (has_certificate, has_key) = (!certificate.as_os_str().is_empty(), !key.as_os_str().is_empty());
        match (has_certificate, has_key) {
            (true, false) => {
                self.invalid(
                    "redis.client_cert_file",
                    "is set without redis.client_key_file: set both".into(),
                );
            }
            (false, true) => {
                self.invalid(
                    "redis.client_key_file",
                    "is set without redis.client_cert_file: set both".into(),
                );
            }
            (true, true) => {
                let certificate = self.pem("redis.client_cert_file", certificate);
                let key = self.pem("redis.client_key_file", key).map(SecretString::from);
                if let (Some(certificate), Some(key)) = (certificate, key)
                    && let Err(wrong) = certificates.show(certificate.into_bytes(), &key)
                {
                    let setting = match wrong {
                        CertificateError::Key => "redis.client_key_file",
                        CertificateError::Client | CertificateError::Authorities => "redis.client_cert_file",
                    };
                    self.invalid(setting, wrong.to_string());
                }
            }
            (false, false) => {}
        }
        certificates
    }
}
