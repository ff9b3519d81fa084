//! The rows of the table: code, reason, metadata.

use redis::{RedisError, ServerErrorKind};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::*;
use crate::store::Lack;

const EXPIRE_TIME: Metadata = &[("expireTime", "2025-11-21T04:40:00.123Z")];

type Metadata = &'static [(&'static str, &'static str)];
type RefusalRow = (Refusal, Code, &'static str, Metadata);
type FaultRow = (StoreError, Code, &'static str, Metadata, Option<u64>);

fn sku(text: &str) -> Sku {
    Sku::parse(text).expect("legal")
}

#[track_caller]
fn check(problem: Problem, code: Code, reason: &str, metadata: &[(&str, &str)]) -> Status {
    assert_eq!(problem.reason(), reason);
    let status = Status::from(problem);
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.get_details_error_info().expect("error info");
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "stockgate"));
    let mut found: Vec<_> = info.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    found.sort_unstable();
    assert_eq!(found, metadata);
    let first = status.message().chars().next().expect("a message");
    assert!(
        !first.is_ascii_uppercase() || status.message().starts_with("ResolveKey"),
        "{}",
        status.message()
    );
    status
}

fn short(skus: &[&str]) -> Vec<Shortage> {
    skus.iter().map(|text| Shortage { sku: sku(text), requested: 3, available: 1 }).collect()
}

#[test]
fn refusals() {
    use Code::{Aborted, AlreadyExists, FailedPrecondition, NotFound};
    let over = |state, deadline_ms| Refusal::HoldOver { state, deadline_ms };
    let versions = vec![Versions { sku: sku("a"), expected: 3, current: 5 }];
    let at_ms = 1_763_700_000_123;
    let rows: [RefusalRow; 12] = [
        (
            Refusal::Insufficient(short(&["a"])),
            FailedPrecondition,
            "INSUFFICIENT_STOCK",
            &[("available", "1"), ("requested", "3"), ("sku", "a")],
        ),
        (
            Refusal::ExceedsHold(short(&["a"])),
            FailedPrecondition,
            "HOLD_QUANTITY_EXCEEDED",
            &[("held", "1"), ("requested", "3"), ("sku", "a")],
        ),
        (Refusal::UnknownSku(vec![sku("a"), sku("b")]), NotFound, "UNKNOWN_SKU", &[("sku", "a")]),
        (
            Refusal::VersionMismatch(versions),
            Aborted,
            "VERSION_MISMATCH",
            &[("currentVersion", "5"), ("expectedVersion", "3"), ("sku", "a")],
        ),
        (Refusal::UnknownHold, NotFound, "UNKNOWN_HOLD", &[]),
        (over(HoldState::Expired, at_ms), FailedPrecondition, "HOLD_EXPIRED", EXPIRE_TIME),
        (over(HoldState::Held, at_ms), FailedPrecondition, "HOLD_EXPIRED", EXPIRE_TIME),
        (over(HoldState::Committed, at_ms), FailedPrecondition, "HOLD_COMMITTED", EXPIRE_TIME),
        (over(HoldState::Released, 0), FailedPrecondition, "HOLD_RELEASED", &[]),
        (Refusal::Overflow(sku("a")), FailedPrecondition, "COUNT_OVERFLOW", &[("sku", "a")]),
        (
            Refusal::Conflict { field: "lines" },
            AlreadyExists,
            "IDEMPOTENCY_CONFLICT",
            &[("differingField", "lines")],
        ),
        (Refusal::KeyBurnt, FailedPrecondition, "KEY_BURNT", &[]),
    ];
    for (refusal, code, reason, metadata) in rows {
        assert_eq!(refusal_reason(&refusal), reason);
        check(Problem::refused(&refusal, false), code, reason, metadata);
        let mut replayed = metadata.to_vec();
        replayed.push(("replayed", "true"));
        replayed.sort_unstable();
        check(Problem::refused(&refusal, true), code, reason, &replayed);
    }
}

#[test]
fn every_short_line_is_a_precondition() {
    let problem = Problem::refused(&Refusal::Insufficient(short(&["a", "b"])), false);
    let status = Status::from(problem);
    assert_eq!(
        status.message(),
        "not enough stock: a: requested 3, available 1; and 1 more, see the details"
    );
    let violations = status.get_details_precondition_failure().expect("failure").violations;
    let rows: Vec<_> = violations
        .iter()
        .map(|one| (one.r#type.as_str(), one.subject.as_str(), one.description.as_str()))
        .collect();
    let said = "requested 3, available 1";
    assert_eq!(rows, [("INSUFFICIENT_STOCK", "a", said), ("INSUFFICIENT_STOCK", "b", said)]);
}

#[test]
fn lines_that_do_not_fit_are_counted() {
    let long = "x".repeat(128);
    let many = vec![Shortage { sku: sku(&long), requested: i64::MAX, available: i64::MIN }; 100];
    let status = Status::from(Problem::refused(&Refusal::Insufficient(many), true));
    assert!(status.details().len() <= 4_096, "{}", status.details().len());
    let listed = status.get_details_precondition_failure().expect("failure").violations.len();
    let omitted = status.get_details_error_info().expect("error info").metadata["omitted"].parse::<usize>();
    assert_eq!(omitted.map(|count| count + listed), Ok(100));
}

#[test]
fn faults_of_the_store() {
    use Code::{DataLoss, DeadlineExceeded, FailedPrecondition, Internal, ResourceExhausted, Unavailable};
    let source = || RedisError::from((ServerErrorKind::NoPerm.into(), "no permission"));
    let detail = || "sg:{p0}:stock".to_owned();
    let rows: [FaultRow; 16] = [
        (StoreError::Unavailable { source: None }, Unavailable, "STORE_UNAVAILABLE", &[], Some(1_000)),
        (
            StoreError::Unavailable { source: Some(source()) },
            Unavailable,
            "STORE_UNAVAILABLE",
            &[],
            Some(1_000),
        ),
        (
            StoreError::NotReady { code: "LOADING".to_owned() },
            Unavailable,
            "STORE_NOT_READY",
            &[("redisCode", "LOADING")],
            Some(1_000),
        ),
        (StoreError::Unsettled { what: "a cart" }, Unavailable, "STORE_NOT_READY", &[], Some(100)),
        (
            StoreError::NotFollowed { source: Box::new(StoreError::Draining) },
            Unavailable,
            "OUTCOME_UNKNOWN",
            &[],
            Some(100),
        ),
        (StoreError::Draining, Unavailable, "DRAINING", &[], Some(100)),
        (StoreError::Disconnected { source: source() }, Unavailable, "OUTCOME_UNKNOWN", &[], Some(100)),
        (StoreError::Unconfirmed { source: source() }, Unavailable, "OUTCOME_UNKNOWN", &[], Some(100)),
        (
            StoreError::DurabilityUnavailable { level: "fsync", lack: Lack::NoAppendOnly },
            FailedPrecondition,
            "DURABILITY_UNAVAILABLE",
            &[("level", "fsync")],
            None,
        ),
        (StoreError::NoAnswer { waited_ms: 5 }, DeadlineExceeded, "OUTCOME_UNKNOWN", &[], None),
        (StoreError::Overloaded { queued: 9 }, ResourceExhausted, "OVERLOADED", &[], Some(100)),
        (StoreError::OutOfMemory, ResourceExhausted, "OUT_OF_MEMORY", &[], Some(1_000)),
        (StoreError::Broken { what: "a".to_owned() }, DataLoss, "BROKEN_RECORD", &[("record", "a")], None),
        (StoreError::WrongType { detail: detail() }, Internal, "WRONG_TYPE", &[], None),
        (StoreError::Corrupt { script: "transact", detail: detail() }, Internal, "CORRUPT_ANSWER", &[], None),
        (
            StoreError::Refused { source: source() },
            Internal,
            "REDIS_REFUSED",
            &[("redisCode", "NOPERM")],
            None,
        ),
    ];
    for (error, code, reason, metadata, retry_ms) in rows {
        let status = check(Problem::from(error), code, reason, metadata);
        let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert_eq!(retry, retry_ms.map(Duration::from_millis), "{reason}");
    }
    let broken = Problem::from(StoreError::Broken { what: "SKU-1".to_owned() });
    assert_eq!(broken.message(), "the stored record of SKU-1 is broken: run VerifyStock with repair for it");
}

#[test]
fn answers_of_the_layers() {
    let channels = ["web", "app"].map(|name| ChannelId::parse(name).expect("legal"));
    let asked = ChannelId::parse("wbe").expect("legal");
    let status = check(
        unknown_channel(&asked, channels.iter()),
        Code::NotFound,
        "UNKNOWN_CHANNEL",
        &[("channel", "wbe")],
    );
    assert_eq!(status.message(), "no channel wbe: configured are web, app");
    let many = vec![asked.clone(); 18];
    assert!(unknown_channel(&asked, many.iter()).message().ends_with(", wbe and 2 more"));
    assert!(unknown_channel(&asked, [].iter()).message().contains("none is configured"));
    check(outcome_unknown(), Code::DeadlineExceeded, "OUTCOME_UNKNOWN", &[]);
    check(deadline_expired(), Code::DeadlineExceeded, "DEADLINE_EXPIRED", &[]);
    let aged = check(connection_aged(), Code::Unavailable, "CONNECTION_AGED", &[]);
    assert!(aged.get_details_retry_info().is_some());
    check(message_too_large(7), Code::ResourceExhausted, "MESSAGE_TOO_LARGE", &[("limitBytes", "7")]);
}
