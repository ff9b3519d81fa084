//! What Shippo answers.

use jiff::Timestamp;
use serde::Deserialize;

use super::super::http_source::{Endpoint, Gathered, Offer, Read, Written, working_date_in};
use crate::domain::carrier::{Currency, Money};

#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    status: Option<String>,
    rates: Vec<Read<Rate>>,
    #[serde(default)]
    messages: Option<Vec<Read<Message>>>,
}

#[derive(Deserialize)]
struct Rate {
    #[serde(default)]
    object_id: String,
    provider: String,
    servicelevel: ServiceLevel,
    /// In the sender's currency; `amount_local` is in the recipient's.
    amount: Written,
    currency: String,
    /// An average: nobody vouches for it.
    estimated_days: Option<i64>,
}

#[derive(Deserialize)]
struct ServiceLevel {
    token: String,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

impl Answer {
    pub(super) fn gather(self, now: Timestamp, endpoint: &Endpoint, gathered: &mut Gathered) {
        for rate in self.rates {
            match rate.0 {
                Ok(rate) => rate.gather(now, gathered),
                Err(error) => gathered.unreadable(&error),
            }
        }
        for message in self.messages.into_iter().flatten().filter_map(|message| message.0.ok()) {
            let is_transient = message.code.as_deref() == Some("carrier_timeout");
            let text = endpoint.said(&message.text.unwrap_or_default());
            gathered.silent_unless_quoted(&message.source.unwrap_or_default(), is_transient, text);
        }
        // Asked to wait for all carriers, it says here that some are still at it.
        if let Some(status @ ("QUEUED" | "WAITING")) = self.status.as_deref() {
            let text = endpoint.said(&format!("not all carriers had answered: status {status}"));
            gathered.silent("shippo", true, text);
        }
    }
}

impl Rate {
    fn gather(self, now: Timestamp, gathered: &mut Gathered) {
        let service = &self.servicelevel.token;
        let price = Currency::parse(&self.currency)
            .map_err(|problem| format!("currency {problem}"))
            .and_then(|currency| {
                Money::from_decimal(self.amount.as_str(), currency)
                    .map_err(|problem| format!("amount {problem}"))
            });
        match price {
            Ok(price) => gathered.offer(Offer {
                carrier: &self.provider,
                service,
                price,
                delivers: self.estimated_days.and_then(|days| working_date_in(days, now)),
                is_guaranteed: false,
                reference: &self.object_id,
            }),
            Err(problem) => gathered.dropped(&self.provider, &format!("{service}: {problem}")),
        }
    }
}
