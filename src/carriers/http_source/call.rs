//! One POST of JSON, and what its answer, or its absence, means.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, de::DeserializeOwned};

use super::super::QuoteFault;
use crate::outbound::{ErrorText, body_start, retry_after, root_cause};

/// The longest answer that is read: 2 MB, several times what hundreds of quotes take.
pub const ANSWER_BYTES_MAX: usize = 2_000_000;
/// Of the answer to a refused call at most this is read: enough to say what was wrong.
const REFUSAL_BYTES_MAX: usize = 4 * 1024;

/// Where a source is called.
pub(crate) struct Endpoint {
    client: Client,
    url: Url,
    authorization: (HeaderName, HeaderValue),
    /// What no error may show: the key, and the form in which it is sent.
    hidden: [SecretString; 2],
    timeout: Duration,
}

impl Endpoint {
    pub(super) fn new(
        client: Client,
        url: Url,
        authorization: (HeaderName, HeaderValue),
        hidden: [SecretString; 2],
        timeout: Duration,
    ) -> Self {
        Self { client, url, authorization, hidden, timeout }
    }

    /// How long one call may take, from connect to the end of the answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks once, and reads the answer.
    pub(crate) async fn ask<A: DeserializeOwned>(&self, question: &impl Serialize) -> Result<A, QuoteFault> {
        let (name, value) = self.authorization.clone();
        let request =
            self.client.post(self.url.clone()).header(name, value).header(ACCEPT, "application/json");
        let response = request.json(question).send().await.map_err(|error| self.no_answer(&error))?;
        if response.status().is_success() {
            self.read(response).await
        } else {
            Err(self.refusal(response).await)
        }
    }

    /// What somebody said, without the key if he repeats it.
    pub(crate) fn said(&self, text: &str) -> ErrorText {
        let secrets = self.hidden.iter().map(|secret| secret.expose_secret());
        ErrorText::new(&secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[key]")))
    }

    fn failed(&self, text: &str) -> QuoteFault {
        QuoteFault::Failed { error: self.said(text) }
    }

    async fn read<A: DeserializeOwned>(&self, mut response: Response) -> Result<A, QuoteFault> {
        if let Some(kind) = response.headers().get(CONTENT_TYPE).filter(|kind| !is_json(kind)) {
            let kind = String::from_utf8_lossy(kind.as_bytes());
            return Err(self.failed(&format!("{}: the answer is {kind}, not JSON", response.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.no_answer(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(self.failed(&format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body)
            .map_err(|error| self.failed(&format!("the answer is not of the shape it should have: {error}")))
    }

    /// The status decides; the body only explains, so a body that breaks off changes nothing.
    async fn refusal(&self, mut response: Response) -> QuoteFault {
        let status = response.status();
        if status.is_redirection() {
            let text = format!("{status}: redirects are not followed: set url to the final one");
            return QuoteFault::RefusedUs { error: self.said(&text) };
        }
        let body = body_start(&mut response, REFUSAL_BYTES_MAX).await;
        let error = self.said(&format!("{status}: {}", String::from_utf8_lossy(&body)));
        // Who says when to come back refuses nothing for good, whatever the status.
        let after = retry_after(response.headers(), Timestamp::now());
        if after.is_some() {
            return QuoteFault::Throttled { after, error };
        }
        match status {
            StatusCode::TOO_MANY_REQUESTS => QuoteFault::Throttled { after: None, error },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => QuoteFault::Failed { error },
            StatusCode::UNAUTHORIZED
            | StatusCode::PAYMENT_REQUIRED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
            | StatusCode::GONE
            | StatusCode::LOCKED => QuoteFault::RefusedUs { error },
            _ if status.is_client_error() => QuoteFault::RefusedShipment { error },
            _ => QuoteFault::Failed { error },
        }
    }

    fn no_answer(&self, error: &reqwest::Error) -> QuoteFault {
        if error.is_timeout() {
            return QuoteFault::TimedOut { after: self.timeout };
        }
        let what = if error.is_connect() {
            "cannot connect to the source"
        } else {
            "the connection broke before the answer was there"
        };
        self.failed(&format!("{what}: {}", root_cause(error)))
    }
}

impl fmt::Debug for Endpoint {
    /// Shows neither the key nor the url.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// `application/json`, with parameters or without, or another type built on it.
fn is_json(kind: &HeaderValue) -> bool {
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}
