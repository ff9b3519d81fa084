//! `stockgate carriers events`: what was chosen and recorded, page by page.

use clap::Args;
use serde::Serialize;

use super::{
    super::{
        Verdict,
        failure::CliError,
        gateway::Gateway,
        moment,
        output::{Output, Row},
        paging::Paging,
    },
    day,
    judged::JudgedRow,
    source::ReportRow,
    words,
};
use crate::proto::{
    CarrierEvent, CarrierSelection, DeliveryRecord, ListCarrierEventsRequest, carrier_event::What,
};

/// Lists the audit trail.
#[derive(Debug, Args)]
pub(in crate::cli) struct Events {
    /// Only of this order
    #[arg(long, default_value = "", hide_default_value = true)]
    order_ref: String,
    /// How many at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

impl Events {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let mut paging = Paging::new(self.limit);
        loop {
            let request = gateway.request(ListCarrierEventsRequest {
                order_ref: self.order_ref.clone(),
                page_size: paging.page_size(),
                page_token: paging.token(),
            });
            let page = gateway.carriers().list_carrier_events(request).await?.into_inner();
            if !paging.show::<_, EventRow>(page.events, page.next_page_token, output)? {
                return Ok(Verdict::Fine);
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct EventRow {
    event_id: String,
    time: Option<String>,
    client: String,
    order_ref: String,
    actor: String,
    #[serde(flatten)]
    what: Shown,
}

/// What happened; of another kind when the gateway is newer than this program.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Shown {
    Selection(Selection),
    Delivery(Delivery),
    Unknown,
}

#[derive(Debug, Serialize)]
struct Selection {
    policy: &'static str,
    quotes: Vec<JudgedRow>,
    quote_count: i64,
    sources: Vec<ReportRow>,
    partial: bool,
    fallback: bool,
    misses_promise: bool,
    lane: String,
    promised_date: String,
}

#[derive(Debug, Serialize)]
struct Delivery {
    idempotency_key: String,
    carrier: String,
    service: String,
    lane: String,
    shipped_date: String,
    promised_date: String,
    delivered_date: String,
    failure: Option<&'static str>,
}

impl From<CarrierEvent> for EventRow {
    fn from(event: CarrierEvent) -> Self {
        Self {
            event_id: event.event_id,
            time: moment::show(event.time),
            client: event.client,
            order_ref: event.order_ref,
            actor: event.actor,
            what: match event.what {
                Some(What::Selection(selection)) => Shown::Selection(selection.into()),
                Some(What::Delivery(delivery)) => Shown::Delivery(delivery.into()),
                None => Shown::Unknown,
            },
        }
    }
}

impl From<CarrierSelection> for Selection {
    fn from(selection: CarrierSelection) -> Self {
        Self {
            policy: words::policy(selection.policy()),
            quotes: selection.quotes.into_iter().map(JudgedRow::from).collect(),
            quote_count: selection.quote_count,
            sources: selection.sources.into_iter().map(ReportRow::from).collect(),
            partial: selection.partial,
            fallback: selection.fallback,
            misses_promise: selection.misses_promise,
            lane: selection.lane,
            promised_date: selection.promised_date,
        }
    }
}

impl From<DeliveryRecord> for Delivery {
    fn from(delivery: DeliveryRecord) -> Self {
        Self {
            failure: words::failure(delivery.failure()),
            idempotency_key: delivery.idempotency_key,
            carrier: delivery.carrier,
            service: delivery.service,
            lane: delivery.lane,
            shipped_date: delivery.shipped_date,
            promised_date: delivery.promised_date,
            delivered_date: delivery.delivered_date,
        }
    }
}

impl Selection {
    /// "dhl/parcel for 7.42 EUR, of 3 quotes by cheapest; partial".
    fn headline(&self) -> String {
        let chosen = self.quotes.first().filter(|first| first.is_chosen());
        let chosen = chosen.map_or_else(|| "none".to_owned(), JudgedRow::headline);
        let flags =
            [(self.misses_promise, "misses promise"), (self.partial, "partial"), (self.fallback, "fallback")];
        let flags = flags.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| format!("; {word}"));
        let quotes = match self.quote_count {
            1 => "1 quote".to_owned(),
            count => format!("{count} quotes"),
        };
        format!("{chosen}, of {quotes} by {}{}", self.policy, flags.collect::<String>())
    }
}

impl Delivery {
    /// "dhl/parcel, in time after 3 days", "dhl/parcel, late by 2 days", "dhl/parcel, lost".
    fn headline(&self) -> String {
        let became = match self.failure {
            Some(why) => why.to_owned(),
            None => match day::between(&self.promised_date, &self.delivered_date) {
                Some(late) if late > 0 => format!("late by {}", days(late)),
                Some(_) => match day::between(&self.shipped_date, &self.delivered_date) {
                    Some(took) => format!("in time after {}", days(took)),
                    None => "in time".to_owned(),
                },
                None => format!("arrived {}", self.delivered_date),
            },
        };
        format!("{}/{}, {became}", self.carrier, self.service)
    }
}

fn days(count: i64) -> String {
    if count == 1 { "1 day".to_owned() } else { format!("{count} days") }
}

impl Row for EventRow {
    const HEAD: &'static [&'static str] =
        &["time", "kind", "order", "lane", "what", "promised", "client", "actor", "event"];

    fn cells(&self) -> Vec<String> {
        let (kind, lane, what, promised) = match &self.what {
            Shown::Selection(selection) => {
                ("selection", selection.lane.clone(), selection.headline(), selection.promised_date.clone())
            }
            Shown::Delivery(delivery) => {
                ("delivery", delivery.lane.clone(), delivery.headline(), delivery.promised_date.clone())
            }
            Shown::Unknown => ("unknown", String::new(), String::new(), String::new()),
        };
        vec![
            self.time.clone().unwrap_or_default(),
            kind.to_owned(),
            self.order_ref.clone(),
            lane,
            what,
            promised,
            self.client.clone(),
            self.actor.clone(),
            self.event_id.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{CarrierPolicy, DeliveryFailure, JudgedQuote, Money, Quote, QuoteVerdict};

    fn record(delivered_date: &str, failure: DeliveryFailure) -> Delivery {
        Delivery::from(DeliveryRecord {
            carrier: "dhl".to_owned(),
            service: "parcel".to_owned(),
            shipped_date: "2026-11-21".to_owned(),
            promised_date: "2026-11-24".to_owned(),
            delivered_date: delivered_date.to_owned(),
            failure: failure.into(),
            ..DeliveryRecord::default()
        })
    }

    #[test]
    fn deliveries_say_what_became_of_the_parcel() {
        let rows = [
            ("2026-11-22", DeliveryFailure::Unspecified, "dhl/parcel, in time after 1 day"),
            ("2026-11-24", DeliveryFailure::Unspecified, "dhl/parcel, in time after 3 days"),
            ("2026-11-25", DeliveryFailure::Unspecified, "dhl/parcel, late by 1 day"),
            ("", DeliveryFailure::Lost, "dhl/parcel, lost"),
        ];
        for (delivered, failure, said) in rows {
            assert_eq!(record(delivered, failure).headline(), said);
        }
    }

    #[test]
    fn selections_say_what_was_chosen_of_what() {
        let quote = Quote {
            carrier: "dhl".to_owned(),
            service: "parcel".to_owned(),
            price: Some(Money { amount_minor: 742, currency: "EUR".to_owned() }),
            ..Quote::default()
        };
        let of = |verdict: QuoteVerdict| CarrierSelection {
            policy: CarrierPolicy::Cheapest.into(),
            quotes: vec![JudgedQuote {
                quote: Some(quote.clone()),
                verdict: verdict.into(),
                reason: String::new(),
            }],
            quote_count: 3,
            partial: true,
            ..CarrierSelection::default()
        };
        let chosen = Selection::from(of(QuoteVerdict::Chosen));
        assert_eq!(chosen.headline(), "dhl/parcel for 7.42 EUR, of 3 quotes by cheapest; partial");
        let refused = Selection::from(CarrierSelection { quote_count: 1, ..of(QuoteVerdict::Late) });
        assert_eq!(refused.headline(), "none, of 1 quote by cheapest; partial");
    }

    #[test]
    fn events_are_flat_for_programs() {
        let event = CarrierEvent {
            event_id: "17-0".to_owned(),
            what: Some(What::Delivery(DeliveryRecord::default())),
            ..CarrierEvent::default()
        };
        let json = serde_json::to_value(EventRow::from(event)).unwrap();
        assert_eq!((&json["kind"], &json["event_id"]), (&"delivery".into(), &"17-0".into()));
        assert_eq!(json["failure"], serde_json::Value::Null);
    }
}
