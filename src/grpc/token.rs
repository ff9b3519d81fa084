//! Opaque tokens: where a page or a stream goes on. A letter says what the token is for; callers only hand it back.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{domain::EventId, store::WalkPosition};

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
}

impl Purpose {
    fn letter(self) -> char {
        match self {
            Self::OldestFirst => 'o',
            Self::NewestFirst => 'n',
            Self::Watch => 'w',
            Self::Walk => 's',
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
    let WalkPosition { partition, cursor, given } = position;
    seal(Purpose::Walk, &format!("{partition},{cursor},{given}"))
}

/// The place in the walk through all SKUs; the beginning when there is no token.
pub(super) fn open_walk(field: &'static str, token: &str) -> Result<WalkPosition, Problem> {
    if token.is_empty() {
        return Ok(WalkPosition::default());
    }
    let text = open(field, Purpose::Walk, token)?;
    let parts: Vec<&str> = text.split(',').collect();
    let position = match parts[..] {
        [partition, cursor, given] => (|| {
            Some(WalkPosition {
                partition: partition.parse().ok()?,
                cursor: cursor.parse().ok()?,
                given: given.parse().ok()?,
            })
        })(),
        _ => None,
    };
    position.ok_or_else(|| Problem::invalid(field, "is no token of this call: start over without one"))
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
        let position = WalkPosition { partition: 3, cursor: 99, given: 7 };
        assert_eq!(open_walk("t", &seal_walk(position)).expect("opens"), position);
        assert_eq!(open_walk("t", "").expect("opens"), WalkPosition::default());
    }
}
