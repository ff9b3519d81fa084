//! A gRPC status as help: code, message, reason, every violation, and what to do next.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Says what the status means. `repeat` are the flags that repeat the very same call.
pub(super) fn explain(status: &Status, repeat: Option<&str>) -> String {
    let details = status.get_error_details();
    let mut text = format!("{}: {}", code_name(status.code()), printable(status.message()));
    for line in detail_lines(&details) {
        text.push_str("\n  ");
        text.push_str(&printable(&line));
    }
    if let Some(advice) = advice(status.code(), repeat) {
        text.push_str("\n  ");
        text.push_str(&advice);
    }
    text
}

/// The text with control characters shown as replacement characters, so that no answer can drive the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn detail_lines(details: &ErrorDetails) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(info) = details.error_info() {
        let mut line = format!("reason: {}", info.reason);
        let metadata: BTreeMap<_, _> = info.metadata.iter().collect();
        for (name, value) in metadata {
            // Writing to a string cannot fail.
            let _ = write!(line, ", {name}={value}");
        }
        lines.push(line);
    }
    if let Some(request) = details.bad_request() {
        lines.extend(
            request.field_violations.iter().map(|found| format!("{}: {}", found.field, found.description)),
        );
    }
    if let Some(failure) = details.precondition_failure() {
        lines.extend(
            failure.violations.iter().map(|found| format!("{}: {}", found.subject, found.description)),
        );
    }
    if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
        lines.push(format!("try again in {}", humantime::format_duration(to_ms(delay))));
    }
    lines
}

fn advice(code: Code, repeat: Option<&str>) -> Option<String> {
    let flags = repeat?;
    match code {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal => {
            Some(format!("outcome unknown: repeat the very same call with {flags}"))
        }
        Code::ResourceExhausted => {
            Some(format!("nothing was changed: repeat the very same call with {flags}"))
        }
        // A malformed request is not remembered, so its key says nothing.
        Code::InvalidArgument => None,
        _ => Some(format!("asked with {flags}")),
    }
}

fn to_ms(delay: Duration) -> Duration {
    Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_names_every_short_line_and_the_key() {
        let mut details = ErrorDetails::with_error_info(
            "INSUFFICIENT_STOCK",
            "stockgate",
            [("replayed".to_owned(), "true".to_owned())],
        );
        details
            .add_precondition_failure_violation("INSUFFICIENT_STOCK", "A", "requested 3, available 1")
            .add_precondition_failure_violation("INSUFFICIENT_STOCK", "B", "requested 2, available 0");
        let status = Status::with_error_details(Code::FailedPrecondition, "not enough stock", details);
        assert_eq!(
            explain(&status, Some("--key k1")),
            "FAILED_PRECONDITION: not enough stock\n  reason: INSUFFICIENT_STOCK, replayed=true\n  \
             A: requested 3, available 1\n  B: requested 2, available 0\n  asked with --key k1"
        );
    }

    #[test]
    fn bad_request_names_every_field() {
        let mut details = ErrorDetails::new();
        details
            .add_bad_request_violation("lines[0].sku", "must not be empty")
            .add_bad_request_violation("ttl", "must be at most 24h");
        let status = Status::with_error_details(Code::InvalidArgument, "2 fields are wrong", details);
        assert_eq!(
            explain(&status, Some("--key k1")),
            "INVALID_ARGUMENT: 2 fields are wrong\n  lines[0].sku: must not be empty\n  ttl: must be at most 24h"
        );
    }

    #[test]
    fn unknown_outcome_says_how_to_repeat() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(250)));
        let status = Status::with_error_details(Code::Unavailable, "redis is not reachable", details);
        assert_eq!(
            explain(&status, Some("--key k1")),
            "UNAVAILABLE: redis is not reachable\n  try again in 250ms\n  \
             outcome unknown: repeat the very same call with --key k1"
        );
        assert!(!explain(&status, None).contains("repeat"), "a read has nothing to repeat");
    }

    #[test]
    fn answers_cannot_drive_the_terminal() {
        assert_eq!(explain(&Status::not_found("\u{1b}[2Jgone"), None), "NOT_FOUND: \u{fffd}[2Jgone");
    }
}
