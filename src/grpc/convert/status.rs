//! The one table from refusals and faults to codes, reasons and details.
//!
//! Refusals first, then faults of the store, then what the layers answer themselves. Malformed requests: `violations`.

use std::time::Duration;

use tonic::Code;

use crate::{
    domain::{ChannelId, HoldState, Refusal, Shortage, Sku, Versions},
    store::StoreError,
};

use super::{details::Details, problem::Problem};

/// Another gateway, or a queue that drains within milliseconds, can serve the repeat.
const RETRY_SOON: Duration = Duration::from_millis(100);
/// Redis has to come back first.
const RETRY_LATER: Duration = Duration::from_secs(1);
/// Configured channels a message names.
const CHANNELS_NAMED: usize = 16;

/// `ErrorInfo.reason` of a refusal.
pub fn refusal_reason(refusal: &Refusal) -> &'static str {
    row(refusal).1
}

fn row(refusal: &Refusal) -> (Code, &'static str) {
    match refusal {
        Refusal::Insufficient(_) => (Code::FailedPrecondition, "INSUFFICIENT_STOCK"),
        Refusal::UnknownSku(_) => (Code::NotFound, "UNKNOWN_SKU"),
        Refusal::VersionMismatch(_) => (Code::Aborted, "VERSION_MISMATCH"),
        Refusal::UnknownHold => (Code::NotFound, "UNKNOWN_HOLD"),
        // A hold is over by its deadline, whether or not somebody wrote that down already.
        Refusal::HoldOver { state: HoldState::Held | HoldState::Expired, .. } => {
            (Code::FailedPrecondition, "HOLD_EXPIRED")
        }
        Refusal::HoldOver { state: HoldState::Committed, .. } => (Code::FailedPrecondition, "HOLD_COMMITTED"),
        Refusal::HoldOver { state: HoldState::Released, .. } => (Code::FailedPrecondition, "HOLD_RELEASED"),
        Refusal::ExceedsHold(_) => (Code::FailedPrecondition, "HOLD_QUANTITY_EXCEEDED"),
        Refusal::Overflow(_) => (Code::FailedPrecondition, "COUNT_OVERFLOW"),
        Refusal::Conflict { .. } => (Code::AlreadyExists, "IDEMPOTENCY_CONFLICT"),
        Refusal::KeyBurnt => (Code::FailedPrecondition, "KEY_BURNT"),
    }
}

impl Problem {
    /// The status of a refusal; `replayed` when it is the first answer again.
    pub fn refused(refusal: &Refusal, replayed: bool) -> Self {
        let (code, reason) = row(refusal);
        let build = Build { code, reason, replayed, details: Details::default() };
        match refusal {
            Refusal::Insufficient(short) => build.shortages(short, "available", "not enough stock"),
            Refusal::ExceedsHold(short) => build.shortages(short, "held", "the hold promises less"),
            Refusal::UnknownSku(skus) => build.unknown(skus),
            Refusal::VersionMismatch(versions) => build.versions(versions),
            Refusal::HoldOver { state, deadline_ms } => build.hold_over(*state, *deadline_ms),
            Refusal::UnknownHold => build.plain(
                "no such hold: give the hold_id that Reserve answered; records of ended holds are kept for a while only"
                    .to_owned(),
                [],
            ),
            Refusal::Overflow(sku) => build.plain(
                format!("the count of {sku} would leave the range that is kept exactly: check the quantity"),
                [("sku", sku.as_str())],
            ),
            Refusal::Conflict { field } => build.plain(
                format!(
                    "the idempotency key was used for another request, {field} differs: \
                     use a new key for a new request, and repeat the old one unchanged"
                ),
                [("differingField", *field)],
            ),
            Refusal::KeyBurnt => build.plain(
                "ResolveKey burnt this key before it was used: send the request with a new key".to_owned(),
                [],
            ),
        }
    }
}

struct Build {
    code: Code,
    reason: &'static str,
    replayed: bool,
    details: Details,
}

impl Build {
    fn plain<'a>(
        mut self,
        message: String,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Problem {
        let replayed = self.replayed.then_some(("replayed", "true"));
        self.details.info(self.reason, metadata.into_iter().chain(replayed));
        Problem {
            code: self.code,
            reason: self.reason,
            message,
            details: self.details,
            replayed: self.replayed,
        }
    }

    fn shortages(mut self, short: &[Shortage], there: &'static str, what: &str) -> Problem {
        let mut list = self.details.preconditions();
        for Shortage { sku, requested, available } in short {
            list.precondition(
                self.reason,
                sku.as_str(),
                format_args!("requested {requested}, {there} {available}"),
            );
        }
        let omitted = omitted_text(list.end());
        let Some(Shortage { sku, requested, available }) = short.first() else {
            return self.plain(what.to_owned(), []);
        };
        let message = match short.len() - 1 {
            0 => format!("{what}: {sku}: requested {requested}, {there} {available}"),
            more => format!(
                "{what}: {sku}: requested {requested}, {there} {available}; and {more} more, see the details"
            ),
        };
        let (requested, available) = (requested.to_string(), available.to_string());
        let first = [("sku", sku.as_str()), ("requested", requested.as_str()), (there, available.as_str())];
        self.plain(message, first.into_iter().chain(omitted_pair(&omitted)))
    }

    fn unknown(mut self, skus: &[Sku]) -> Problem {
        let mut list = self.details.preconditions();
        for sku in skus {
            list.precondition(self.reason, sku.as_str(), format_args!("no stock was ever set for it"));
        }
        let omitted = omitted_text(list.end());
        let names = skus.first().map(|sku| ("sku", sku.as_str()));
        let message = match skus {
            [] => "unknown sku: set its stock first".to_owned(),
            [sku] => format!("unknown sku {sku}: set its stock first (SetStock)"),
            [sku, more @ ..] => {
                format!("unknown sku {sku}, and {} more, see the details: set their stock first", more.len())
            }
        };
        self.plain(message, names.into_iter().chain(omitted_pair(&omitted)))
    }

    fn versions(mut self, versions: &[Versions]) -> Problem {
        let mut list = self.details.preconditions();
        for Versions { sku, expected, current } in versions {
            list.precondition(
                self.reason,
                sku.as_str(),
                format_args!("expected version {expected}, current {current}"),
            );
        }
        let omitted = omitted_text(list.end());
        let Some(Versions { sku, expected, current }) = versions.first() else {
            return self.plain("a version differs: read again and decide anew".to_owned(), []);
        };
        let message = format!(
            "{sku} is at version {current}, not {expected}: read it again, decide anew, and use a new key"
        );
        let (expected, current) = (expected.to_string(), current.to_string());
        let first = [
            ("sku", sku.as_str()),
            ("expectedVersion", expected.as_str()),
            ("currentVersion", current.as_str()),
        ];
        self.plain(message, first.into_iter().chain(omitted_pair(&omitted)))
    }

    fn hold_over(self, state: HoldState, deadline_ms: i64) -> Problem {
        let message = match state {
            HoldState::Held | HoldState::Expired => {
                "the hold's time is over: reserve again, or commit with EXPIRED_POLICY_REACQUIRE"
            }
            HoldState::Committed => {
                "the hold is committed already: its units are sold; to take them back, restock"
            }
            HoldState::Released => "the hold is released already: reserve again, with a new key",
        };
        // A tombstone never had a deadline.
        let expire_time = jiff::Timestamp::from_millisecond(deadline_ms)
            .ok()
            .filter(|_| deadline_ms != 0)
            .map(|at| at.to_string());
        self.plain(message.to_owned(), expire_time.as_deref().map(|at| ("expireTime", at)))
    }
}

/// How many violations did not fit into the details.
fn omitted_pair(text: &Option<String>) -> Option<(&str, &str)> {
    text.as_deref().map(|count| ("omitted", count))
}

fn omitted_text(omitted: usize) -> Option<String> {
    (omitted > 0).then(|| omitted.to_string())
}

impl From<StoreError> for Problem {
    /// The status of a fault; what only a person can mend is logged here, once, with its source.
    fn from(error: StoreError) -> Self {
        let (code, reason, retry) = match &error {
            StoreError::Unavailable { .. } => (Code::Unavailable, "STORE_UNAVAILABLE", Some(RETRY_LATER)),
            StoreError::NotReady { .. } => (Code::Unavailable, "STORE_NOT_READY", Some(RETRY_LATER)),
            // Those in the way go on within milliseconds, or somebody asks their homes again.
            StoreError::Unsettled { .. } => (Code::Unavailable, "STORE_NOT_READY", Some(RETRY_SOON)),
            StoreError::NotFollowed { .. } => (Code::Unavailable, OUTCOME_UNKNOWN, Some(RETRY_SOON)),
            StoreError::Draining => (Code::Unavailable, "DRAINING", Some(RETRY_SOON)),
            StoreError::Disconnected { .. } => (Code::Unavailable, OUTCOME_UNKNOWN, Some(RETRY_SOON)),
            StoreError::Unconfirmed { .. } => (Code::Unavailable, OUTCOME_UNKNOWN, Some(RETRY_SOON)),
            StoreError::NoAnswer { .. } => (Code::DeadlineExceeded, OUTCOME_UNKNOWN, None),
            StoreError::DurabilityUnavailable { .. } => {
                (Code::FailedPrecondition, "DURABILITY_UNAVAILABLE", None)
            }
            StoreError::Overloaded { .. } => (Code::ResourceExhausted, "OVERLOADED", Some(RETRY_SOON)),
            StoreError::OutOfMemory => (Code::ResourceExhausted, "OUT_OF_MEMORY", Some(RETRY_LATER)),
            StoreError::Broken { .. } => (Code::DataLoss, "BROKEN_RECORD", None),
            StoreError::WrongType { .. } => (Code::Internal, "WRONG_TYPE", None),
            StoreError::Corrupt { .. } => (Code::Internal, "CORRUPT_ANSWER", None),
            StoreError::Refused { .. } => (Code::Internal, "REDIS_REFUSED", None),
        };
        if matches!(code, Code::DataLoss | Code::Internal) {
            tracing::error!(reason, error = &error as &dyn std::error::Error, "the store needs a person");
        }
        let mut details = Details::default();
        match &error {
            StoreError::Broken { what } => details.info(reason, [("record", what.as_str())]),
            StoreError::NotReady { code } => details.info(reason, [("redisCode", code.as_str())]),
            StoreError::Refused { source } => {
                details.info(reason, source.code().map(|code| ("redisCode", code)))
            }
            StoreError::DurabilityUnavailable { level, .. } => details.info(reason, [("level", *level)]),
            _ => details.info(reason, []),
        }
        if let Some(after) = retry {
            details.retry(after);
        }
        let message = format!("{error}{}", remedy(&error));
        Self { code, reason, message, details, replayed: false }
    }
}

const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
const MAYBE_DONE: &str = "; it may have been carried out: repeat it unchanged, with the same idempotency key";

fn remedy(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable { .. } | StoreError::NotReady { .. } | StoreError::Unsettled { .. } => {
            ": repeat with the same key in a moment"
        }
        StoreError::Disconnected { .. } | StoreError::NoAnswer { .. } => MAYBE_DONE,
        StoreError::Unconfirmed { .. } | StoreError::NotFollowed { .. } => {
            ": repeat it unchanged, with the same idempotency key"
        }
        StoreError::DurabilityUnavailable { .. } => "; nothing was changed: or ask for another level",
        StoreError::OutOfMemory => ": raise maxmemory or free some; releases still work",
        StoreError::Overloaded { .. } => ": repeat with the same key after the delay given",
        StoreError::Draining => ": repeat with the same key, another gateway will answer",
        StoreError::Broken { .. } => ": run VerifyStock with repair for it",
        StoreError::WrongType { .. } => ": nothing else may write under the gateway's namespace",
        StoreError::Corrupt { .. } => ": check that all gateways run the same version",
        StoreError::Refused { .. } => ": check the permissions of the gateway's redis user, see its log",
    }
}

/// The deadline passed while a mutation was under way.
pub fn outcome_unknown() -> Problem {
    let message = format!("the deadline passed before the answer{MAYBE_DONE}");
    Problem::new(Code::DeadlineExceeded, OUTCOME_UNKNOWN, message)
}

/// The deadline passed and nothing can have changed: it was over at arrival, or the call only reads.
pub fn deadline_expired() -> Problem {
    let message = "the deadline passed before the answer; nothing was changed: allow more time".to_owned();
    Problem::new(Code::DeadlineExceeded, "DEADLINE_EXPIRED", message)
}

/// The deadline of a stream of operations passed; what it had read is answered.
pub fn stream_expired() -> Problem {
    let message = "the deadline of the stream passed; what has no answer was not carried out: repeat it on a new stream"
        .to_owned();
    Problem::new(Code::DeadlineExceeded, "DEADLINE_EXPIRED", message)
}

/// The connection of a stream is old: its caller is to come back on another, which may lead to another gateway.
pub fn connection_aged() -> Problem {
    let reason = "CONNECTION_AGED";
    let mut details = Details::default();
    details.info(reason, []);
    details.retry(Duration::ZERO);
    let message =
        "this connection is old and ends, so that callers spread over all gateways: go on over a new one, a watch \
         with its resume token, operations without an answer with the same keys"
            .to_owned();
    Problem { code: Code::Unavailable, reason, message, details, replayed: false }
}

/// A channel that is not configured here; the message says which ones are.
pub fn unknown_channel<'a>(
    asked: &ChannelId,
    configured: impl ExactSizeIterator<Item = &'a ChannelId>,
) -> Problem {
    let more = configured.len().saturating_sub(CHANNELS_NAMED);
    let named: Vec<&str> = configured.take(CHANNELS_NAMED).map(ChannelId::as_str).collect();
    let message = match (named.is_empty(), more) {
        (true, _) => format!("no channel {asked}: none is configured on this gateway"),
        (false, 0) => format!("no channel {asked}: configured are {}", named.join(", ")),
        (false, more) => format!("no channel {asked}: configured are {} and {more} more", named.join(", ")),
    };
    let mut details = Details::default();
    let reason = "UNKNOWN_CHANNEL";
    details.info(reason, [("channel", asked.as_str())]);
    Problem { code: Code::NotFound, reason, message, details, replayed: false }
}

/// No watch more: each costs memory and reads of its own.
pub fn too_many_watches(watches_max: usize) -> Problem {
    let limit = watches_max.to_string();
    let mut details = Details::default();
    let reason = "OVERLOADED";
    details.info(reason, [("watchesMax", limit.as_str())]);
    details.retry(RETRY_LATER);
    let message =
        format!("{limit} watches run on this gateway already: name more skus in one, or ask another gateway");
    Problem { code: Code::ResourceExhausted, reason, message, details, replayed: false }
}

/// A message over the limit, in either direction.
pub fn message_too_large(message_bytes_max: usize) -> Problem {
    let limit = message_bytes_max.to_string();
    let mut details = Details::default();
    let reason = "MESSAGE_TOO_LARGE";
    details.info(reason, [("limitBytes", limit.as_str())]);
    let message = format!("a message is larger than {limit} bytes: put less into one message");
    Problem { code: Code::ResourceExhausted, reason, message, details, replayed: false }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
