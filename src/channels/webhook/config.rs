//! The settings of a webhook channel, and what may be wrong with them.

use std::{str::FromStr, time::Duration};

use reqwest::{Client, Url};
use secrecy::SecretString;

use super::super::signature::{SecretProblem, Signer};
use crate::{domain::ChannelId, outbound::client};

/// The settings of a webhook channel. No Debug: the url may hold a password.
#[derive(Clone)]
pub struct WebhookConfig {
    /// The channel.
    pub channel: ChannelId,
    /// Where to POST.
    pub url: String,
    /// Standard Webhooks secrets, 1 to 4: every call is signed with all of them, so that they can be rotated.
    pub secrets: Vec<SecretString>,
    /// SKUs per call, 1 to [`WebhookConfig::BATCH_MAX`].
    pub batch: usize,
    /// From connect to the end of the answer.
    pub timeout: Duration,
}

/// Why a webhook channel cannot be set up. Never shows the url or a secret.
#[derive(Debug, thiserror::Error)]
pub enum WebhookConfigError {
    /// The url does not parse.
    #[error("channel {channel}: url does not parse: write it as https://shop.example.com/stock")]
    BadUrl {
        /// The channel.
        channel: ChannelId,
        /// What is wrong with it.
        #[source]
        source: <Url as FromStr>::Err,
    },
    /// The url is not for HTTP.
    #[error("channel {channel}: url must begin with https:// or http://, begins with {scheme}:")]
    NotHttp {
        /// The channel.
        channel: ChannelId,
        /// What it begins with.
        scheme: String,
    },
    /// The secrets do not fit.
    #[error("channel {channel}: {problem}")]
    Secret {
        /// The channel.
        channel: ChannelId,
        /// What is wrong with them.
        problem: SecretProblem,
    },
    /// The batch is out of range.
    #[error("channel {channel}: batch must be 1 to {max}, is {given}", max = WebhookConfig::BATCH_MAX)]
    BadBatch {
        /// The channel.
        channel: ChannelId,
        /// The batch given.
        given: usize,
    },
    /// No call could ever succeed.
    #[error("channel {channel}: timeout must be above zero, e.g. \"5s\"")]
    NoTime {
        /// The channel.
        channel: ChannelId,
    },
    /// The HTTP client cannot be built.
    #[error(
        "channel {channel}: cannot prepare https: install the system's certificates (package ca-certificates)"
    )]
    Client {
        /// The channel.
        channel: ChannelId,
        /// What it said.
        #[source]
        source: reqwest::Error,
    },
}

/// What the settings turn into.
pub(super) struct Checked {
    pub(super) url: Url,
    pub(super) signer: Signer,
    pub(super) client: Client,
}

impl WebhookConfig {
    /// The largest batch: an array of about 400 KB.
    pub const BATCH_MAX: usize = 1000;
    /// The timeout when the settings name none.
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

    pub(super) fn check(&self) -> Result<Checked, WebhookConfigError> {
        let channel = || self.channel.clone();
        let url = Url::parse(&self.url)
            .map_err(|source| WebhookConfigError::BadUrl { channel: channel(), source })?;
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme().to_owned();
            return Err(WebhookConfigError::NotHttp { channel: channel(), scheme });
        }
        if !(1..=Self::BATCH_MAX).contains(&self.batch) {
            return Err(WebhookConfigError::BadBatch { channel: channel(), given: self.batch });
        }
        if self.timeout.is_zero() {
            return Err(WebhookConfigError::NoTime { channel: channel() });
        }
        let signer = Signer::new(&self.secrets)
            .map_err(|problem| WebhookConfigError::Secret { channel: channel(), problem })?;
        let client = client(&url, self.timeout)
            .map_err(|source| WebhookConfigError::Client { channel: channel(), source })?;
        Ok(Checked { url, signer, client })
    }
}
