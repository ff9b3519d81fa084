//! Operations as `lua/transact.lua` reads them: a flat row of arguments each, packed once, on the caller's side.

use serde::Serialize;

use crate::domain::{
    Action, Cause, ChannelId, HoldId, Lines, Mutation, Operator, Partition, Partitions, SetCondition, Sku,
    SkuQuantity, WhenExpired,
};

/// One operation: its arguments packed end to end, and what the committer must know of it.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    bytes: Vec<u8>,
    ends: Vec<usize>,
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
    fn new(verb: char, home: Partition) -> Self {
        let mut operation = Self {
            bytes: Vec::with_capacity(256),
            ends: Vec::with_capacity(12),
            partitions: vec![home],
            lines: 1,
            gives_back: false,
            wide: false,
        };
        operation.push(verb.encode_utf8(&mut [0; 4]).as_bytes());
        operation.push_number(i64::from(home.0));
        operation
    }

    fn push(&mut self, argument: &[u8]) {
        self.bytes.extend_from_slice(argument);
        self.ends.push(self.bytes.len());
    }

    fn push_number(&mut self, number: i64) {
        use std::io::Write as _;
        // Writing to a Vec cannot fail.
        let _ = write!(self.bytes, "{number}");
        self.ends.push(self.bytes.len());
    }

    fn push_flag(&mut self, flag: bool) {
        self.push(if flag { b"1" } else { b"0" });
    }

    fn push_lines(&mut self, lines: &Lines, partitions: Partitions) {
        let all = lines.as_slice();
        self.push_number(i64::try_from(all.len()).expect("at most 100"));
        for line in all {
            self.push_line(partitions.of(&line.sku), &line.sku, line.quantity.units(), line.expected_version);
        }
        self.lines = all.len();
    }

    fn push_line(&mut self, partition: Partition, sku: &Sku, units: i64, expected_version: Option<i64>) {
        self.needs(partition);
        self.push_number(i64::from(partition.0));
        self.push(sku.as_str().as_bytes());
        self.push_number(units);
        match expected_version {
            Some(version) => self.push_number(version),
            None => self.push(b""),
        }
    }

    fn push_hold(&mut self, hold: &HoldId) {
        for partition in hold.partitions() {
            self.needs(*partition);
        }
        self.lines = hold.line_count();
        self.push(hold.as_str().as_bytes());
    }

    fn push_hold_lines(&mut self, lines: &[SkuQuantity]) {
        self.push_number(i64::try_from(lines.len()).expect("at most 100"));
        for line in lines {
            self.push(line.sku.as_str().as_bytes());
            self.push_number(line.quantity.units());
        }
    }

    fn needs(&mut self, partition: Partition) {
        if !self.partitions.contains(&partition) {
            self.partitions.push(partition);
        }
    }

    /// The arguments, in order.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().scan(0, |start, end| {
            let argument = &self.bytes[*start..*end];
            *start = *end;
            Some(argument)
        })
    }
}

/// The cause as the stream keeps it; `-` for the client and empty notes are left out.
#[derive(Serialize)]
struct CauseText<'a> {
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

fn cause_text(cause: &Cause, hold: Option<&HoldId>) -> Vec<u8> {
    let text = CauseText {
        key: cause.key.as_str(),
        client: cause.client.as_str(),
        channel: cause.channel.as_ref().map(|channel| channel.as_str()),
        order_ref: cause.order_ref.as_str(),
        reason: cause.reason.as_str(),
        actor: cause.actor.as_str(),
        hold: hold.map(HoldId::as_str),
    };
    serde_json::to_vec(&text).expect("a struct of strings is always JSON")
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

/// Names the idempotency record: client, home SKU and key; only the key may hold spaces, so it stands last.
pub(super) fn record_field(client: &str, home: &Sku, key: &str) -> String {
    format!("{client} {home} {key}")
}

/// A mutation, ready to be sent.
pub(super) fn mutation(mutation: &Mutation, partitions: Partitions) -> Operation {
    let Mutation { cause, action } = mutation;
    let home = mutation.home();
    let made = match action {
        Action::Reserve { lines, .. } => {
            let skus = lines.as_slice().iter().map(|line| &line.sku);
            Some(HoldId::derive(&cause.client, &cause.key, home, skus, partitions))
        }
        _ => None,
    };
    let hold = match action {
        Action::Commit { hold, .. } | Action::Release { hold, .. } | Action::ExtendHold { hold, .. } => {
            Some(hold)
        }
        _ => made.as_ref(),
    };
    let mut operation = Operation::new(mutation.rpc().letter(), partitions.of(home));
    operation.push(record_field(cause.client.as_str(), home, cause.key.as_str()).as_bytes());
    operation.push(mutation.fingerprint().as_str().as_bytes());
    operation.push(&cause_text(cause, hold));
    push_action(&mut operation, action, cause, made.as_ref(), partitions);
    operation
}

fn push_action(
    operation: &mut Operation,
    action: &Action,
    cause: &Cause,
    made: Option<&HoldId>,
    partitions: Partitions,
) {
    match action {
        Action::Decrement(lines) => {
            operation.push_flag(cause.channel.is_some());
            operation.push_lines(lines, partitions);
        }
        Action::Restock(lines) => operation.push_lines(lines, partitions),
        Action::Reserve { lines, ttl } => {
            operation.push_flag(cause.channel.is_some());
            operation.push_hold(made.expect("a reserve always makes a hold"));
            operation.push_number(ttl.ms());
            operation.push_lines(lines, partitions);
        }
        Action::Commit { hold, lines, keep_open, when_expired } => {
            operation.push_hold(hold);
            operation.push_flag(*keep_open);
            operation.push_flag(*when_expired == WhenExpired::Reacquire);
            operation.push_hold_lines(lines);
            operation.gives_back = true;
        }
        Action::Release { hold, lines } => {
            operation.push_hold(hold);
            operation.push_hold_lines(lines);
            operation.gives_back = true;
        }
        Action::ExtendHold { hold, ttl } => {
            operation.push_hold(hold);
            operation.push_number(ttl.ms());
        }
        Action::AdjustStock { sku, delta, expected_version } => {
            operation.push_number(1);
            operation.push_line(partitions.of(sku), sku, *delta, *expected_version);
        }
        Action::SetStock { sku, quantity, condition, on_hand_then, as_of_event: _ } => {
            match on_hand_then {
                Some(units) => operation.push_number(*units),
                None => operation.push(b""),
            }
            let expected = match condition {
                SetCondition::Version(version) => Some(*version),
                SetCondition::Force => None,
            };
            operation.push_number(1);
            operation.push_line(partitions.of(sku), sku, *quantity, expected);
        }
    }
}

/// Asks what a key was answered; burns it when it was never used.
pub(super) fn resolve(client: &str, home: &Sku, key: &str, partitions: Partitions) -> Operation {
    let mut operation = Operation::new('k', partitions.of(home));
    operation.push(record_field(client, home, key).as_bytes());
    operation
}

/// Ends at most `limit` overdue holds of one partition.
pub(super) fn sweep(partition: Partition, limit: u32) -> Operation {
    let mut operation = Operation::new('w', partition);
    operation.push_number(i64::from(limit));
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
    let mut operation = Operation::new('p', partitions.of(repair.sku));
    let cause = serde_json::json!({ "key": "", "reason": repair.reason });
    operation.push(cause.to_string().as_bytes());
    operation.push(repair.sku.as_str().as_bytes());
    operation.push(repair.seen);
    for number in [repair.on_hand, repair.held, repair.held_delta, repair.version] {
        operation.push_number(number);
    }
    operation
}
