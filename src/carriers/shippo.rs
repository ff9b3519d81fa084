//! The source of kind `shippo`: `POST /shipments` with `async: false`, all parcels in one call.
//!
//! Sizes go as strings, in grams and centimetres. A value is insured: on the shipment when it is one parcel, else in equal
//! shares on each.

mod answer;
mod request;

use std::fmt;

use jiff::Timestamp;
use reqwest::header::AUTHORIZATION;
use secrecy::ExposeSecret as _;

use super::{
    Carrier, HttpSource, HttpSourceError, QuoteFuture,
    http_source::{Endpoint, Gathered},
};
use crate::domain::carrier::{Shipment, SourceId};

use answer::Answer;
use request::Question;

/// Prices of Shippo.
pub struct Shippo {
    source: SourceId,
    accounts: Vec<String>,
    endpoint: Endpoint,
}

impl Shippo {
    /// Checks the settings and prepares the client; opens no connection.
    pub fn new(settings: HttpSource) -> Result<Self, HttpSourceError> {
        let credential = format!("ShippoToken {}", settings.key.expose_secret());
        let endpoint = settings.endpoint(&["shipments"], AUTHORIZATION, credential.into())?;
        Ok(Self { source: settings.source, accounts: settings.accounts, endpoint })
    }
}

impl Carrier for Shippo {
    fn kind(&self) -> &'static str {
        "shippo"
    }

    fn quote<'a>(&'a self, shipment: &'a Shipment, now: Timestamp) -> QuoteFuture<'a> {
        Box::pin(async move {
            let answer: Answer = self.endpoint.ask(&Question::new(shipment, &self.accounts)).await?;
            let mut gathered = Gathered::new(&self.source);
            answer.gather(now, &self.endpoint, &mut gathered);
            gathered.finish(shipment.currency)
        })
    }
}

impl fmt::Debug for Shippo {
    /// Shows neither the key nor the url.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shippo").field("source", &self.source).finish_non_exhaustive()
    }
}
