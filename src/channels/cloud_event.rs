//! The body of a webhook: CloudEvents 1.0 as JSON, one event (structured mode) or an array of them (batched mode).
//!
//! Structured and not binary mode, because the signature covers the id, the time and the body, but no other header.

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::{ChannelId, DesiredState};

/// One call: the name its repeats share, and what is signed and sent from one buffer.
pub(super) struct Message {
    /// The `webhook-id`: never holds a `.`, which separates the signed parts.
    pub(super) id: String,
    /// The media type of the mode.
    pub(super) content_type: &'static str,
    /// The JSON.
    pub(super) body: Vec<u8>,
}

impl Message {
    /// One event; the message has its id.
    pub(super) fn structured(channel: &ChannelId, item: &DesiredState) -> Self {
        let event = CloudEvent::new(channel, item);
        let body = json(&event);
        Self { id: event.id, content_type: "application/cloudevents+json", body }
    }

    /// An array of events, named `<channel>:batch:<count>:<hash>`. The hash covers the ids of all events, whatever
    /// their order: the same events are the same message on every repeat, and other events are never taken for a
    /// repeat, even when the first and the count agree.
    pub(super) fn batched(channel: &ChannelId, items: &[DesiredState]) -> Self {
        let events: Vec<CloudEvent<'_>> = items.iter().map(|item| CloudEvent::new(channel, item)).collect();
        let mut ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
        ids.sort_unstable();
        let hash: String =
            Sha256::digest(ids.join("\n")).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let id = format!("{channel}:batch:{}:{hash}", items.len());
        Self { id, content_type: "application/cloudevents-batch+json", body: json(&events) }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers always make JSON")
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    source: &'static str,
    id: String,
    subject: &'a str,
    /// Optional in CloudEvents: a time no calendar knows must not keep the number from the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    datacontenttype: &'static str,
    data: StockChanged<'a>,
}

#[derive(Serialize)]
struct StockChanged<'a> {
    sku: &'a str,
    quantity: i64,
    paused: bool,
    version: i64,
    event_id: String,
}

impl<'a> CloudEvent<'a> {
    fn new(channel: &ChannelId, item: &'a DesiredState) -> Self {
        let sku = item.sku.as_str();
        Self {
            specversion: "1.0",
            kind: "stockgate.stock.changed.v1",
            source: "/stockgate",
            id: format!("{channel}:{}:{}:{}", escape(sku), item.version, item.unconfirmed_since_ms),
            subject: sku,
            time: Timestamp::from_millisecond(item.updated_ms).ok(),
            datacontenttype: "application/json",
            data: StockChanged {
                sku,
                quantity: item.published,
                paused: item.paused,
                version: item.version,
                event_id: item.event_id.to_string(),
            },
        }
    }
}

/// Percent-escapes all but letters, digits, `-` and `_`: two SKUs never share an id, and none brings a `.` or `:`.
fn escape(sku: &str) -> String {
    let mut escaped = String::with_capacity(sku.len());
    for byte in sku.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventId, Partition, Sku};

    fn state(sku: &str, version: i64) -> DesiredState {
        DesiredState {
            sku: Sku::parse(sku).expect("a legal SKU"),
            published: 12,
            paused: false,
            version,
            updated_ms: 1_700_000_000_123,
            unconfirmed_since_ms: 1_700_000_000_100,
            event_id: EventId {
                partition: Partition(0),
                entry_ms: 1_700_000_000_123,
                entry_seq: 0,
                index: 3,
            },
        }
    }

    fn web() -> ChannelId {
        ChannelId::parse("web").expect("a legal channel")
    }

    const EVENT: &str = concat!(
        r#"{"specversion":"1.0","type":"stockgate.stock.changed.v1","source":"/stockgate","id":"web:A%2E1:7:1700000000100","#,
        r#""subject":"A.1","time":"2023-11-14T22:13:20.123Z","datacontenttype":"application/json","#,
        r#""data":{"sku":"A.1","quantity":12,"paused":false,"version":7,"event_id":"0-1700000000123-0-3"}}"#
    );

    #[test]
    fn one_event_is_the_documented_json() {
        let message = Message::structured(&web(), &state("A.1", 7));
        assert_eq!(String::from_utf8(message.body).expect("JSON is text"), EVENT);
        assert_eq!(message.id, "web:A%2E1:7:1700000000100");
        assert_eq!(message.content_type, "application/cloudevents+json");
    }

    #[test]
    fn a_batch_is_an_array_named_after_all_of_its_events() {
        let [a, b, c] = [state("A.1", 7), state("B", 1), state("C", 1)];
        let batch = |items: &[DesiredState]| Message::batched(&web(), items);
        let one = batch(std::slice::from_ref(&a));
        assert_eq!(String::from_utf8(one.body).expect("JSON is text"), format!("[{EVENT}]"));
        assert_eq!(one.content_type, "application/cloudevents-batch+json");

        let id = batch(&[a.clone(), b.clone()]).id;
        assert!(id.starts_with("web:batch:2:") && !id.contains('.'), "{id}");
        assert_eq!(id, batch(&[b, a.clone()]).id, "the same events in another order");
        assert_ne!(id, batch(&[a.clone(), c]).id, "same first event and count");
        assert_ne!(id, batch(&[a, state("B", 2)]).id, "a newer version of the last");
    }

    #[test]
    fn ids_are_unambiguous_and_texts_are_escaped() {
        let check = |sku, id| assert_eq!(Message::structured(&web(), &state(sku, 1)).id, id);
        check("Az-_09", "web:Az-_09:1:1700000000100");
        check("a:1.%~", "web:a%3A1%2E%25%7E:1:1700000000100");
        let body = Message::structured(&web(), &state(r#"a"\"#, 1)).body;
        let event: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(event["data"]["sku"], r#"a"\"#);
    }

    #[test]
    fn a_paused_listing_is_told_as_such() {
        let body =
            Message::structured(&web(), &DesiredState { published: 0, paused: true, ..state("A", 1) }).body;
        let event: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((&event["data"]["quantity"], &event["data"]["paused"]), (&0.into(), &true.into()));
    }

    #[test]
    fn a_time_beyond_the_calendar_is_left_out() {
        let body = Message::structured(&web(), &DesiredState { updated_ms: i64::MAX, ..state("A", 1) }).body;
        let event: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(event.get("time"), None);
        assert_eq!(event["id"], "web:A:1:1700000000100");
    }
}
