//! The channel of kind `webhook`: a signed POST to any url.
//!
//! `batch = 1` sends one CloudEvent per call (structured mode). A larger `batch` always sends an array (batched mode),
//! also of one event, so that a receiver has one format to read; the one status of the answer is that of all its items.

mod answer;
mod config;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use jiff::Timestamp;
use reqwest::{Client, Url, header::CONTENT_TYPE};

use super::{Channel, PushFuture, PushOutcome, cloud_event::Message, signature::Signer};
use crate::domain::{ChannelId, DesiredState};

pub use config::{WebhookConfig, WebhookConfigError};

/// A receiver of signed CloudEvents.
pub struct Webhook {
    channel: ChannelId,
    url: Url,
    batch_max: usize,
    timeout: Duration,
    signer: Signer,
    client: Client,
}

impl Webhook {
    /// Checks the settings and prepares the client; opens no connection.
    pub fn new(config: WebhookConfig) -> Result<Self, WebhookConfigError> {
        let checked = config.check()?;
        Ok(Self {
            channel: config.channel,
            url: checked.url,
            batch_max: config.batch,
            timeout: config.timeout,
            signer: checked.signer,
            client: checked.client,
        })
    }

    async fn call(&self, items: &[DesiredState]) -> PushOutcome {
        let message = match items {
            [item] if self.batch_max == 1 => Message::structured(&self.channel, item),
            _ => Message::batched(&self.channel, items),
        };
        let timestamp_s = Timestamp::now().as_second();
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, message.content_type)
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp_s)
            .header("webhook-signature", self.signer.sign(&message.id, timestamp_s, &message.body))
            .body(message.body);
        match request.send().await {
            Ok(response) => answer::outcome(response, items.len()).await,
            Err(error) => answer::no_answer(error, self.timeout),
        }
    }
}

impl Channel for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn push<'a>(&'a self, items: &'a [DesiredState]) -> PushFuture<'a> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(items.len());
            for chunk in items.chunks(self.batch_max) {
                let outcome = self.call(chunk).await;
                outcomes.extend(chunk.iter().map(|_| outcome.clone()));
            }
            outcomes
        })
    }
}

impl fmt::Debug for Webhook {
    /// Shows neither the secrets nor the url, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("channel", &self.channel).finish_non_exhaustive()
    }
}
