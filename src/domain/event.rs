//! Events: the record of one mutation, written by the script that made it.

use std::{fmt, str::FromStr};

use super::{ChannelId, ClientId, HoldId, IdempotencyKey, Partition, Sku, Text};

/// Names one event: partition, stream entry and index inside it. Ordered within a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    /// The partition of the SKU.
    pub partition: Partition,
    /// First half of the stream entry's id.
    pub entry_ms: u64,
    /// Second half of the stream entry's id.
    pub entry_seq: u64,
    /// Which mutation of the entry, from 0.
    pub index: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every answer has one: without the padding and the signs that fmt looks after.
        let mut digits = itoa::Buffer::new();
        f.write_str(digits.format(self.partition.0))?;
        for number in [self.entry_ms, self.entry_seq, self.index.into()] {
            f.write_str("-")?;
            f.write_str(digits.format(number))?;
        }
        Ok(())
    }
}

/// The text is no event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no event id: expected <partition>-<ms>-<sequence>-<index> as ListEvents shows it")]
pub struct EventIdProblem;

impl FromStr for EventId {
    type Err = EventIdProblem;

    fn from_str(text: &str) -> Result<Self, EventIdProblem> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(EventIdProblem);
        let id = Self {
            partition: Partition(next()?.parse().map_err(|_| EventIdProblem)?),
            entry_ms: next()?.parse().map_err(|_| EventIdProblem)?,
            entry_seq: next()?.parse().map_err(|_| EventIdProblem)?,
            index: next()?.parse().map_err(|_| EventIdProblem)?,
        };
        if parts.next().is_some() { Err(EventIdProblem) } else { Ok(id) }
    }
}

/// What an event did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Sold at once.
    Decremented,
    /// Promised to a hold.
    Reserved,
    /// A hold's units were sold.
    Committed,
    /// A hold's units went back.
    Released,
    /// A hold's time was over and its units went back.
    Expired,
    /// A hold got another deadline; zero deltas, no new version.
    Extended,
    /// Units came back or came in.
    Restocked,
    /// The count was corrected by a delta.
    Adjusted,
    /// The count was set.
    Set,
    /// A sale that named its channel was refused; zero deltas, no new version.
    Refused,
    /// A broken counter was rebuilt from holds and events.
    Repaired,
    /// A dead letter was made due again; zero deltas, no new version.
    Replayed,
    /// A dead letter was dropped; zero deltas, no new version.
    Discarded,
}

impl EventKind {
    /// Every kind with the letter that stands for it in the stream (`lua/README.md`).
    pub const LETTERS: [(Self, char); 13] = [
        (Self::Decremented, 'd'),
        (Self::Reserved, 'r'),
        (Self::Committed, 'c'),
        (Self::Released, 'l'),
        (Self::Expired, 'x'),
        (Self::Extended, 'e'),
        (Self::Restocked, 'i'),
        (Self::Adjusted, 'a'),
        (Self::Set, 's'),
        (Self::Refused, 'f'),
        (Self::Repaired, 'p'),
        (Self::Replayed, 'y'),
        (Self::Discarded, 'z'),
    ];

    /// The kind a letter stands for.
    pub fn from_letter(letter: char) -> Option<Self> {
        Self::LETTERS.iter().find(|(_, known)| *known == letter).map(|(kind, _)| *kind)
    }

    /// A sale the source channel already knows of: it lowered its own number when it sold.
    pub fn is_known_to_source(self) -> bool {
        matches!(self, Self::Decremented | Self::Reserved)
    }

    /// Whether a channel may have to show another number after it.
    pub fn concerns_channels(self) -> bool {
        !matches!(self, Self::Extended | Self::Replayed | Self::Discarded)
    }

    /// Whether its SKU has a new version after it; the others tell of a SKU that stays as it is.
    pub fn makes_version(self) -> bool {
        self.concerns_channels() && self != Self::Refused
    }

    /// In lower case, as logs and tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decremented => "decremented",
            Self::Reserved => "reserved",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Extended => "extended",
            Self::Restocked => "restocked",
            Self::Adjusted => "adjusted",
            Self::Set => "set",
            Self::Refused => "refused",
            Self::Repaired => "repaired",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

/// Who asked for a mutation, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Who the token says the caller is.
    pub client: ClientId,
    /// The request's key.
    pub key: IdempotencyKey,
    /// The source channel.
    pub channel: Option<ChannelId>,
    /// The order.
    pub order_ref: Text<256>,
    /// Why.
    pub reason: Text<256>,
    /// Who.
    pub actor: Text<128>,
}

/// One mutation, as the stream keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// The SKU.
    pub sku: Sku,
    /// Change of on hand.
    pub on_hand_delta: i64,
    /// Change of held.
    pub held_delta: i64,
    /// On hand right after.
    pub on_hand: i64,
    /// Held right after.
    pub held: i64,
    /// Version right after.
    pub version: i64,
    /// When, in ms of the Redis clock.
    pub at_ms: i64,
    /// The source channel.
    pub channel: Option<ChannelId>,
    /// The key of the request that did it; of an expiry: of the request that made the hold.
    pub key: String,
    /// The hold it belongs to.
    pub hold: Option<HoldId>,
    /// The order.
    pub order_ref: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// Who the token said.
    pub client: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_id_reads_back() {
        let id = EventId { partition: Partition(7), entry_ms: 1_763_700_000_000, entry_seq: 2, index: 5 };
        assert_eq!(id.to_string(), "7-1763700000000-2-5");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "7", "7-1-2", "7-1-2-3-4", "x-1-2-3", "-1-2-3"] {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_letter_is_its_own() {
        for (kind, letter) in EventKind::LETTERS {
            assert_eq!(EventKind::from_letter(letter), Some(kind));
        }
    }

    #[test]
    fn what_operators_do_to_letters_is_no_news_to_channels() {
        use EventKind::{Discarded, Extended, Refused, Replayed};
        for (kind, _) in EventKind::LETTERS {
            let is_quiet = [Extended, Replayed, Discarded].contains(&kind);
            assert_eq!(kind.concerns_channels(), !is_quiet, "{kind:?}");
            assert_eq!(kind.makes_version(), !is_quiet && kind != Refused, "{kind:?}");
        }
    }
}
