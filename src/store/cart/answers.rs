//! What the steps of a cart are answered: words of `lua/transact.lua` into values.

use std::collections::HashMap;

use crate::{
    domain::{Hold, HoldId, HoldLine, HoldState, LineResult, Partition, Partitions, Rpc, Sku},
    store::{
        StoreError,
        decode::{self, Words, change},
    },
};

use super::child::ChildId;

/// What home told of a hold.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) hold: HoldId,
    pub(super) attempt: i64,
    pub(super) revision: i64,
    pub(super) state: HoldState,
    pub(super) deadline_ms: i64,
    pub(super) lines: Vec<ToldLine>,
}

/// What one line must come to, in its partition.
#[derive(Debug, Clone)]
pub(super) struct ToldLine {
    pub(super) partition: Partition,
    pub(super) sku: Sku,
    pub(super) reserved: i64,
    /// Units promised; of an expired hold none are: see `back`.
    pub(super) held: i64,
    pub(super) committed: i64,
    /// Units that went back when the hold expired.
    pub(super) back: i64,
}

impl Told {
    pub(super) fn of(hold: Hold, attempt: i64, revision: i64, partitions: Partitions) -> Self {
        let has_expired = hold.state == HoldState::Expired;
        let line = |HoldLine { sku, reserved, held, committed }| {
            let (held, back) = if has_expired { (0, held) } else { (held, 0) };
            ToldLine { partition: partitions.of(&sku), sku, reserved, held, committed, back }
        };
        let lines = hold.lines.into_iter().map(line).collect();
        Self { hold: hold.id, attempt, revision, state: hold.state, deadline_ms: hold.deadline_ms, lines }
    }

    /// A told hold whose mark is `<attempt>.<revision>`; None of a hold that is no cart.
    fn read(words: &mut Words<'_>, partitions: Partitions) -> Result<Option<Self>, StoreError> {
        let (hold, Some(mark)) = decode::told_hold(words)? else { return Ok(None) };
        let numbers = mark.split_once('.').and_then(|(attempt, revision)| {
            Some((attempt.parse::<i64>().ok()?, revision.parse::<i64>().ok()?))
        });
        let (attempt, revision) = numbers.ok_or_else(|| words.corrupt("mark"))?;
        Ok(Some(Self::of(hold, attempt, revision, partitions)))
    }

    /// The name of its part in every other partition.
    pub(super) fn child(&self) -> ChildId {
        ChildId { attempt: self.attempt, hold: self.hold.clone() }
    }

    /// The partitions of its lines that are not its home.
    pub(super) fn away(&self) -> Vec<Partition> {
        let mut away: Vec<_> = self.lines.iter().map(|line| line.partition).collect();
        away.retain(|partition| *partition != self.hold.home());
        away.sort_unstable();
        away.dedup();
        away
    }
}

/// What home told with an answer that was carried out; None of a refusal, and of a request that is no cart. `text`: the answer as
/// its record keeps it.
pub(super) fn told_with(text: &str, rpc: Rpc, partitions: Partitions) -> Result<Option<Told>, StoreError> {
    let mut words = Words::new(text);
    if words.word("word")? != "ok" {
        return Ok(None);
    }
    decode::changes(&mut words, rpc)?;
    told_behind(&mut words, rpc, partitions)
}

/// What home told behind the changes of an answer.
pub(super) fn told_behind(
    words: &mut Words<'_>,
    rpc: Rpc,
    partitions: Partitions,
) -> Result<Option<Told>, StoreError> {
    match rpc {
        Rpc::Commit | Rpc::Release | Rpc::ExtendHold | Rpc::Decrement | Rpc::Restock if !words.is_over() => {
            Told::read(words, partitions)
        }
        _ => Ok(None),
    }
}

/// What home says to a peek.
pub(super) enum Peeked {
    /// The key was used, or burnt.
    Answered(String),
    /// Nothing stands against it.
    Clear { attempt: i64 },
    /// Something does.
    Objects(String),
}

pub(super) fn peeked(text: String) -> Result<Peeked, StoreError> {
    let mut words = Words::new(&text);
    Ok(match words.word("word")? {
        "clear" => Peeked::Clear { attempt: words.parse("attempt")? },
        "objects" => {
            words.word("attempt")?;
            Peeked::Objects(words.rest().to_owned())
        }
        _ => Peeked::Answered(text),
    })
}

/// What a partition says to preparing its part.
pub(super) enum Prepared {
    /// What it told of each line, in order: `<on hand> <held> <version> <event>`; nothing of units that come in.
    Done(Vec<String>),
    Refused(String),
    /// Another request with this key has prepared it.
    Contested,
}

pub(super) fn prepared(text: String) -> Result<Prepared, StoreError> {
    let mut words = Words::new(text.strip_prefix("replayed ").unwrap_or(&text));
    Ok(match words.word("word")? {
        "ok" => Prepared::Done(words.list(|words| {
            let [on_hand, held, version, event] =
                [words.word("on hand")?, words.word("held")?, words.word("version")?, words.word("event")?];
            Ok(format!("{on_hand} {held} {version} {event}"))
        })?),
        "conflict" | "burnt" => Prepared::Contested,
        "insufficient" | "unknown_sku" | "version" | "overflow" => Prepared::Refused(text),
        "broken" => return Err(StoreError::Broken { what: words.rest().to_owned() }),
        _ => return Err(words.corrupt("answer to prepare")),
    })
}

/// What home says of an attempt.
pub(super) enum Asked {
    Decided(Told),
    GivenUp,
}

pub(super) fn asked(text: &str, partitions: Partitions) -> Result<Asked, StoreError> {
    let mut words = Words::new(text);
    match words.word("word")? {
        "lapsed" => Ok(Asked::GivenUp),
        "is" => match Told::read(&mut words, partitions)? {
            Some(told) => Ok(Asked::Decided(told)),
            None => Err(words.corrupt("mark")),
        },
        "broken" => Err(StoreError::Broken { what: words.rest().to_owned() }),
        _ => Err(words.corrupt("answer to ask")),
    }
}

/// What a child came to.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    /// Its lines: level and event; none when there is no such child.
    pub(super) lines: HashMap<Sku, LineResult>,
    pub(super) has_ended: bool,
}

pub(super) fn aligned(text: &str) -> Result<Aligned, StoreError> {
    let mut words = Words::new(text.strip_prefix("replayed ").unwrap_or(text));
    match words.word("word")? {
        "ok" => {
            let lines = words.list(|words| {
                let (sku, quantity) = (words.sku()?, words.parse("quantity")?);
                Ok((sku.clone(), change(words, sku, quantity)?))
            })?;
            Ok(Aligned { lines: lines.into_iter().collect(), has_ended: words.word("state")? != "h" })
        }
        "gone" => Ok(Aligned::default()),
        "forgotten" => Err(StoreError::Broken { what: "a cart that its home has forgotten".to_owned() }),
        "broken" => Err(StoreError::Broken { what: words.rest().to_owned() }),
        _ => Err(words.corrupt("answer to align")),
    }
}

/// The attempt under which an expired hold must be prepared again, and what it is.
pub(super) fn retake(text: &str, partitions: Partitions) -> Result<Option<(i64, Told)>, StoreError> {
    let mut words = Words::new(text);
    if words.word("word")? != "retake" {
        return Ok(None);
    }
    let attempt = words.parse("attempt")?;
    Ok(Told::read(&mut words, partitions)?.map(|told| (attempt, told)))
}
