//! Answers of `lua/transact.lua`: words and numbers back into outcomes. A word that is not in the script's contract is a
//! fault, never a guess.

use std::str::FromStr;

use crate::domain::{
    Action, Answer, Applied, ChannelId, EventId, Fingerprint, Hold, HoldId, HoldLine, HoldState, Level,
    LineResult, Mutation, Refusal, Rpc, Shortage, Sku, Versions,
};

use super::{StoreError, committer::Reply, events::StoredCause};

/// What the committer does with an answer before anybody reads it.
pub(super) enum Verdict {
    Decided,
    /// Send again: overdue holds are left that may free stock.
    Again,
    /// Send again with every partition.
    Wide,
}

pub(super) fn verdict(answer: &str) -> Verdict {
    match answer {
        "again" => Verdict::Again,
        "wide" => Verdict::Wide,
        _ => Verdict::Decided,
    }
}

/// Reads words one by one; the rest of the text can be taken whole.
#[derive(Clone)]
pub(super) struct Words<'a> {
    text: &'a str,
    rest: Option<&'a str>,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, rest: Some(text) }
    }

    pub(super) fn corrupt(&self, wanted: &str) -> StoreError {
        StoreError::Corrupt { script: "transact", detail: format!("no {wanted} in {:?}", self.text) }
    }

    pub(super) fn word(&mut self, wanted: &str) -> Result<&'a str, StoreError> {
        let rest = self.rest.ok_or_else(|| self.corrupt(wanted))?;
        // Words are short: a search that prepares itself costs more than it saves.
        let end = rest.bytes().position(|byte| byte == b' ').unwrap_or(rest.len());
        let word = &rest[..end];
        self.rest = rest.get(end + 1..);
        if word.is_empty() { Err(self.corrupt(wanted)) } else { Ok(word) }
    }

    pub(super) fn parse<T: FromStr>(&mut self, wanted: &str) -> Result<T, StoreError> {
        self.word(wanted)?.parse().map_err(|_| self.corrupt(wanted))
    }

    pub(super) fn sku(&mut self) -> Result<Sku, StoreError> {
        Sku::parse(self.word("sku")?).map_err(|_| self.corrupt("sku"))
    }

    pub(super) fn rest(&mut self) -> &'a str {
        self.rest.take().unwrap_or_default()
    }

    /// Whether nothing is left.
    pub(super) fn is_over(&self) -> bool {
        self.rest.is_none()
    }

    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let count: usize = self.parse("count")?;
        (0..count).map(|_| item(self)).collect()
    }
}

/// The answer to a mutation.
pub(super) fn mutation(reply: &Reply, asked: &Mutation) -> Result<Answer, StoreError> {
    let (answer, replayed) = match reply.text.strip_prefix("replayed ") {
        Some(first) => (first, true),
        None => (reply.text.as_str(), false),
    };
    let mut words = Words::new(answer);
    let result = match words.word("word")? {
        "ok" => Ok(applied(&mut words, asked)?),
        "conflict" => {
            Err(Refusal::Conflict { field: asked.fingerprint().differing_field(words.word("fingerprint")?) })
        }
        word => Err(refusal(word, &mut words)?),
    };
    Ok(Answer { result, replayed, durability: reply.achieved })
}

fn refusal(word: &str, words: &mut Words<'_>) -> Result<Refusal, StoreError> {
    let shortage = |words: &mut Words<'_>| {
        Ok(Shortage {
            sku: words.sku()?,
            requested: words.parse("requested")?,
            available: words.parse("available")?,
        })
    };
    Ok(match word {
        "insufficient" => Refusal::Insufficient(words.list(shortage)?),
        "exceeds" => Refusal::ExceedsHold(words.list(shortage)?),
        "unknown_sku" => Refusal::UnknownSku(words.list(Words::sku)?),
        "version" => Refusal::VersionMismatch(words.list(|words| {
            Ok(Versions {
                sku: words.sku()?,
                expected: words.parse("expected")?,
                current: words.parse("current")?,
            })
        })?),
        "unknown_hold" => Refusal::UnknownHold,
        "over" => match (hold_state(words)?, words.parse("deadline")?) {
            // The hold this key made lives on by extensions, longer than the record of its reserve.
            (HoldState::Held, _) => Refusal::Conflict { field: "hold_id" },
            (state, deadline_ms) => Refusal::HoldOver { state, deadline_ms },
        },
        "overflow" => Refusal::Overflow(words.sku()?),
        "burnt" => Refusal::KeyBurnt,
        "broken" => return Err(StoreError::Broken { what: words.rest().to_owned() }),
        other => {
            return Err(StoreError::Corrupt {
                script: "transact",
                detail: format!("unknown word {other:?}"),
            });
        }
    })
}

/// The letters of states in scripts.
const HOLD_STATES: [(HoldState, &str); 4] = [
    (HoldState::Held, "h"),
    (HoldState::Committed, "c"),
    (HoldState::Released, "l"),
    (HoldState::Expired, "x"),
];

fn hold_state(words: &mut Words<'_>) -> Result<HoldState, StoreError> {
    let letter = words.word("state")?;
    let found = HOLD_STATES.iter().find(|row| row.1 == letter);
    found.map(|row| row.0).ok_or_else(|| words.corrupt("state"))
}

/// The letter of a state.
pub(super) fn state_letter(state: HoldState) -> &'static str {
    HOLD_STATES.iter().find(|row| row.0 == state).expect("every state has a row").1
}

/// `<on hand> <held> <version> <event or ->`.
pub(super) fn change(words: &mut Words<'_>, sku: Sku, quantity: i64) -> Result<LineResult, StoreError> {
    let level = Level {
        on_hand: words.parse("on hand")?,
        held: words.parse("held")?,
        version: words.parse("version")?,
        updated_ms: 0,
    };
    Ok(LineResult { sku, quantity, level, event_id: words.word("event")?.parse().ok() })
}

fn applied(words: &mut Words<'_>, asked: &Mutation) -> Result<Applied, StoreError> {
    match &asked.action {
        Action::Decrement(lines) | Action::Restock(lines) | Action::Reserve { lines, .. } => {
            let mut asked_lines = lines.as_slice().iter();
            let results = words.list(|words| {
                let line = asked_lines.next().ok_or_else(|| words.corrupt("line"))?;
                change(words, line.sku.clone(), line.quantity.units())
            })?;
            let hold = match asked.rpc() {
                Rpc::Reserve => {
                    Some(new_hold(words.parse("hold id")?, asked, &results, words.parse("deadline")?))
                }
                _ => None,
            };
            Ok(Applied { lines: results, hold })
        }
        Action::Commit { .. } | Action::Release { .. } | Action::ExtendHold { .. } => {
            let lines = words.list(|words| {
                let (sku, quantity) = (words.sku()?, words.parse("quantity")?);
                change(words, sku, quantity)
            })?;
            Ok(Applied { lines, hold: Some(told_hold(words)?.0) })
        }
        Action::AdjustStock { sku, delta, .. } => {
            let lines = words.list(|words| change(words, sku.clone(), *delta))?;
            Ok(Applied { lines, hold: None })
        }
        Action::SetStock { sku, .. } => {
            let mut lines = words.list(|words| change(words, sku.clone(), 0))?;
            let delta = words.parse("delta")?;
            for line in &mut lines {
                line.quantity = delta;
            }
            Ok(Applied { lines, hold: None })
        }
    }
}

fn new_hold(id: HoldId, asked: &Mutation, results: &[LineResult], deadline_ms: i64) -> Hold {
    let line = |result: &LineResult| HoldLine {
        sku: result.sku.clone(),
        reserved: result.quantity,
        held: result.quantity,
        committed: 0,
    };
    Hold {
        id,
        state: HoldState::Held,
        deadline_ms,
        lines: results.iter().map(line).collect(),
        order_ref: asked.cause.order_ref.as_str().to_owned(),
        channel: asked.cause.channel.clone(),
    }
}

/// `<id> <state> <deadline><mark> <n> <sku reserved held committed>… <cause>`; and the mark of a cart, where it is one.
pub(super) fn told_hold<'a>(words: &mut Words<'a>) -> Result<(Hold, Option<&'a str>), StoreError> {
    let id = words.parse("hold id")?;
    let state = hold_state(words)?;
    let deadline = words.word("deadline")?;
    let (deadline, mark) = match deadline.split_once('#') {
        Some((deadline, mark)) => (deadline, Some(mark)),
        None => (deadline, None),
    };
    let deadline_ms = deadline.parse().map_err(|_| words.corrupt("deadline"))?;
    let lines = words.list(|words| {
        Ok(HoldLine {
            sku: words.sku()?,
            reserved: words.parse("reserved")?,
            held: words.parse("held")?,
            committed: words.parse("committed")?,
        })
    })?;
    Ok((hold_with_cause(id, state, deadline_ms, lines, words.rest())?, mark))
}

fn hold_with_cause(
    id: HoldId,
    state: HoldState,
    deadline_ms: i64,
    lines: Vec<HoldLine>,
    cause: &str,
) -> Result<Hold, StoreError> {
    let cause: StoredCause = serde_json::from_str(cause).map_err(|error| StoreError::Corrupt {
        script: "transact",
        detail: format!("cause of {id}: {error}"),
    })?;
    let channel = ChannelId::parse(&cause.channel).ok();
    Ok(Hold { id, state, deadline_ms, lines, order_ref: cause.order_ref, channel })
}

/// Whether a stored hold is a cart over partitions, at its home.
pub(super) fn is_cart(text: &str) -> bool {
    text.split(' ').nth(2).is_some_and(|made| made.contains('#'))
}

/// A hold as `lua/include/hold.lua` stores it. None when the text does not parse.
pub(super) fn stored_hold(text: &str, id: &HoldId) -> Option<Hold> {
    let mut words = Words::new(text);
    let state = hold_state(&mut words).ok()?;
    let deadline_ms = words.parse("deadline").ok()?;
    words.word("made").ok()?;
    let lines = words
        .list(|words| {
            words.word("partition")?;
            Ok(HoldLine {
                sku: words.sku()?,
                reserved: words.parse("reserved")?,
                held: words.parse("held")?,
                committed: words.parse("committed")?,
            })
        })
        .ok()?;
    hold_with_cause(id.clone(), state, deadline_ms, lines, words.rest()).ok()
}

/// What ResolveKey found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// The key was never used, and now never can be.
    Burnt,
    /// The request was carried out.
    Applied {
        /// Its rpc.
        rpc: Rpc,
        /// Its events, one per line.
        event_ids: Vec<EventId>,
        /// The hold it made or touched.
        hold: Option<HoldId>,
    },
    /// The request was refused.
    Refused {
        /// Its rpc.
        rpc: Rpc,
        /// Why.
        refusal: Refusal,
    },
}

/// A change of an answer that was carried out: its SKU, where it is named, and its event.
pub(super) type Change = (Option<Sku>, Option<EventId>);

/// The changes of an answer behind its `ok`.
pub(super) fn changes(words: &mut Words<'_>, rpc: Rpc) -> Result<Vec<Change>, StoreError> {
    words.list(|words| {
        let (sku, numbers) = if names_skus(rpc) { (Some(words.sku()?), 4) } else { (None, 3) };
        for _ in 0..numbers {
            words.word("number")?;
        }
        Ok((sku, words.word("event")?.parse().ok()))
    })
}

/// Whether the changes of its answers name their SKUs, and a hold stands behind them.
fn names_skus(rpc: Rpc) -> bool {
    matches!(rpc, Rpc::Commit | Rpc::Release | Rpc::ExtendHold)
}

/// The answer to resolve, as far as what stands behind its changes, and these.
pub(super) fn resolved(words: &mut Words<'_>) -> Result<(Resolved, Vec<Change>), StoreError> {
    match words.word("word")? {
        "burnt" => return Ok((Resolved::Burnt, Vec::new())),
        "found" => {}
        _ => return Err(words.corrupt("found or burnt")),
    }
    let rpc = Fingerprint::rpc_of(words.word("fingerprint")?).ok_or_else(|| words.corrupt("rpc"))?;
    match words.word("word")? {
        "ok" => {
            let changes = changes(words, rpc)?;
            let event_ids = changes.iter().filter_map(|(_, event)| *event).collect();
            // Read again by whoever wants the whole hold.
            let hold = match names_skus(rpc) || rpc == Rpc::Reserve {
                true => Some(words.clone().parse("hold id")?),
                false => None,
            };
            Ok((Resolved::Applied { rpc, event_ids, hold }, changes))
        }
        word => Ok((Resolved::Refused { rpc, refusal: refusal(word, words)? }, Vec::new())),
    }
}
