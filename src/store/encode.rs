//! Operations as `lua/transact.lua` reads them (`lua/include/packed.lua`, `single.lua`): bytes, packed once, on the caller's side.

use serde::Serialize;

use crate::domain::{
    Action, Cause, ChannelId, HoldId, HoldKind, Lines, Mutation, Operator, Partition, Partitions,
    SetCondition, Sku, SkuQuantity, WhenExpired,
};

use super::committer::Lane;

/// Leads a sale of one line, which has a form of its own: `lua/include/single.lua`.
const SINGLE: char = 'D';
/// Flags of a sale and a reserve: its source is named.
pub(super) const SOURCE_NAMED: u8 = 1;
/// Flags of a commit.
const KEEP_OPEN: u8 = 1;
const REACQUIRE: u8 = 2;
const OF_A_CART: u8 = 4;
/// Flags of a set: the count is of an earlier moment, whose on hand follows.
const OF_EARLIER: u8 = 1;
/// Stands for no expected version; versions begin at 0.
const ANY_VERSION: i64 = -1;
/// Stands for no attempt at a cart.
const NO_ATTEMPT: i64 = -1;

/// One operation: its bytes, and what the committer must know of it.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) bytes: Vec<u8>,
    /// Whose part of the queue it takes.
    pub(super) lane: Lane,
    /// Partitions whose keys it needs.
    pub(super) partitions: Vec<Partition>,
    /// Lines it touches, for the bound on a batch.
    pub(super) lines: usize,
    /// Gives stock back: may run when Redis is over maxmemory.
    pub(super) gives_back: bool,
    /// Needs every partition of its atomic domain.
    pub(super) wide: bool,
}

impl Operation {
    pub(super) fn begin(verb: char, home: Partition) -> Self {
        let mut operation = Self {
            bytes: Vec::with_capacity(256),
            lane: Lane::OWN,
            partitions: vec![home],
            lines: 1,
            gives_back: false,
            wide: false,
        };
        let mut letter = [0; 4];
        operation.bytes.extend_from_slice(verb.encode_utf8(&mut letter).as_bytes());
        operation.push_u16(home.0);
        operation
    }

    /// The beginning of an operation nobody asked for by a key: no record, no fingerprint.
    pub(super) fn begin_bare(verb: char, home: Partition) -> Self {
        let mut operation = Self::begin(verb, home);
        operation.push_text(b"");
        operation.push_short("");
        operation
    }

    /// The name of the idempotency record: client, home SKU and key; only the key may hold spaces, so it stands last.
    pub(super) fn push_record(&mut self, client: &str, home: &Sku, key: &str) {
        self.lane = Lane::of(home);
        self.push_measured(|bytes| {
            for (index, word) in [client, home.as_str(), key].into_iter().enumerate() {
                if index > 0 {
                    bytes.push(b' ');
                }
                bytes.extend_from_slice(word.as_bytes());
            }
        });
    }

    pub(super) fn push_cause(&mut self, cause: &CauseText<'_>) {
        self.push_measured(|bytes| {
            serde_json::to_writer(bytes, cause).expect("a struct of strings is always JSON");
        });
    }

    pub(super) fn push_counts(&mut self, flags: u8, lines: usize) {
        self.bytes.push(flags);
        self.bytes.push(u8::try_from(lines).expect("at most 100 lines"));
        self.lines = lines.max(1);
    }

    /// What `write` appends, led by its length in four bytes.
    fn push_measured(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let written =
            u32::try_from(self.bytes.len() - at - 4).expect("Redis takes no text of 512 MB and more");
        self.bytes[at..at + 4].copy_from_slice(&written.to_be_bytes());
    }

    pub(super) fn push_u16(&mut self, number: u16) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn push_number(&mut self, number: i64) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn push_text(&mut self, text: &[u8]) {
        self.push_measured(|bytes| bytes.extend_from_slice(text));
    }

    pub(super) fn push_short(&mut self, text: &str) {
        self.bytes.push(u8::try_from(text.len()).expect("a sku or a fingerprint: at most 128 bytes"));
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn push_lines(&mut self, lines: &Lines, partitions: Partitions) {
        for line in lines.as_slice() {
            self.push_line(partitions.of(&line.sku), &line.sku, line.quantity.units(), line.expected_version);
        }
    }

    fn push_line(&mut self, partition: Partition, sku: &Sku, units: i64, expected_version: Option<i64>) {
        self.needs(partition);
        self.push_u16(partition.0);
        self.push_sku(sku, units, expected_version);
    }

    pub(super) fn push_sku(&mut self, sku: &Sku, units: i64, expected_version: Option<i64>) {
        self.push_short(sku.as_str());
        self.push_number(units);
        self.push_number(expected_version.unwrap_or(ANY_VERSION));
    }

    fn push_hold(&mut self, hold: &HoldId, extent: Extent, partitions: Partitions) {
        match extent {
            // One made under an earlier number of partitions has ended, and lies at its home.
            Extent::Whole if hold.fits(partitions) => {
                hold.partitions().iter().for_each(|partition| self.needs(*partition));
            }
            Extent::Whole | Extent::Home { .. } => {}
        }
        self.lines = hold.line_count();
        self.push_text(hold.as_str().as_bytes());
    }

    fn push_hold_lines(&mut self, lines: &[SkuQuantity]) {
        for line in lines {
            self.push_short(line.sku.as_str());
            self.push_number(line.quantity.units());
        }
    }

    fn needs(&mut self, partition: Partition) {
        if !self.partitions.contains(&partition) {
            self.partitions.push(partition);
        }
    }
}

/// The cause as the stream keeps it; `-` for the client and empty notes are left out.
#[derive(Serialize)]
pub(super) struct CauseText<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "is_anonymous")]
    client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    order_ref: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    actor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<&'a str>,
}

fn is_anonymous(client: &str) -> bool {
    client == "-"
}

pub(super) fn cause_of<'a>(cause: &'a Cause, hold: Option<&'a HoldId>) -> CauseText<'a> {
    CauseText {
        key: cause.key.as_str(),
        client: cause.client.as_str(),
        channel: cause.channel.as_ref().map(|channel| channel.as_str()),
        order_ref: cause.order_ref.as_str(),
        reason: cause.reason.as_str(),
        actor: cause.actor.as_str(),
        hold: hold.map(HoldId::as_str),
    }
}

/// The cause of what an operator does to a channel: no request has a key there.
pub(super) fn operator_cause(channel: &ChannelId, operator: &Operator) -> Vec<u8> {
    let text = CauseText {
        key: "",
        client: operator.client.as_str(),
        channel: Some(channel.as_str()),
        order_ref: "",
        reason: operator.reason.as_str(),
        actor: operator.actor.as_str(),
        hold: None,
    };
    serde_json::to_vec(&text).expect("a struct of strings is always JSON")
}

/// How much of a mutation its script does.
#[derive(Clone, Copy)]
enum Extent {
    /// All of it.
    Whole,
    /// What its home does of a cart. `attempt`: of a commit whose other partitions have prepared what expired.
    Home { attempt: Option<i64> },
}

/// A mutation, ready to be sent.
pub(super) fn mutation(mutation: &Mutation, partitions: Partitions) -> Operation {
    pack(mutation, partitions, Extent::Whole)
}

/// A mutation of a hold whose lines live in several partitions, for its home alone. `attempt`: of a commit whose other partitions
/// have prepared what expired.
pub(super) fn on_cart(mutation: &Mutation, partitions: Partitions, attempt: Option<i64>) -> Operation {
    pack(mutation, partitions, Extent::Home { attempt })
}

fn pack(mutation: &Mutation, partitions: Partitions, extent: Extent) -> Operation {
    let Mutation { cause, action, durability: _ } = mutation;
    let home = mutation.home();
    let made = match action {
        Action::Reserve { lines, .. } => Some(HoldId::derive(cause, lines, partitions, HoldKind::Reserved)),
        _ => None,
    };
    let hold = mutation.hold().or(made.as_ref());
    let (mut flags, line_count) = flags_and_lines(action, cause);
    if let (Action::Commit { .. }, Extent::Home { .. }) = (action, extent) {
        flags |= OF_A_CART;
    }
    let single = match action {
        Action::Decrement(lines) => <&[_; 1]>::try_from(lines.as_slice()).ok().map(|[line]| line),
        _ => None,
    };
    let letter = if single.is_some() { SINGLE } else { mutation.rpc().letter() };
    let mut operation = Operation::begin(letter, partitions.of(home));
    operation.push_record(cause.client.as_str(), home, cause.key.as_str());
    operation.push_short(mutation.fingerprint().as_str());
    operation.push_cause(&cause_of(cause, hold));
    if let Some(line) = single {
        // Its partition is its home.
        operation.bytes.push(flags);
        operation.push_sku(&line.sku, line.quantity.units(), line.expected_version);
        return operation;
    }
    operation.push_counts(flags, line_count);
    push_action(&mut operation, action, made.as_ref(), extent, partitions);
    operation
}

fn flags_and_lines(action: &Action, cause: &Cause) -> (u8, usize) {
    let when = |is: bool, flag: u8| if is { flag } else { 0 };
    match action {
        Action::Decrement(lines) | Action::Reserve { lines, .. } => {
            (when(cause.channel.is_some(), SOURCE_NAMED), lines.as_slice().len())
        }
        Action::Restock(lines) => (0, lines.as_slice().len()),
        Action::Commit { lines, keep_open, when_expired, .. } => {
            let reacquires = *when_expired == WhenExpired::Reacquire;
            (when(*keep_open, KEEP_OPEN) | when(reacquires, REACQUIRE), lines.len())
        }
        Action::Release { lines, .. } => (0, lines.len()),
        Action::ExtendHold { .. } => (0, 0),
        Action::AdjustStock { .. } => (0, 1),
        Action::SetStock { on_hand_then, .. } => (when(on_hand_then.is_some(), OF_EARLIER), 1),
    }
}

fn push_action(
    operation: &mut Operation,
    action: &Action,
    made: Option<&HoldId>,
    extent: Extent,
    partitions: Partitions,
) {
    match action {
        Action::Decrement(lines) | Action::Restock(lines) => operation.push_lines(lines, partitions),
        Action::Reserve { lines, ttl } => {
            operation.push_hold(made.expect("a reserve always makes a hold"), extent, partitions);
            operation.push_number(ttl.ms());
            operation.push_lines(lines, partitions);
        }
        Action::Commit { hold, lines, .. } | Action::Release { hold, lines } => {
            operation.push_hold(hold, extent, partitions);
            if let (Action::Commit { .. }, Extent::Home { attempt }) = (action, extent) {
                operation.push_number(attempt.unwrap_or(NO_ATTEMPT));
            }
            operation.push_hold_lines(lines);
            operation.gives_back = true;
        }
        Action::ExtendHold { hold, ttl } => {
            operation.push_hold(hold, extent, partitions);
            operation.push_number(ttl.ms());
        }
        Action::AdjustStock { sku, delta, expected_version } => {
            operation.push_line(partitions.of(sku), sku, *delta, *expected_version);
        }
        Action::SetStock { sku, quantity, condition, on_hand_then, as_of_event: _ } => {
            if let Some(units) = on_hand_then {
                operation.push_number(*units);
            }
            let expected = match condition {
                SetCondition::Version(version) => Some(*version),
                SetCondition::Force => None,
            };
            operation.push_line(partitions.of(sku), sku, *quantity, expected);
        }
    }
}

/// Asks what a key was answered; burns it when it was never used.
pub(super) fn resolve(client: &str, home: &Sku, key: &str, partitions: Partitions) -> Operation {
    let mut operation = Operation::begin('k', partitions.of(home));
    operation.push_record(client, home, key);
    // The fingerprint of a burnt key.
    operation.push_short("-");
    operation.push_text(b"");
    operation.push_counts(0, 0);
    operation
}

/// Ends overdue holds of one partition: looks at `limit` at most, after the first `skip`.
pub(super) fn sweep(partition: Partition, limit: u32, skip: u32) -> Operation {
    let mut operation = Operation::begin_bare('w', partition);
    operation.push_text(b"");
    operation.push_counts(0, 0);
    operation.push_number(i64::from(limit));
    operation.push_number(i64::from(skip));
    operation.gives_back = true;
    operation.wide = true;
    operation
}

/// What a repair writes, if the stored text is still `seen`.
pub(super) struct Repair<'a> {
    pub(super) sku: &'a Sku,
    pub(super) seen: &'a [u8],
    pub(super) on_hand: i64,
    pub(super) held: i64,
    pub(super) held_delta: i64,
    pub(super) version: i64,
    pub(super) reason: &'a str,
}

/// Writes a level that verifying found to be right.
pub(super) fn repair(repair: &Repair<'_>, partitions: Partitions) -> Operation {
    let cause = serde_json::json!({ "key": "", "reason": repair.reason }).to_string();
    let home = partitions.of(repair.sku);
    let mut operation = Operation::begin_bare('p', home);
    operation.push_text(cause.as_bytes());
    operation.push_counts(0, 0);
    operation.push_text(repair.sku.as_str().as_bytes());
    operation.push_text(repair.seen);
    for number in [repair.on_hand, repair.held, repair.held_delta, repair.version] {
        operation.push_number(number);
    }
    operation
}
