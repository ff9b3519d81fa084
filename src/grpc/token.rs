//! Opaque tokens: where a page or a stream goes on. A letter says what the token is for; callers only hand it back.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    domain::{ChannelId, EventId, Partition},
    store::{DeadPosition, DeliveriesPosition, EntryId, WalkPosition},
};

use super::convert::Problem;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// ListEvents, oldest first.
    OldestFirst,
    /// ListEvents, newest first.
    NewestFirst,
    /// WatchStock.
    Watch,
    /// ListStock.
    Walk,
    /// ListDeadLetters.
    DeadLetters,
    /// ReplayDeadLetters and DiscardDeadLetters.
    Remedy,
    /// ListCarriers.
    Carriers,
    /// ListCarrierEvents.
    CarrierEvents,
}

impl Purpose {
    fn letter(self) -> char {
        match self {
            Self::OldestFirst => 'o',
            Self::NewestFirst => 'n',
            Self::Watch => 'w',
            Self::Walk => 's',
            Self::DeadLetters => 'd',
            Self::Remedy => 'r',
            Self::Carriers => 'c',
            Self::CarrierEvents => 'e',
        }
    }
}

fn seal(purpose: Purpose, text: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}{text}", purpose.letter()))
}

fn open(field: &'static str, purpose: Purpose, token: &str) -> Result<String, Problem> {
    let bad = || {
        let description =
            "is no token of this call: hand back one from its last response unchanged, or none to start over";
        Problem::invalid(field, description)
    };
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    text.strip_prefix(purpose.letter()).map(str::to_owned).ok_or_else(bad)
}

/// The token of places in the event streams.
pub(super) fn seal_events(purpose: Purpose, places: &[EventId]) -> String {
    let texts: Vec<String> = places.iter().map(EventId::to_string).collect();
    seal(purpose, &texts.join(","))
}

/// The places in the event streams; none at the start.
pub(super) fn open_events(
    field: &'static str,
    purpose: Purpose,
    token: &str,
) -> Result<Vec<EventId>, Problem> {
    if token.is_empty() {
        return Ok(Vec::new());
    }
    let text = open(field, purpose, token)?;
    let places = text.split(',').filter(|place| !place.is_empty()).map(str::parse);
    places.collect::<Result<_, _>>().map_err(|problem| Problem::invalid(field, problem))
}

/// The token of a place in the walk through all SKUs.
pub(super) fn seal_walk(position: WalkPosition) -> String {
    let WalkPosition { partition, cursor, after } = position;
    seal(Purpose::Walk, &format!("{partition},{cursor},{after}"))
}

/// The place in the walk through all SKUs; the beginning when there is no token.
pub(super) fn open_walk(field: &'static str, token: &str) -> Result<WalkPosition, Problem> {
    if token.is_empty() {
        return Ok(WalkPosition::default());
    }
    let text = open(field, Purpose::Walk, token)?;
    let parts: Vec<&str> = text.splitn(3, ',').collect();
    let position = match parts[..] {
        [partition, cursor, after] => (|| {
            Some(WalkPosition {
                partition: partition.parse().ok()?,
                cursor: cursor.parse().ok()?,
                after: after.to_owned(),
            })
        })(),
        _ => None,
    };
    position.ok_or_else(|| Problem::invalid(field, "is no token of this call: start over without one"))
}

/// A place among dead letters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DeadToken {
    /// None at the beginning.
    pub(super) position: Option<DeadPosition>,
    /// Only what died before this ms of the Redis clock.
    pub(super) until_ms: Option<i64>,
}

/// The token of a place among dead letters.
pub(super) fn seal_dead(purpose: Purpose, position: &DeadPosition, until_ms: Option<i64>) -> String {
    let DeadPosition { channel, partition, passed } = position;
    let until = until_ms.map_or_else(String::new, |ms| ms.to_string());
    let (dead_ms, sku) = match passed {
        Some((dead_ms, sku)) => (dead_ms.to_string(), sku.as_str()),
        None => Default::default(),
    };
    seal(purpose, &format!("{until},{channel},{partition},{dead_ms},{sku}"))
}

/// The place among dead letters; the beginning when there is no token.
pub(super) fn open_dead(field: &'static str, purpose: Purpose, token: &str) -> Result<DeadToken, Problem> {
    if token.is_empty() {
        return Ok(DeadToken::default());
    }
    let text = open(field, purpose, token)?;
    let parts: Vec<&str> = text.splitn(5, ',').collect();
    let read = match parts[..] {
        [until, channel, partition, dead_ms, sku] => (|| {
            let passed = match dead_ms {
                "" => None,
                dead_ms => Some((dead_ms.parse().ok()?, sku.to_owned())),
            };
            let channel = ChannelId::parse(channel).ok()?;
            let position = DeadPosition { channel, partition: Partition(partition.parse().ok()?), passed };
            let until_ms = if until.is_empty() { None } else { Some(until.parse().ok()?) };
            Some(DeadToken { position: Some(position), until_ms })
        })(),
        _ => None,
    };
    read.ok_or_else(|| Problem::invalid(field, "is no token of this call: start over without one"))
}

/// The token of a place among what was measured of carriers.
pub(super) fn seal_carriers(position: &DeliveriesPosition) -> String {
    seal(Purpose::Carriers, position.as_str())
}

/// The place among what was measured of carriers; None at the beginning.
pub(super) fn open_carriers(field: &'static str, token: &str) -> Result<Option<DeliveriesPosition>, Problem> {
    if token.is_empty() {
        return Ok(None);
    }
    open(field, Purpose::Carriers, token).map(|name| Some(DeliveriesPosition::after(name)))
}

/// The token of a place in the audit trail of carriers.
pub(super) fn seal_carrier_events(before: EntryId) -> String {
    seal(Purpose::CarrierEvents, &before.to_string())
}

/// The place in the audit trail of carriers; None at the newest.
pub(super) fn open_carrier_events(field: &'static str, token: &str) -> Result<Option<EntryId>, Problem> {
    if token.is_empty() {
        return Ok(None);
    }
    let text = open(field, Purpose::CarrierEvents, token)?;
    let entry = text
        .split_once('-')
        .and_then(|(ms, seq)| Some(EntryId { ms: ms.parse().ok()?, seq: seq.parse().ok()? }));
    let bad = || Problem::invalid(field, "is no token of this call: start over without one");
    entry.map(Some).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_and_only_for_their_purpose() {
        let place: EventId = "0-5-1-2".parse().expect("an id");
        let token = seal_events(Purpose::Watch, &[place]);
        assert_eq!(open_events("t", Purpose::Watch, &token).expect("opens"), [place]);
        assert!(open_events("t", Purpose::OldestFirst, &token).is_err());
        assert!(open_events("t", Purpose::Watch, "nonsense!").is_err());
        let position = WalkPosition { partition: 3, cursor: 99, after: "A,1".to_owned() };
        assert_eq!(open_walk("t", &seal_walk(position.clone())).expect("opens"), position);
        assert_eq!(open_walk("t", "").expect("opens"), WalkPosition::default());
    }

    #[test]
    fn places_among_dead_letters_read_back() {
        let channel = ChannelId::parse("web").expect("legal");
        let begun = DeadPosition { channel, partition: Partition(3), passed: None };
        let amid = DeadPosition { passed: Some((99, "A,1".to_owned())), ..begun.clone() };
        for (position, until_ms) in [(&begun, None), (&amid, Some(100))] {
            let token = seal_dead(Purpose::Remedy, position, until_ms);
            let opened = open_dead("t", Purpose::Remedy, &token).expect("opens");
            assert_eq!((opened.position.as_ref(), opened.until_ms), (Some(position), until_ms));
            assert!(open_dead("t", Purpose::DeadLetters, &token).is_err());
        }
        assert_eq!(open_dead("t", Purpose::Remedy, "").expect("opens"), DeadToken::default());
    }

    #[test]
    fn places_among_carriers_read_back() {
        let position = DeliveriesPosition::after("dhl parcel DE:US");
        let token = seal_carriers(&position);
        assert_eq!(open_carriers("t", &token).expect("opens"), Some(position));
        assert!(open_carrier_events("t", &token).is_err());
        let entry = EntryId { ms: 5, seq: 7 };
        assert_eq!(open_carrier_events("t", &seal_carrier_events(entry)).expect("opens"), Some(entry));
        assert_eq!(open_carrier_events("t", "").expect("opens"), None);
        assert!(open_carrier_events("t", &seal(Purpose::CarrierEvents, "5")).is_err());
    }
}
