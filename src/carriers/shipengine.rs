//! The source of kind `shipengine`: `POST /v1/rates`, all packages in one call.
//!
//! Sizes go as numbers, in grams and centimetres. A value is insured with the carrier, in equal shares on each package. The API
//! demands a name and a phone number for both ends; we know neither, and send placeholders.

mod answer;
mod request;

use std::fmt;

use jiff::Timestamp;
use reqwest::header::HeaderName;

use super::{
    Carrier, HttpSource, HttpSourceError, QuoteFuture,
    http_source::{Endpoint, Gathered},
};
use crate::domain::carrier::{Shipment, SourceId};

use answer::Answer;
use request::Question;

/// Prices of ShipEngine.
pub struct ShipEngine {
    source: SourceId,
    accounts: Vec<String>,
    endpoint: Endpoint,
}

impl ShipEngine {
    /// Checks the settings and prepares the client; opens no connection. Accounts are required: the API asks only those.
    pub fn new(settings: HttpSource) -> Result<Self, HttpSourceError> {
        let header = HeaderName::from_static("api-key");
        let endpoint = settings.endpoint(&["v1", "rates"], header, settings.key.clone())?;
        if settings.accounts.is_empty() {
            return Err(HttpSourceError::NoAccounts { source_id: settings.source });
        }
        Ok(Self { source: settings.source, accounts: settings.accounts, endpoint })
    }
}

impl Carrier for ShipEngine {
    fn kind(&self) -> &'static str {
        "shipengine"
    }

    fn quote<'a>(&'a self, shipment: &'a Shipment, now: Timestamp) -> QuoteFuture<'a> {
        Box::pin(async move {
            let answer: Answer = self.endpoint.ask(&Question::new(shipment, &self.accounts)).await?;
            let mut gathered = Gathered::new(&self.source);
            answer.rate_response.gather(now, &self.endpoint, &mut gathered);
            gathered.finish(shipment.currency)
        })
    }
}

impl fmt::Debug for ShipEngine {
    /// Shows neither the key nor the url.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShipEngine").field("source", &self.source).finish_non_exhaustive()
    }
}
