//! The source of kind `easypost`: `POST /v2/shipments`, one call per parcel.
//!
//! A shipment of EasyPost has one parcel. Several are asked side by side, and the prices of one service of one account are
//! added up; a service that has no price for each of them has no quote. Sizes go as inches and ounces with one decimal,
//! rounded up. Insurance is bought after the label there, so no quote holds any.

mod answer;
mod request;

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use reqwest::header::AUTHORIZATION;
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use super::{
    Carrier, HttpSource, HttpSourceError, QuoteFault, QuoteFuture, Quoted,
    http_source::{Endpoint, Gathered},
};
use crate::{
    domain::carrier::{Parcel, Shipment, SourceId},
    outbound::ErrorText,
};

use answer::Answer;
use request::Question;

/// Each parcel is a call, and all of them have the time and the permit of one: a shipment of more is left to others.
const PARCELS_MAX: usize = 8;

/// Prices of EasyPost.
pub struct EasyPost {
    source: SourceId,
    accounts: Vec<String>,
    endpoint: Endpoint,
}

impl EasyPost {
    /// Checks the settings and prepares the client; opens no connection.
    pub fn new(settings: HttpSource) -> Result<Self, HttpSourceError> {
        // The key is the user of Basic authentication, and the password is empty.
        let user = BASE64_STANDARD.encode(format!("{}:", settings.key.expose_secret()));
        let endpoint =
            settings.endpoint(&["v2", "shipments"], AUTHORIZATION, format!("Basic {user}").into())?;
        Ok(Self { source: settings.source, accounts: settings.accounts, endpoint })
    }

    async fn ask(&self, shipment: &Shipment, now: Timestamp) -> Result<Quoted, QuoteFault> {
        let parcels = shipment.parcels.as_slice();
        if parcels.len() > PARCELS_MAX {
            let error = format!("has {} parcels, easypost is asked for at most {PARCELS_MAX}", parcels.len());
            return Err(QuoteFault::RefusedShipment { error: ErrorText::new(&error) });
        }
        let calls: Vec<_> = parcels.iter().map(|parcel| self.ask_one(shipment, parcel)).collect();
        let answers: Vec<Answer> = stream::iter(calls).buffered(PARCELS_MAX).try_collect().await?;
        let mut gathered = Gathered::new(&self.source);
        answer::add_up(answers, now, &self.endpoint, &mut gathered);
        gathered.finish(shipment.currency)
    }

    async fn ask_one(&self, shipment: &Shipment, parcel: &Parcel) -> Result<Answer, QuoteFault> {
        self.endpoint.ask(&Question::new(shipment, parcel, &self.accounts)).await
    }
}

impl Carrier for EasyPost {
    fn kind(&self) -> &'static str {
        "easypost"
    }

    fn quote<'a>(&'a self, shipment: &'a Shipment, now: Timestamp) -> QuoteFuture<'a> {
        let after = self.endpoint.timeout();
        Box::pin(async move {
            timeout(after, self.ask(shipment, now)).await.unwrap_or(Err(QuoteFault::TimedOut { after }))
        })
    }
}

impl fmt::Debug for EasyPost {
    /// Shows neither the key nor the url.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EasyPost").field("source", &self.source).finish_non_exhaustive()
    }
}
