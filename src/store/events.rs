//! The stream of events: how entries are read, page by page or as they come.
//!
//! An entry holds the mutations of one script run: field `t` is the time in ms, field `e` is lines. A line that begins with
//! `{` is a cause (for acts on holds: a second cause follows, of the hold's reserve); the lines under it are its mutations,
//! `<kind> <sku> <on hand delta> <held delta> <on hand> <held> <version>`.

use redis::{Value, streams::StreamRangeReply};
use serde::Deserialize;

use crate::domain::{ChannelId, Event, EventId, EventKind, Partition, Sku};

use super::{Store, StoreError};

/// A cause as the stream keeps it; what was empty is left out there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StoredCause {
    pub(super) key: String,
    client: String,
    pub(super) channel: String,
    pub(super) order_ref: String,
    reason: String,
    actor: String,
    hold: String,
}

/// The place of an entry in one partition's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EntryId {
    /// First half.
    pub ms: u64,
    /// Second half.
    pub seq: u64,
}

impl EntryId {
    /// Behind every entry.
    pub const END: Self = Self { ms: u64::MAX, seq: u64::MAX };

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (ms, seq) = text.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, seq: seq.parse().ok()? })
    }

    /// The next possible id; None at the end of time.
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// One entry of a stream.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place.
    pub id: EntryId,
    /// Its mutations in order; None when the entry does not parse.
    pub events: Option<Vec<Event>>,
}

/// Reads one entry; None when it is not what `transact` writes.
fn decode(partition: Partition, id: EntryId, at_ms: &str, text: &str) -> Option<Vec<Event>> {
    let at_ms = at_ms.parse().ok()?;
    let mut causes = None;
    let mut events = Vec::new();
    for line in text.split('\n') {
        if line.starts_with('{') {
            causes = Some(causes_of(line)?);
            continue;
        }
        let (own, of_hold) = causes.as_ref()?;
        let index = u32::try_from(events.len()).ok()?;
        let id = EventId { partition, entry_ms: id.ms, entry_seq: id.seq, index };
        events.push(mutation_of(line, id, at_ms, own, of_hold.as_ref())?);
    }
    Some(events)
}

fn causes_of(line: &str) -> Option<(StoredCause, Option<StoredCause>)> {
    let mut causes = serde_json::Deserializer::from_str(line).into_iter::<StoredCause>();
    Some((causes.next()?.ok()?, causes.next().transpose().ok()?))
}

fn mutation_of(
    line: &str,
    id: EventId,
    at_ms: i64,
    own: &StoredCause,
    of_hold: Option<&StoredCause>,
) -> Option<Event> {
    let mut words = line.split(' ');
    let kind = EventKind::from_letter(words.next()?.parse().ok()?)?;
    let sku = Sku::parse(words.next()?).ok()?;
    let mut number = || words.next()?.parse().ok();
    let (on_hand_delta, held_delta, on_hand, held, version) =
        (number()?, number()?, number()?, number()?, number()?);
    let first_of = |own: &str, of_hold: Option<&String>| {
        if own.is_empty() { of_hold.cloned().unwrap_or_default() } else { own.to_owned() }
    };
    let channel = first_of(&own.channel, of_hold.map(|cause| &cause.channel));
    Some(Event {
        id,
        kind,
        sku,
        on_hand_delta,
        held_delta,
        on_hand,
        held,
        version,
        at_ms,
        channel: ChannelId::parse(&channel).ok(),
        key: own.key.clone(),
        hold: own.hold.parse().ok(),
        order_ref: first_of(&own.order_ref, of_hold.map(|cause| &cause.order_ref)),
        reason: own.reason.clone(),
        actor: own.actor.clone(),
        client: if own.client.is_empty() { "-".to_owned() } else { own.client.clone() },
    })
}

/// Turns a range reply into entries, in its order.
fn entries(partition: Partition, reply: StreamRangeReply) -> Result<Vec<Entry>, StoreError> {
    reply.ids.into_iter().map(|stored| entry(partition, &stored)).collect()
}

fn entry(partition: Partition, stored: &redis::streams::StreamId) -> Result<Entry, StoreError> {
    let id = EntryId::parse(&stored.id).ok_or_else(|| StoreError::Corrupt {
        script: "stream",
        detail: format!("entry id {:?} of partition {partition}", stored.id),
    })?;
    let text = |field: &str| match stored.map.get(field) {
        Some(Value::BulkString(bytes)) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    let events = text("t").zip(text("e")).and_then(|(at_ms, text)| decode(partition, id, at_ms, text));
    Ok(Entry { id, events })
}

impl Store {
    /// Up to `count` entries of a partition from `from` to `to`, both included; backwards when asked.
    pub async fn entries(
        &self,
        partition: Partition,
        from: EntryId,
        to: EntryId,
        count: usize,
        backwards: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        let key = self.inner.keys.events(partition);
        let mut command = redis::cmd(if backwards { "XREVRANGE" } else { "XRANGE" });
        let (first, last) = if backwards { (to, from) } else { (from, to) };
        command.arg(&key).arg(first.to_string()).arg(last.to_string()).arg("COUNT").arg(count);
        entries(partition, self.query_at(&key, &command).await?)
    }

    /// The place of the newest entry of a partition; the beginning when there is none.
    pub async fn last_entry(&self, partition: Partition) -> Result<EntryId, StoreError> {
        let newest = self.entries(partition, EntryId::default(), EntryId::END, 1, true).await?;
        Ok(newest.first().map(|entry| entry.id).unwrap_or_default())
    }

    /// One event by its id; None when there is none such.
    pub async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        if id.partition.0 >= self.partitions().count() {
            return Ok(None);
        }
        let at = EntryId { ms: id.entry_ms, seq: id.entry_seq };
        let found = self.entries(id.partition, at, at, 1, false).await?;
        let index = usize::try_from(id.index).unwrap_or(usize::MAX);
        Ok(found.into_iter().next().and_then(|entry| entry.events?.into_iter().nth(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_causes_and_mutations() {
        let text = "{\"key\":\"k1\",\"channel\":\"web\"}\nd A -1 0 4 0 2\nd B -2 0 1 0 9\n\
                    {\"key\":\"k2\",\"hold\":\"h-0-1-00000000000000000000000000000000-A\"} {\"key\":\"k0\",\"order_ref\":\"o 7\"}\nc A -1 -1 3 0 4";
        let events = decode(Partition(0), EntryId { ms: 5, seq: 1 }, "99", text).expect("parses");
        assert_eq!(events.len(), 3);
        assert_eq!(events[1].id.to_string(), "0-5-1-1");
        assert_eq!((events[1].on_hand_delta, events[1].on_hand, events[1].version), (-2, 1, 9));
        assert_eq!(events[2].order_ref, "o 7");
        assert_eq!((events[2].key.as_str(), events[2].client.as_str()), ("k2", "-"));
        assert!(events[2].hold.is_some());
        for bad in ["d A -1 0 4 0 2", "{}\nq A 0 0 0 0 0", "{}\nd A 1", "{\nd A 0 0 0 0 0"] {
            assert!(decode(Partition(0), EntryId::default(), "99", bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn places_have_a_next() {
        let id = EntryId { ms: 5, seq: u64::MAX };
        assert_eq!(id.next(), Some(EntryId { ms: 6, seq: 0 }));
        assert_eq!(EntryId::END.next(), None);
    }
}
