//! The steps of a cart as operations: `lua/verbs/` peek, prepare, decide, refuse, align, ask and told.

use crate::{
    domain::{Action, Cause, HoldId, Mutation, Partition, Sku},
    store::{
        committer::Lane,
        decode::state_letter,
        encode::{Operation, SOURCE_NAMED, cause_of},
    },
};

use super::{Cart, answers::Told, child::ChildId};

/// Flags of peek, prepare and decide, beside that the source is named.
const BRINGS_IN: u8 = 2;
const MAKES_HOLD: u8 = 4;
/// Flags of align.
const GIVEN_UP: u8 = 1;
const PUT_OFF: u8 = 2;
/// The client of records the store keeps for itself: no caller has this name.
const NOBODY: &str = "*";
/// The fingerprint of such a record.
const PLAIN: &str = "*";

/// A line as its partition must look at it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) sku: Sku,
    pub(super) units: i64,
    pub(super) expected_version: Option<i64>,
    /// Units its hold reserved at first, and sold before.
    pub(super) reserved: i64,
    pub(super) sold_before: i64,
}

impl Cart {
    fn flags(&self) -> u8 {
        let source = if self.asked.cause.channel.is_some() { SOURCE_NAMED } else { 0 };
        match &self.asked.action {
            Action::Decrement(_) => source,
            Action::Reserve { .. } => source | MAKES_HOLD,
            Action::Restock(_) => BRINGS_IN,
            // What expired is taken again without a note to its channel, as where one script does it.
            Action::Commit { .. }
            | Action::Release { .. }
            | Action::ExtendHold { .. }
            | Action::AdjustStock { .. }
            | Action::SetStock { .. } => 0,
        }
    }

    /// An operation under the caller's own record.
    fn own(&self, verb: char) -> Operation {
        let Mutation { cause, .. } = &self.asked;
        let mut operation = Operation::begin(verb, self.home());
        operation.push_record(cause.client.as_str(), self.hold.home_sku(), cause.key.as_str());
        operation.push_short(self.asked.fingerprint().as_str());
        operation.push_cause(&cause_of(cause, Some(&self.hold)));
        operation
    }

    fn push_parts(operation: &mut Operation, partition: Partition, parts: &[Part]) {
        for part in parts {
            operation.push_u16(partition.0);
            operation.push_sku(&part.sku, part.units, part.expected_version);
        }
    }

    /// What home says before anything is prepared; under the caller's record.
    pub(super) fn peek_home(&self, here: &[Part]) -> Operation {
        let mut operation = self.own('q');
        operation.push_counts(self.flags(), here.len());
        operation.push_text(self.hold.as_str().as_bytes());
        Self::push_parts(&mut operation, self.home(), here);
        operation
    }

    /// What any partition says of its lines.
    pub(super) fn peek(&self, partition: Partition, parts: &[Part]) -> Operation {
        let mut operation = Operation::begin_bare('q', partition);
        operation.lane = Lane::of(self.hold.home_sku());
        operation.push_cause(&cause_of(&self.asked.cause, Some(&self.hold)));
        operation.push_counts(self.flags(), parts.len());
        operation.push_text(b"");
        Self::push_parts(&mut operation, partition, parts);
        operation
    }

    pub(super) fn prepare(
        &self,
        partition: Partition,
        parts: &[Part],
        attempt: i64,
        ttl_ms: i64,
    ) -> Operation {
        let child = ChildId { attempt, hold: self.hold.clone() }.to_string();
        let mut operation = Operation::begin('h', partition);
        operation.push_record(NOBODY, self.hold.home_sku(), &child);
        operation.push_short(self.asked.fingerprint().as_str());
        operation.push_cause(&cause_of(&self.asked.cause, Some(&self.hold)));
        operation.push_counts(self.flags(), parts.len());
        operation.push_text(child.as_bytes());
        for number in [i64::from(self.home().0), attempt, ttl_ms] {
            operation.push_number(number);
        }
        Self::push_parts(&mut operation, partition, parts);
        for part in parts {
            operation.push_number(part.reserved);
            operation.push_number(part.sold_before);
        }
        operation
    }

    /// `told`: what the line's partition said of it when it was prepared; empty at home, or when it says more later.
    pub(super) fn decide<'a>(
        &self,
        lines: impl ExactSizeIterator<Item = (&'a Part, &'a str)>,
        attempt: i64,
        ttl_ms: i64,
    ) -> Operation {
        let mut operation = self.own('j');
        operation.push_counts(self.flags(), lines.len());
        operation.push_text(self.hold.as_str().as_bytes());
        operation.push_number(attempt);
        operation.push_number(ttl_ms);
        for (part, told) in lines {
            operation.push_u16(self.partition_of(&part.sku).0);
            operation.push_sku(&part.sku, part.units, part.expected_version);
            operation.push_text(told.as_bytes());
        }
        operation
    }

    pub(super) fn refuse(&self, refusal: &str) -> Operation {
        let mut operation = self.own('n');
        operation.push_counts(0, 0);
        operation.push_text(refusal.as_bytes());
        operation
    }
}

/// Asks a child's home what became of its attempt.
pub(super) fn ask(child: &ChildId) -> Operation {
    let mut operation = bare('o', child.hold.home(), &child.hold, 0, child.hold.as_str());
    operation.push_number(child.attempt);
    operation
}

/// The children of a cart have come to what home told.
pub(super) fn told(told: &Told) -> Operation {
    let mut operation = bare('u', told.hold.home(), &told.hold, 0, told.hold.as_str());
    operation.push_number(told.revision);
    operation
}

/// Brings a child to what its home told. `cause`: why, when that is not why it was made.
pub(super) fn align(partition: Partition, told: &Told, cause: Option<&Cause>) -> Operation {
    let child = told.child().to_string();
    let mut operation = Operation::begin('t', partition);
    operation.push_record(NOBODY, told.hold.home_sku(), &format!("{child} {}", told.revision));
    operation.push_short(PLAIN);
    match cause {
        Some(cause) => operation.push_cause(&cause_of(cause, Some(&told.hold))),
        None => operation.push_text(b""),
    }
    let lines = || told.lines.iter().filter(|line| line.partition == partition);
    operation.push_counts(0, lines().count());
    operation.push_text(child.as_bytes());
    operation.push_number(told.revision);
    operation.push_text(state_letter(told.state).as_bytes());
    operation.push_number(told.deadline_ms);
    for line in lines() {
        operation.push_short(line.sku.as_str());
        operation.push_number(line.held);
        operation.push_number(line.committed);
    }
    operation.gives_back = true;
    operation
}

/// Ends a child of an attempt that was given up: its units go back.
pub(super) fn undo(partition: Partition, child: &ChildId) -> Operation {
    align_to_nothing(partition, child, GIVEN_UP, &child.to_string())
}

/// Looks at an overdue child later: it cannot be ended until somebody mends what is broken.
pub(super) fn put_off(partition: Partition, child: &ChildId) -> Operation {
    // Home is no child: it stands there under its own name.
    match partition == child.hold.home() {
        true => align_to_nothing(partition, child, PUT_OFF, child.hold.as_str()),
        false => align_to_nothing(partition, child, PUT_OFF, &child.to_string()),
    }
}

fn align_to_nothing(partition: Partition, child: &ChildId, flags: u8, name: &str) -> Operation {
    let mut operation = bare('t', partition, &child.hold, flags, name);
    operation.push_number(0);
    operation.push_text(b"l");
    operation.push_number(0);
    operation
}

/// The beginning of what the store asks by itself about the part of a cart that stands under this name.
fn bare(verb: char, partition: Partition, hold: &HoldId, flags: u8, name: &str) -> Operation {
    let mut operation = Operation::begin_bare(verb, partition);
    operation.lane = Lane::of(hold.home_sku());
    operation.push_text(b"");
    operation.push_counts(flags, 0);
    operation.push_text(name.as_bytes());
    operation.gives_back = true;
    operation
}
