//! What all sources over HTTP have in common: their settings, one POST of JSON, and what its answer means.
//!
//! `call` sends and judges the answer, `gathered` keeps what it says within bounds, `exact` reads and writes numbers and dates
//! without rounding. The three vendors add their shapes, and nothing else.

mod call;
mod exact;
mod gathered;

use std::{str::FromStr, time::Duration};

use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{domain::carrier::SourceId, outbound::client};

pub use call::ANSWER_BYTES_MAX;
pub(super) use call::Endpoint;
pub(super) use exact::{Read, Written, date_in, date_of, number, shares, working_date_in};
pub(super) use gathered::{Gathered, Offer};

/// The most carrier accounts one source may ask; EasyPost takes no more.
pub const ACCOUNTS_MAX: usize = 60;

/// The settings of a source over HTTP. No Debug: the url may hold a password.
#[derive(Clone)]
pub struct HttpSource {
    /// The source.
    pub source: SourceId,
    /// Where its API begins, such as `https://api.easypost.com`; the path of the call is added.
    pub url: String,
    /// The API key.
    pub key: SecretString,
    /// The carrier accounts to ask, at most [`ACCOUNTS_MAX`]; none: all, where the API allows it.
    pub accounts: Vec<String>,
    /// From connect to the end of the answer.
    pub timeout: Duration,
}

/// Why a source over HTTP cannot be set up. Never shows the url or the key.
#[derive(Debug, thiserror::Error)]
pub enum HttpSourceError {
    /// The url does not parse.
    #[error("source {source_id}: url does not parse: write it as https://api.example.com")]
    BadUrl {
        /// The source.
        source_id: SourceId,
        /// What is wrong with it.
        #[source]
        cause: <Url as FromStr>::Err,
    },
    /// The url is not for HTTP.
    #[error("source {source_id}: url must begin with https:// or http://, begins with {scheme}:")]
    NotHttp {
        /// The source.
        source_id: SourceId,
        /// What it begins with.
        scheme: String,
    },
    /// The url has more than host and path.
    #[error(
        "source {source_id}: url must be host and path alone: leave out user, password, ? and #; the key goes into key or key_file"
    )]
    UrlSaysMore {
        /// The source.
        source_id: SourceId,
    },
    /// There is no key.
    #[error("source {source_id}: key is empty: set key or key_file to the API key of the account")]
    NoKey {
        /// The source.
        source_id: SourceId,
    },
    /// The key cannot stand in a header.
    #[error(
        "source {source_id}: key must be printable ASCII without spaces: look for a line break or a quote in key or key_file"
    )]
    BadKey {
        /// The source.
        source_id: SourceId,
    },
    /// The API asks only the accounts it is told.
    #[error("source {source_id}: accounts is empty: list the carrier ids to ask, such as [\"se-123456\"]")]
    NoAccounts {
        /// The source.
        source_id: SourceId,
    },
    /// One account is no account.
    #[error("source {source_id}: accounts has an empty entry: take it out")]
    EmptyAccount {
        /// The source.
        source_id: SourceId,
    },
    /// More accounts than one call takes.
    #[error(
        "source {source_id}: accounts must be at most {ACCOUNTS_MAX}, are {given}: share them out over two sources"
    )]
    TooManyAccounts {
        /// The source.
        source_id: SourceId,
        /// How many were given.
        given: usize,
    },
    /// No call could ever succeed.
    #[error("source {source_id}: timeout must be above zero, e.g. \"2s\"")]
    NoTime {
        /// The source.
        source_id: SourceId,
    },
    /// The HTTP client cannot be built.
    #[error(
        "source {source_id}: cannot prepare https: install the system's certificates (package ca-certificates)"
    )]
    Client {
        /// The source.
        source_id: SourceId,
        /// What it said.
        #[source]
        cause: reqwest::Error,
    },
}

impl HttpSource {
    /// Checks what all vendors have in common, and prepares the client for calls to `path`. Opens no connection.
    pub(super) fn endpoint(
        &self,
        path: &[&str],
        header: HeaderName,
        credential: SecretString,
    ) -> Result<Endpoint, HttpSourceError> {
        let source_id = || self.source.clone();
        let mut url = Url::parse(&self.url)
            .map_err(|cause| HttpSourceError::BadUrl { source_id: source_id(), cause })?;
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme().to_owned();
            return Err(HttpSourceError::NotHttp { source_id: source_id(), scheme });
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(HttpSourceError::UrlSaysMore { source_id: source_id() });
        }
        self.check_key()?;
        self.check_accounts()?;
        if self.timeout.is_zero() {
            return Err(HttpSourceError::NoTime { source_id: source_id() });
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut value = HeaderValue::from_str(credential.expose_secret())
            .map_err(|_| HttpSourceError::BadKey { source_id: source_id() })?;
        value.set_sensitive(true);
        let client = client(&url, self.timeout)
            .map_err(|cause| HttpSourceError::Client { source_id: source_id(), cause })?;
        Ok(Endpoint::new(client, url, (header, value), [self.key.clone(), credential], self.timeout))
    }

    fn check_key(&self) -> Result<(), HttpSourceError> {
        let key = self.key.expose_secret();
        if key.is_empty() {
            return Err(HttpSourceError::NoKey { source_id: self.source.clone() });
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HttpSourceError::BadKey { source_id: self.source.clone() });
        }
        Ok(())
    }

    fn check_accounts(&self) -> Result<(), HttpSourceError> {
        if self.accounts.iter().any(String::is_empty) {
            return Err(HttpSourceError::EmptyAccount { source_id: self.source.clone() });
        }
        match self.accounts.len() {
            0..=ACCOUNTS_MAX => Ok(()),
            given => Err(HttpSourceError::TooManyAccounts { source_id: self.source.clone(), given }),
        }
    }
}
