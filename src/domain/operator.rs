//! A person who acts on channels by hand, and why: written into events and logs.

use super::{ClientId, Text};

/// Begins the note that stands where the last error of a dropped dead letter stood.
pub const DISCARDED: &str = "discarded by ";

/// Who acts, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Who the token says the caller is.
    pub client: ClientId,
    /// Who, as given; may be empty.
    pub actor: Text<128>,
    /// Why, as given; may be empty.
    pub reason: Text<256>,
}

impl Operator {
    /// What stands where the last error of a dead letter stood that this operator dropped.
    pub fn discard_note(&self) -> String {
        format!("{DISCARDED}{}: {}", self.name(), self.reason.as_str())
    }

    /// The best name there is: the actor, else the client.
    pub fn name(&self) -> &str {
        let actor = self.actor.as_str();
        if actor.is_empty() { self.client.as_str() } else { actor }
    }
}
