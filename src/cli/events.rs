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
};
use crate::proto::{Event, EventKind, EventOrder, ListEventsRequest};

/// Events in one page; the contract sends no more.
const PAGE_SIZE_MAX: u64 = 1_000;

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
        let mut left = if self.limit == 0 { u64::MAX } else { self.limit };
        let mut page_token = String::new();
        loop {
            let request = gateway.request(self.page(left, page_token));
            let page = gateway.inventory().list_events(request).await?.into_inner();
            let wanted = usize::try_from(left).unwrap_or(usize::MAX);
            let rows: Vec<_> = page.events.into_iter().take(wanted).map(EventRow::from).collect();
            if !rows.is_empty() {
                output.rows(&rows)?;
            }
            left = left.saturating_sub(rows.len() as u64);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(Verdict::Fine);
            }
            if left == 0 {
                eprintln!("there may be more: raise --limit, or say --limit 0 for all");
                return Ok(Verdict::Fine);
            }
        }
    }

    fn page(&self, left: u64, page_token: String) -> ListEventsRequest {
        let order = if self.newest_first { EventOrder::NewestFirst } else { EventOrder::OldestFirst };
        ListEventsRequest {
            sku: self.sku.clone(),
            start_time: self.since.map(moment::to_proto),
            end_time: self.until.map(moment::to_proto),
            page_size: i32::try_from(left.min(PAGE_SIZE_MAX)).unwrap_or(i32::MAX),
            page_token,
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
        assert_eq!(list.page(7, String::new()).page_size, 7);
        assert_eq!(list.page(u64::MAX, "t".to_owned()).page_size, 1_000);
        assert_eq!(list.page(7, String::new()).order(), EventOrder::NewestFirst);
    }
}
