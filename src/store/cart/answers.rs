//! What the steps of a cart are answered: words of `lua/transact.lua` into values.

use std::collections::HashMap;

use crate::{
    domain::{EventId, HoldId, LineResult, Partition, Partitions, Rpc, Sku},
    store::{
        StoreError,
        decode::{Words, change},
    },
};

/// What home told of a hold.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) hold: HoldId,
    pub(super) attempt: i64,
    pub(super) revision: i64,
    /// In the letter of the script.
    pub(super) state: String,
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
    /// `<id> <state> <deadline>#<attempt>.<revision> <n> <sku reserved held committed>… <cause>`; None of a hold that is no cart.
    fn read(words: &mut Words<'_>, partitions: Partitions) -> Result<Option<Self>, StoreError> {
        let hold = words.parse("hold id")?;
        let state = words.word("state")?.to_owned();
        let deadline = words.word("deadline")?;
        let Some((deadline, mark)) = deadline.split_once('#') else { return Ok(None) };
        let number = |text: &str| text.parse::<i64>().map_err(|_| words.corrupt("mark"));
        let (attempt, revision) = mark.split_once('.').ok_or_else(|| words.corrupt("mark"))?;
        let (deadline_ms, attempt, revision) = (number(deadline)?, number(attempt)?, number(revision)?);
        let lines = words.list(|words| {
            let sku = words.sku()?;
            let reserved = words.parse("reserved")?;
            let (held, committed) = (words.parse("held")?, words.parse("committed")?);
            let (held, back) = if state == "x" { (0, held) } else { (held, 0) };
            Ok(ToldLine { partition: partitions.of(&sku), sku, reserved, held, committed, back })
        })?;
        Ok(Some(Self { hold, attempt, revision, state, deadline_ms, lines }))
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
    if !matches!(rpc, Rpc::Commit | Rpc::Release | Rpc::ExtendHold | Rpc::Decrement | Rpc::Restock)
        || words.word("word")? != "ok"
    {
        return Ok(None);
    }
    changes(&mut words, rpc)?;
    if words.is_over() { Ok(None) } else { Told::read(&mut words, partitions) }
}

/// The events of an answer as its record keeps it, in its order; the SKUs of those that stand in other partitions, which have
/// told nothing yet.
pub(super) fn events_of(text: &str, rpc: Rpc, told: &Told) -> Result<Vec<Result<EventId, Sku>>, StoreError> {
    let mut words = Words::new(text);
    words.word("word")?;
    let changes = changes(&mut words, rpc)?.into_iter().enumerate();
    // A sale's changes are its lines.
    let sku_of = |index: usize, sku: Option<Sku>| sku.or_else(|| Some(told.lines.get(index)?.sku.clone()));
    let one = |(index, (sku, event)): (usize, (Option<Sku>, &str))| match event.parse() {
        Ok(event) => Some(Ok(event)),
        Err(_) => sku_of(index, sku).map(Err),
    };
    Ok(changes.filter_map(one).collect())
}

/// The changes of an answer: SKU, where it is named, and event.
fn changes<'a>(words: &mut Words<'a>, rpc: Rpc) -> Result<Vec<(Option<Sku>, &'a str)>, StoreError> {
    let is_named = matches!(rpc, Rpc::Commit | Rpc::Release | Rpc::ExtendHold);
    words.list(|words| {
        let sku = if is_named { Some(words.sku()?) } else { None };
        for _ in 0..if is_named { 4 } else { 3 } {
            words.word("number")?;
        }
        Ok((sku, words.word("event")?))
    })
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
