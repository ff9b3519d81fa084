//! Reading entries for channels: only what a due set must know of a mutation, since every one passes here. Who asked and why
//! is left unread, but for the source of a sale.

use redis::Value;
use serde::Deserialize;

use crate::domain::{ChannelId, EventKind, Sku};

use super::{EntryId, StoreError, scripts};

/// What one mutation means to channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: EventKind,
    /// The SKU.
    pub sku: Sku,
    /// Change of available.
    pub available_delta: i64,
    /// Available right after.
    pub available: i64,
    /// Held right after.
    pub held: i64,
    /// Version right after.
    pub version: i64,
    /// When, in ms of the Redis clock.
    pub at_ms: i64,
    /// The channel that asked for it.
    pub source: Option<ChannelId>,
}

/// One entry as a consumer of the stream gets it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its place.
    pub id: EntryId,
    /// Its mutations in order; None when the entry does not parse.
    pub changes: Option<Vec<Change>>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(default, borrow)]
    channel: std::borrow::Cow<'a, str>,
}

/// Reads the mutations of an entry; None when it is not what `transact` writes.
fn read(at_ms: &str, text: &str) -> Option<Vec<Change>> {
    let at_ms = at_ms.parse().ok()?;
    let mut cause: Option<&str> = None;
    let mut source: Option<Option<ChannelId>> = None;
    let mut changes = Vec::new();
    for line in text.split('\n') {
        if line.starts_with('{') {
            (cause, source) = (Some(line), None);
            continue;
        }
        let cause = cause?;
        let mut words = line.split(' ');
        let kind = EventKind::from_letter(words.next()?.parse().ok()?)?;
        let sku = Sku::parse(words.next()?).ok()?;
        let mut number = || words.next()?.parse::<i64>().ok();
        let (on_hand_delta, held_delta) = (number()?, number()?);
        let (on_hand, held, version) = (number()?, number()?, number()?);
        let source = source.get_or_insert_with(|| source_of(cause)).clone();
        changes.push(Change {
            kind,
            sku,
            available_delta: on_hand_delta - held_delta,
            available: on_hand - held,
            held,
            version,
            at_ms,
            source,
        });
    }
    Some(changes)
}

fn source_of(cause: &str) -> Option<ChannelId> {
    // Most sales name no channel: a look for the word spares them the parser.
    if !cause.contains("\"channel\"") {
        return None;
    }
    // An act on a hold names no channel; the reserve's cause, which follows its own, does.
    let causes = serde_json::Deserializer::from_str(cause).into_iter::<Source<'_>>();
    causes.map_while(Result::ok).find_map(|cause| ChannelId::parse(&cause.channel).ok())
}

/// The entries of an XREAD or XREADGROUP reply, by key of their stream; none when it ran out of time.
pub(super) fn streams(reply: Value) -> Result<Vec<(String, Vec<Delivery>)>, StoreError> {
    let sketch = || corrupt("another shape");
    match reply {
        Value::Nil => Ok(Vec::new()),
        Value::Array(streams) => streams
            .into_iter()
            .map(|stream| match stream {
                Value::Array(pair) => {
                    let [key, entries] = <[Value; 2]>::try_from(pair).map_err(|_| sketch())?;
                    Ok((text(key).ok_or_else(sketch)?, deliveries(entries)?))
                }
                other => Err(corrupt(&scripts::sketch(&other))),
            })
            .collect(),
        other => Err(corrupt(&scripts::sketch(&other))),
    }
}

/// A list of entries.
pub(super) fn deliveries(entries: Value) -> Result<Vec<Delivery>, StoreError> {
    let Value::Array(entries) = entries else { return Err(corrupt(&scripts::sketch(&entries))) };
    entries
        .into_iter()
        .map(|entry| delivery(entry).ok_or_else(|| corrupt("an entry of another shape")))
        .collect()
}

fn delivery(entry: Value) -> Option<Delivery> {
    let Value::Array(pair) = entry else { return None };
    let [id, fields] = <[Value; 2]>::try_from(pair).ok()?;
    let id = EntryId::parse(&text(id)?)?;
    let Value::Array(fields) = fields else { return Some(Delivery { id, changes: None }) };
    let changes = match &fields[..] {
        [Value::BulkString(t), Value::BulkString(at_ms), Value::BulkString(e), Value::BulkString(entry)]
            if t == b"t" && e == b"e" =>
        {
            std::str::from_utf8(at_ms)
                .ok()
                .zip(std::str::from_utf8(entry).ok())
                .and_then(|(at, text)| read(at, text))
        }
        _ => None,
    };
    Some(Delivery { id, changes })
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn corrupt(detail: &str) -> StoreError {
    StoreError::Corrupt { script: "stream", detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_channels_need() {
        let text = "{\"key\":\"k1\",\"channel\":\"web\"}\nd A -1 0 4 0 2\ni B 2 0 1 0 9\n{\"key\":\"k2\"} {\"key\":\"k0\",\"channel\":\"web\"}\nc A -1 -1 3 0 3";
        let changes = read("99", text).expect("parses");
        let told: Vec<_> = changes
            .iter()
            .map(|change| {
                (change.sku.as_str(), change.available_delta, change.version, change.source.is_some())
            })
            .collect();
        assert_eq!(
            told,
            [("A", -1, 2, true), ("B", 2, 9, true), ("A", 0, 3, true)],
            "a hold's end is of its channel"
        );
        for bad in ["d A -1 0 4 0 2", "{}\nq A 0 0 0 0 0", "{}\nd A 1"] {
            assert!(read("99", bad).is_none(), "{bad}");
        }
    }
}
