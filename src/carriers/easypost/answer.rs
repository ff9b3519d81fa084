//! What EasyPost answers for one parcel, and what the answers for all of them come to.

use jiff::{Timestamp, civil::Date};
use serde::Deserialize;

use super::super::http_source::{Endpoint, Gathered, Offer, Read, Written, date_of, working_date_in};
use crate::domain::carrier::{Currency, Money};

#[derive(Deserialize)]
pub(super) struct Answer {
    rates: Vec<Read<Rate>>,
    #[serde(default)]
    messages: Option<Vec<Read<Message>>>,
}

#[derive(Deserialize)]
struct Rate {
    #[serde(default)]
    id: String,
    carrier: String,
    service: String,
    #[serde(default)]
    carrier_account_id: Option<String>,
    rate: Written,
    currency: String,
    delivery_days: Option<i64>,
    delivery_date: Option<String>,
    #[serde(default)]
    delivery_date_guaranteed: Option<bool>,
}

/// Its `type` is nearly always `rate_error`, and its text is the carrier's own: neither tells one that is slow from one that
/// says no.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    carrier: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// One service of one account, for the parcels so far.
struct Sum {
    rate: Rate,
    price: Result<Money, String>,
    delivers: Option<Date>,
    is_guaranteed: bool,
    references: Vec<String>,
    parcels: usize,
    last_parcel: usize,
}

/// Adds up the rates of one answer per parcel.
pub(super) fn add_up(answers: Vec<Answer>, now: Timestamp, endpoint: &Endpoint, gathered: &mut Gathered) {
    let parcels = answers.len();
    let (mut sums, mut messages): (Vec<Sum>, Vec<Message>) = (Vec::new(), Vec::new());
    for (parcel, answer) in answers.into_iter().enumerate() {
        for rate in answer.rates {
            match rate.0 {
                Ok(rate) => add(&mut sums, Sum::of(rate, parcel, now)),
                Err(error) => gathered.unreadable(&error),
            }
        }
        messages.extend(answer.messages.into_iter().flatten().filter_map(|message| message.0.ok()));
    }
    for sum in sums {
        sum.settle(parcels, gathered);
    }
    for message in messages {
        let text = endpoint.said(&message.message.unwrap_or_default());
        gathered.silent_unless_quoted(&message.carrier.unwrap_or_default(), false, text);
    }
}

fn add(sums: &mut Vec<Sum>, next: Sum) {
    match sums.iter_mut().find(|sum| sum.is_for_the_same_as(&next)) {
        // A second rate of the same service for the same parcel would be counted twice.
        Some(sum) if sum.last_parcel == next.last_parcel => {}
        Some(sum) => sum.plus(next),
        None => sums.push(next),
    }
}

impl Sum {
    fn of(rate: Rate, parcel: usize, now: Timestamp) -> Self {
        let price = Currency::parse(&rate.currency)
            .map_err(|problem| format!("currency {problem}"))
            .and_then(|currency| {
                Money::from_decimal(rate.rate.as_str(), currency).map_err(|problem| format!("rate {problem}"))
            });
        let date = rate.delivery_date.as_deref().and_then(date_of);
        let delivers = date.or_else(|| rate.delivery_days.and_then(|days| working_date_in(days, now)));
        let is_guaranteed = rate.delivery_date_guaranteed == Some(true);
        let references = vec![rate.id.clone()];
        Self { rate, price, delivers, is_guaranteed, references, parcels: 1, last_parcel: parcel }
    }

    fn is_for_the_same_as(&self, other: &Self) -> bool {
        let who = |rate: &Rate| {
            (rate.carrier.clone(), rate.service.clone(), rate.carrier_account_id.clone().unwrap_or_default())
        };
        who(&self.rate) == who(&other.rate)
    }

    fn plus(&mut self, next: Self) {
        self.price = match (&self.price, next.price) {
            (Ok(sum), Ok(price)) => {
                sum.plus(price).ok_or_else(|| "its prices for the parcels do not add up".to_owned())
            }
            (Err(problem), _) => Err(problem.clone()),
            (Ok(_), Err(problem)) => Err(problem),
        };
        // All have arrived when the last has.
        self.delivers = self.delivers.zip(next.delivers).map(|(one, other)| one.max(other));
        self.is_guaranteed &= next.is_guaranteed;
        self.references.extend(next.references);
        self.parcels += 1;
        self.last_parcel = next.last_parcel;
    }

    fn settle(self, parcels: usize, gathered: &mut Gathered) {
        let Rate { carrier, service, .. } = &self.rate;
        if self.parcels < parcels {
            let reason = format!("{service}: has prices for {} of {parcels} parcels", self.parcels);
            return gathered.dropped(carrier, &reason);
        }
        match self.price {
            Ok(price) => gathered.offer(Offer {
                carrier,
                service,
                price,
                delivers: self.delivers,
                is_guaranteed: self.is_guaranteed,
                reference: &self.references.join(" "),
            }),
            Err(problem) => gathered.dropped(carrier, &format!("{service}: {problem}")),
        }
    }
}
