//! The audit trail of carriers: which one was chosen and why, and what was recorded. One stream, its oldest entries go.

use redis::{
    Value,
    streams::{StreamId, StreamRangeReply},
};

use crate::domain::{ClientId, Text};

use super::super::{EntryId, Store, StoreError};

/// A page ends with the entry that makes it so large: far below what a message may have.
const PAGE_BYTES: usize = 1_000_000;
/// Entries read by one command while those of one order are looked for.
const READ_ENTRIES: usize = 250;
/// Reads one page costs at most: an order's page may come back short, with a place to go on.
const READS_MAX: usize = 20;

/// What an entry of the audit trail tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarrierEventKind {
    /// A carrier was chosen, or none.
    Selection,
    /// A delivery was recorded.
    Delivery,
}

impl CarrierEventKind {
    /// Its word: `selection` or `delivery`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Selection => "selection",
            Self::Delivery => "delivery",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Selection, Self::Delivery].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// An entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarrierEntry {
    /// What it tells.
    pub kind: CarrierEventKind,
    /// Who asked.
    pub client: ClientId,
    /// The order.
    pub order_ref: Text<256>,
    /// Who asked, as he says.
    pub actor: Text<128>,
    /// The rest: bytes of the caller's own.
    pub payload: Vec<u8>,
}

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCarrierEvent {
    /// Its place; its first half is when it was made, in ms of the Redis clock.
    pub id: EntryId,
    /// What it tells.
    pub entry: CarrierEntry,
}

/// A page of the audit trail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CarrierEventPage {
    /// The newest first.
    pub events: Vec<KeptCarrierEvent>,
    /// Where to go on: before this entry; None at the end.
    pub next: Option<EntryId>,
}

impl Store {
    /// Appends an entry with which nothing else changes: a selection. Only `entries_max` (1 and up) or a few more are kept.
    pub async fn append_carrier_event(
        &self,
        entry: &CarrierEntry,
        entries_max: u64,
    ) -> Result<EntryId, StoreError> {
        let key = self.inner.keys.carriers().events;
        let mut command = redis::cmd("XADD");
        command.arg(&key).arg("MAXLEN").arg("~").arg(entries_max.max(1)).arg("*");
        command.arg("kind").arg(entry.kind.as_str()).arg("client").arg(entry.client.as_str());
        command.arg("order").arg(entry.order_ref.as_str()).arg("actor").arg(entry.actor.as_str());
        command.arg("payload").arg(&entry.payload[..]);
        let id: String = self.query_at(&key, &command).await?;
        EntryId::parse(&id).ok_or_else(|| corrupt("XADD", &id))
    }

    /// Reads at most `count` (1 and up) entries, of one order or of all, before a place, the newest first; fewer when they are large.
    pub async fn carrier_events(
        &self,
        order_ref: Option<&str>,
        before: Option<EntryId>,
        count: usize,
    ) -> Result<CarrierEventPage, StoreError> {
        let count = count.max(1);
        let mut page = CarrierEventPage { events: Vec::new(), next: before };
        let mut bytes = 0;
        for _ in 0..READS_MAX {
            // Of all orders, what is read is what is wanted.
            let wanted = order_ref.map_or(count - page.events.len(), |_| READ_ENTRIES);
            let read_max = wanted.min(READ_ENTRIES);
            let read = self.carrier_entries(page.next, read_max).await?;
            let is_last = read.len() < read_max;
            for (id, entry) in read {
                page.next = Some(id);
                let Some(entry) = entry else {
                    // One bad entry must not hide all others.
                    tracing::error!(entry = %id, "an entry of the audit trail of carriers does not parse");
                    continue;
                };
                if order_ref.is_none_or(|order_ref| order_ref == entry.order_ref.as_str()) {
                    bytes += entry.payload.len();
                    page.events.push(KeptCarrierEvent { id, entry });
                }
                if page.events.len() == count || bytes >= PAGE_BYTES {
                    return Ok(page);
                }
            }
            if is_last {
                page.next = None;
                return Ok(page);
            }
        }
        Ok(page)
    }

    /// Up to `count` entries before a place, the newest first; None for one that does not parse.
    async fn carrier_entries(
        &self,
        before: Option<EntryId>,
        count: usize,
    ) -> Result<Vec<(EntryId, Option<CarrierEntry>)>, StoreError> {
        let key = self.inner.keys.carriers().events;
        let last = before.map_or_else(|| "+".to_owned(), |before| format!("({before}"));
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&key).arg(last).arg("-").arg("COUNT").arg(count);
        let reply: StreamRangeReply = self.query_at(&key, &command).await?;
        let read = reply.ids.iter().map(|stored| {
            let id = EntryId::parse(&stored.id).ok_or_else(|| corrupt("XREVRANGE", &stored.id))?;
            Ok((id, entry(stored)))
        });
        read.collect()
    }
}

fn entry(stored: &StreamId) -> Option<CarrierEntry> {
    let bytes = |field: &str| match stored.map.get(field) {
        Some(Value::BulkString(bytes)) => Some(bytes.clone()),
        _ => None,
    };
    let text = |field: &str| String::from_utf8(bytes(field)?).ok();
    Some(CarrierEntry {
        kind: CarrierEventKind::parse(&text("kind")?)?,
        client: ClientId::parse(&text("client")?).ok()?,
        order_ref: Text::parse(text("order")?).ok()?,
        actor: Text::parse(text("actor")?).ok()?,
        payload: bytes("payload")?,
    })
}

fn corrupt(command: &'static str, id: &str) -> StoreError {
    StoreError::Corrupt { script: command, detail: format!("entry id {id:?} of the audit trail of carriers") }
}
