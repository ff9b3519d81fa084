//! What a channel said about one item. Matched without a wildcard, so that a new class shows every place that must
//! decide about it.

use std::time::Duration;

use crate::outbound::ErrorText;

/// What became of one item of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushOutcome {
    /// The channel shows the number.
    Applied,
    /// It showed the number already. Counts as applied.
    AlreadyApplied,
    /// The channel has put it in a queue of its own: told again after that time, unless something newer was told by then.
    /// Burns no attempt.
    AcceptedPending {
        /// When to see to it that it is shown, above zero.
        verify_after: Duration,
    },
    /// Compare-and-swap lost against another change there: tried again with the newest number. Burns an attempt.
    Conflict {
        /// What it said.
        error: ErrorText,
    },
    /// The channel cannot take it now; nothing is wrong with the item.
    RetryAfter {
        /// How long the channel asked to be left alone, above zero; None: it did not say. Wins over the cap of our backoff.
        after: Option<Duration>,
        /// The channel lives and asks for patience: burns no attempt. Else it fails, and that burns one.
        throttled: bool,
        /// What it said.
        error: ErrorText,
    },
    /// This SKU is wrong there until somebody changes something: a dead letter at once.
    PermanentItem {
        /// What it said.
        error: ErrorText,
    },
    /// The call as a whole was refused and named no item: told in smaller calls, to find the one that is wrong.
    BatchRejected {
        /// What it said.
        error: ErrorText,
    },
    /// The channel as a whole refuses us until somebody changes something: nothing more is told, no attempt is burnt.
    PermanentAuth {
        /// What it said.
        error: ErrorText,
    },
    /// The call went out and no answer came: the channel may or may not show the number. Push again; burns an attempt.
    Unknown {
        /// What happened.
        error: ErrorText,
    },
}

impl PushOutcome {
    /// What went wrong; None when nothing did.
    pub fn error(&self) -> Option<&ErrorText> {
        match self {
            Self::Applied | Self::AlreadyApplied | Self::AcceptedPending { .. } => None,
            Self::Conflict { error }
            | Self::RetryAfter { error, .. }
            | Self::PermanentItem { error }
            | Self::BatchRejected { error }
            | Self::PermanentAuth { error }
            | Self::Unknown { error } => Some(error),
        }
    }
}
