//! `stockgate events`: what changed stock, page by page.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Verdict,
    failure::CliError,
    gateway::{Gateway, GatewayArgs},
    moment,
    output::{Output, Row},
    paging::Paging,
};
use crate::proto::{Event, EventKind, EventOrder, ListEventsRequest};

/// What can be asked about events.
#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// List events, of one SKU or of all
    List(List),
}

/// Lists events.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only this SKU
    #[arg(long, default_value = "", hide_default_value = true)]
    sku: String,
    /// Not before this moment: 2026-11-20T17:00:00Z, or "10m ago"
    #[arg(long, value_name = "TIME", value_parser = moment::parse_moment)]
    since: Option<Timestamp>,
    /// Before this moment
    #[arg(long, value_name = "TIME", value_parser = moment::parse_moment)]
    until: Option<Timestamp>,
    /// From the last event back
    #[arg(long)]
    newest_first: bool,
    /// How many at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

impl EventsCommand {
    pub(super) async fn run(self, gateway: &GatewayArgs, output: Output) -> Result<Verdict, CliError> {
        let Self::List(list) = self;
        list.run(&gateway.connect().await?, output).await
    }
}

impl List {
    async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let mut paging = Paging::new(self.limit);
        loop {
            let request = gateway.request(self.page(&paging));
            let page = gateway.inventory().list_events(request).await?.into_inner();
            if !paging.show::<_, EventRow>(page.events, page.next_page_token, output)? {
                return Ok(Verdict::Fine);
            }
        }
    }

    fn page(&self, paging: &Paging) -> ListEventsRequest {
        let order = if self.newest_first { EventOrder::NewestFirst } else { EventOrder::OldestFirst };
        ListEventsRequest {
            sku: self.sku.clone(),
            start_time: self.since.map(moment::to_proto),
            end_time: self.until.map(moment::to_proto),
            page_size: paging.page_size(),
            page_token: paging.token(),
            order: order.into(),
        }
    }
}

/// One event.
#[derive(Debug, Serialize)]
pub(super) struct EventRow {
    event_id: String,
    event_time: Option<String>,
    kind: &'static str,
    sku: String,
    on_hand_delta: i64,
    held_delta: i64,
    on_hand: i64,
    held: i64,
    available: i64,
    version: i64,
    channel: String,
    idempotency_key: String,
    hold_id: String,
    order_ref: String,
    reason: String,
    actor: String,
    client: String,
}

impl From<Event> for EventRow {
    fn from(event: Event) -> Self {
        Self {
            kind: kind_word(event.kind()),
            event_time: moment::show(event.event_time),
            event_id: event.event_id,
            sku: event.sku,
            on_hand_delta: event.on_hand_delta,
            held_delta: event.held_delta,
            on_hand: event.on_hand,
            held: event.held,
            available: event.available,
            version: event.version,
            channel: event.channel,
            idempotency_key: event.idempotency_key,
            hold_id: event.hold_id,
            order_ref: event.order_ref,
            reason: event.reason,
            actor: event.actor,
            client: event.client,
        }
    }
}

impl EventRow {
    /// What happened, in one line.
    pub(super) fn headline(&self) -> String {
        let Self { kind, on_hand_delta, held_delta, channel, .. } = self;
        let of_letter = [EventKind::Replayed, EventKind::Discarded].map(kind_word).contains(kind);
        let word = if of_letter { "for" } else { "by" };
        let by = if channel.is_empty() { String::new() } else { format!(" {word} {channel}") };
        format!("{kind} (on hand {on_hand_delta:+}, held {held_delta:+}){by}")
    }

    fn note(&self) -> String {
        let said =
            [("order ", &self.order_ref), ("hold ", &self.hold_id), ("by ", &self.actor), ("", &self.reason)];
        let parts: Vec<_> = said
            .iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| format!("{name}{text}"))
            .collect();
        parts.join(", ")
    }
}

impl Row for EventRow {
    const HEAD: &'static [&'static str] = &[
        "time",
        "kind",
        "sku",
        "on hand ±",
        "held ±",
        "on hand",
        "held",
        "available",
        "version",
        "channel",
        "event",
        "note",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.event_time.clone().unwrap_or_default(),
            self.kind.to_owned(),
            self.sku.clone(),
            format!("{:+}", self.on_hand_delta),
            format!("{:+}", self.held_delta),
            self.on_hand.to_string(),
            self.held.to_string(),
            self.available.to_string(),
            self.version.to_string(),
            self.channel.clone(),
            self.event_id.clone(),
            self.note(),
        ]
    }
}

fn kind_word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Unspecified => "unspecified",
        EventKind::Decremented => "decremented",
        EventKind::Reserved => "reserved",
        EventKind::Committed => "committed",
        EventKind::Released => "released",
        EventKind::Expired => "expired",
        EventKind::Extended => "extended",
        EventKind::Restocked => "restocked",
        EventKind::Adjusted => "adjusted",
        EventKind::Set => "set",
        EventKind::Refused => "refused",
        EventKind::Repaired => "repaired",
        EventKind::Replayed => "replayed",
        EventKind::Discarded => "discarded",
    }
}

#[cfg(test)]
mod tests {
    use super::{super::output::table, *};

    #[test]
    fn event_shows_signed_deltas_and_who() {
        let event = Event {
            event_id: "0-17-0".to_owned(),
            kind: EventKind::Decremented.into(),
            sku: "A".to_owned(),
            on_hand_delta: -2,
            on_hand: 8,
            available: 8,
            version: 3,
            channel: "web".to_owned(),
            order_ref: "17".to_owned(),
            actor: "mia".to_owned(),
            ..Event::default()
        };
        let text = table(&[EventRow::from(event)]);
        let row = text.lines().last().unwrap();
        for part in ["decremented", "-2", "+0", "web", "0-17-0", "order 17, by mia"] {
            assert!(row.contains(part), "{part} in {row}");
        }
    }

    #[test]
    fn page_never_asks_for_more_than_is_wanted() {
        let list = List { sku: "A".to_owned(), since: None, until: None, newest_first: true, limit: 0 };
        assert_eq!(list.page(&Paging::new(7)).page_size, 7);
        assert_eq!(list.page(&Paging::new(0)).page_size, 1_000);
        assert_eq!(list.page(&Paging::new(7)).order(), EventOrder::NewestFirst);
    }
}
