//! Every field of every request, given wrong: which path is named, and what is said about it.

use std::time::Duration;

use prost_types::{Duration as Ttl, Timestamp};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{domain::ClientId, proto};

use super::*;

const LIMITS: ContractLimits =
    ContractLimits { ttl_default: Duration::from_secs(600), ttl_max: Duration::from_secs(86_400) };
const HOLD: &str = "h-0-1-00112233445566778899aabbccddeeff-a";

fn line(sku: &str, quantity: i64) -> proto::Line {
    proto::Line { sku: sku.to_owned(), quantity, expected_version: None }
}

fn part(sku: &str, quantity: i64) -> proto::Quantity {
    proto::Quantity { sku: sku.to_owned(), quantity }
}

fn good_reserve() -> proto::ReserveRequest {
    proto::ReserveRequest {
        idempotency_key: "k 1".to_owned(),
        lines: vec![line("b", 1), line("a", 1_000_000_000)],
        channel: "web".to_owned(),
        order_ref: "order 1".to_owned(),
        reason: "sold".to_owned(),
        actor: "ann".to_owned(),
        ttl: Some(Ttl { seconds: 1, nanos: 0 }),
    }
}

fn good_commit() -> proto::CommitRequest {
    proto::CommitRequest {
        hold_id: HOLD.to_owned(),
        idempotency_key: "k".to_owned(),
        lines: vec![part("a", 1)],
        keep_open: true,
        expired_policy: 2,
        reason: String::new(),
        actor: String::new(),
    }
}

fn good_set() -> proto::SetStockRequest {
    proto::SetStockRequest {
        idempotency_key: "k".to_owned(),
        sku: "a".to_owned(),
        quantity: 0,
        condition: Some(proto::set_stock_request::Condition::ExpectedVersion(0)),
        as_of_event: "0-1-2-3".to_owned(),
        channel: "web".to_owned(),
        reason: String::new(),
        actor: String::new(),
    }
}

fn good_row() -> proto::ImportStockRequest {
    proto::ImportStockRequest {
        idempotency_key: "k".to_owned(),
        sku: "a".to_owned(),
        quantity: 1_000_000_000,
        condition: Some(proto::import_stock_request::Condition::Force(())),
        reason: String::new(),
        actor: String::new(),
    }
}

fn good_adjust() -> proto::AdjustStockRequest {
    proto::AdjustStockRequest {
        idempotency_key: "k".to_owned(),
        sku: "a".to_owned(),
        delta: -1,
        expected_version: Some(0),
        ..Default::default()
    }
}

/// Expects exactly these violations: a field's path, and a part of what is said about it.
#[track_caller]
fn refused<T>(result: Result<T, Problem>, expected: &[(&str, &str)]) {
    let Err(problem) = result else { panic!("was accepted; expected {expected:?}") };
    let status = Status::from(problem);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.get_details_error_info().expect("error info").reason, "MALFORMED_REQUEST");
    let violations = status.get_details_bad_request().expect("bad request").field_violations;
    let named: Vec<_> = violations.iter().map(|one| (one.field.as_str(), one.description.as_str())).collect();
    assert_eq!(named.len(), expected.len(), "{named:?}");
    for (field, part) in expected {
        let hit = named.iter().any(|(path, text)| path == field && text.contains(part));
        assert!(hit, "{field}: {part} is not in {named:?}");
    }
    assert!(status.message().starts_with(named[0].0), "{}", status.message());
}

macro_rules! check {
    ($good:ident, $convert:expr; $($field:ident = $value:expr => $path:literal, $said:literal;)+) => {
        $({
            let mut request = $good();
            request.$field = $value;
            refused($convert(request), &[($path, $said)]);
        })+
    };
}

fn long(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[test]
fn good_requests_are_accepted() {
    let client = ClientId::anonymous;
    assert!(reserve(good_reserve(), client(), &LIMITS).is_ok());
    assert!(commit(good_commit(), client()).is_ok());
    assert!(set_stock(good_set(), client()).expect("accepted").1.is_some());
    assert!(import_row(good_row(), client()).is_ok());
    assert!(adjust_stock(good_adjust(), client()).is_ok());
    let defaulted = reserve(proto::ReserveRequest { ttl: None, ..good_reserve() }, client(), &LIMITS);
    let crate::domain::Action::Reserve { ttl, .. } = defaulted.expect("accepted").action else {
        panic!("another action")
    };
    assert_eq!(ttl.ms(), 600_000);
}

#[test]
fn cause_fields_of_every_request() {
    let convert = |request| reserve(request, ClientId::anonymous(), &LIMITS);
    check! { good_reserve, convert;
        idempotency_key = String::new() => "idempotency_key", "must not be empty: choose";
        idempotency_key = long(129) => "idempotency_key", "at most 128 bytes, is 129";
        idempotency_key = "k\n".to_owned() => "idempotency_key", "must be printable ASCII";
        idempotency_key = "schlüssel".to_owned() => "idempotency_key", "must be printable ASCII";
        channel = "my shop".to_owned() => "channel", "letters, digits";
        channel = long(33) => "channel", "at most 32 bytes";
        order_ref = long(257) => "order_ref", "at most 256 bytes";
        order_ref = "a\u{0}".to_owned() => "order_ref", "without control characters";
        reason = long(257) => "reason", "at most 256 bytes";
        reason = "a\tb".to_owned() => "reason", "without control characters";
        actor = long(129) => "actor", "at most 128 bytes";
        actor = "\u{7f}".to_owned() => "actor", "without control characters";
    }
    let client = ClientId::anonymous;
    let empty = ("idempotency_key", "must not be empty");
    let lines = vec![line("a", 1)];
    refused(
        decrement(proto::DecrementRequest { lines: lines.clone(), ..Default::default() }, client()),
        &[empty],
    );
    refused(restock(proto::RestockRequest { lines, ..Default::default() }, client()), &[empty]);
    let release_of = proto::ReleaseRequest { hold_id: HOLD.to_owned(), ..Default::default() };
    refused(release(release_of, client()), &[empty]);
    let extend_of = proto::ExtendHoldRequest { hold_id: HOLD.to_owned(), ..Default::default() };
    refused(extend_hold(extend_of, client(), &LIMITS), &[empty]);
    for (reason, actor, said) in [(long(257), String::new(), "reason"), (String::new(), long(129), "actor")] {
        let release_of = proto::ReleaseRequest {
            hold_id: HOLD.to_owned(),
            idempotency_key: "k".to_owned(),
            reason: reason.clone(),
            actor: actor.clone(),
            ..Default::default()
        };
        refused(release(release_of, client()), &[(said, "at most")]);
        let commit_of =
            proto::CommitRequest { reason: reason.clone(), actor: actor.clone(), ..good_commit() };
        refused(commit(commit_of, client()), &[(said, "at most")]);
        let set_of = proto::SetStockRequest { reason: reason.clone(), actor: actor.clone(), ..good_set() };
        refused(set_stock(set_of, client()), &[(said, "at most")]);
        let adjust_of =
            proto::AdjustStockRequest { reason: reason.clone(), actor: actor.clone(), ..good_adjust() };
        refused(adjust_stock(adjust_of, client()), &[(said, "at most")]);
        refused(
            import_row(proto::ImportStockRequest { reason, actor, ..good_row() }, client()),
            &[(said, "at most")],
        );
    }
}

#[test]
fn lines_of_a_sale() {
    let convert = |request| reserve(request, ClientId::anonymous(), &LIMITS);
    let versioned = proto::Line { expected_version: Some(-1), ..line("a", 1) };
    check! { good_reserve, convert;
        lines = vec![] => "lines", "at least one line";
        lines = (0..101).map(|n| line(&format!("s{n}"), 1)).collect() => "lines", "at most 100 lines, has 101";
        lines = vec![line("a", 1), line("", 1)] => "lines[1].sku", "must not be empty";
        lines = vec![line(&long(129), 1)] => "lines[0].sku", "at most 128 bytes";
        lines = vec![line("a b", 1)] => "lines[0].sku", "without space";
        lines = vec![line("a", 0)] => "lines[0].quantity", "must be 1 to 1000000000, is 0";
        lines = vec![line("a", -1)] => "lines[0].quantity", "is -1";
        lines = vec![line("b", 1), line("a", 1_000_000_001)] => "lines[1].quantity", "is 1000000001";
        lines = vec![versioned] => "lines[0].expected_version", "must be 0 or more, is -1";
        lines = vec![line("a", 1), line("b", 1), line("a", 2)] => "lines[2].sku", "repeats lines[0].sku";
    }
}

#[test]
fn ttl_of_a_hold() {
    let convert = |request| reserve(request, ClientId::anonymous(), &LIMITS);
    check! { good_reserve, convert;
        ttl = Some(Ttl { seconds: 0, nanos: 0 }) => "ttl", "1 ms to 86400000 ms";
        ttl = Some(Ttl { seconds: -1, nanos: 0 }) => "ttl", "1 ms to 86400000 ms";
        ttl = Some(Ttl { seconds: 0, nanos: -1_000_000 }) => "ttl", "1 ms to 86400000 ms";
        ttl = Some(Ttl { seconds: 86_400, nanos: 1_000_000 }) => "ttl", "1 ms to 86400000 ms";
        ttl = Some(Ttl { seconds: i64::MAX, nanos: 0 }) => "ttl", "1 ms to 86400000 ms";
        ttl = Some(Ttl { seconds: i64::MIN, nanos: 0 }) => "ttl", "1 ms to 86400000 ms";
        ttl = Some(Ttl { seconds: 0, nanos: 500_000 }) => "ttl", "whole milliseconds";
        ttl = Some(Ttl { seconds: 1, nanos: -1_000_000 }) => "ttl", "of one sign";
        ttl = Some(Ttl { seconds: 0, nanos: 1_000_000_000 }) => "ttl", "within one second";
        ttl = Some(Ttl { seconds: 0, nanos: i32::MIN }) => "ttl", "within one second";
    }
    let longest = proto::ReserveRequest { ttl: Some(Ttl { seconds: 86_400, nanos: 0 }), ..good_reserve() };
    assert!(convert(longest).is_ok());
    let extend = proto::ExtendHoldRequest {
        hold_id: HOLD.to_owned(),
        idempotency_key: "k".to_owned(),
        ttl: Some(Ttl::default()),
    };
    refused(extend_hold(extend, ClientId::anonymous(), &LIMITS), &[("ttl", "1 ms to")]);
}

#[test]
fn requests_on_holds() {
    let convert = |request| commit(request, ClientId::anonymous());
    check! { good_commit, convert;
        hold_id = String::new() => "hold_id", "must not be empty";
        hold_id = long(1_025) => "hold_id", "at most 1024 bytes";
        hold_id = "h 1".to_owned() => "hold_id", "without space";
        hold_id = "hold-1".to_owned() => "hold_id", "that Reserve answered";
        lines = (0..101).map(|n| part(&format!("s{n}"), 1)).collect() => "lines", "has 101";
        lines = vec![part("", 1)] => "lines[0].sku", "must not be empty";
        lines = vec![part("a", 0)] => "lines[0].quantity", "is 0";
        lines = vec![part("a", 1), part("a", 1)] => "lines[1].sku", "repeats lines[0].sku";
        expired_policy = 9 => "expired_policy", "EXPIRED_POLICY_REACQUIRE (2)";
        expired_policy = -1 => "expired_policy", "is -1";
    }
    let client = ClientId::anonymous;
    let shape = ("hold_id", "that Reserve answered");
    let key = || "k".to_owned();
    let hold_id = || "h-1".to_owned();
    let lines = vec![part("a", -5)];
    let release_of =
        proto::ReleaseRequest { hold_id: hold_id(), idempotency_key: key(), lines, ..Default::default() };
    refused(release(release_of, client()), &[shape, ("lines[0].quantity", "is -5")]);
    let extend_of = proto::ExtendHoldRequest { hold_id: hold_id(), idempotency_key: key(), ttl: None };
    refused(extend_hold(extend_of, client(), &LIMITS), &[shape]);
    refused(get_hold(&proto::GetHoldRequest { hold_id: hold_id() }), &[shape]);
    let all = commit(proto::CommitRequest { lines: vec![], ..good_commit() }, client());
    assert!(all.is_ok(), "no lines mean everything");
}

#[test]
fn counts() {
    let set = |request| set_stock(request, ClientId::anonymous());
    check! { good_set, set;
        idempotency_key = String::new() => "idempotency_key", "must not be empty";
        sku = String::new() => "sku", "must not be empty";
        sku = "a b".to_owned() => "sku", "without space";
        quantity = -1 => "quantity", "must be 0 to 1000000000, is -1";
        quantity = 1_000_000_001 => "quantity", "is 1000000001";
        condition = None => "condition", "must be given: expected_version";
        condition = Some(proto::set_stock_request::Condition::ExpectedVersion(-1)) => "expected_version", "is -1";
        as_of_event = "yesterday".to_owned() => "as_of_event", "as ListEvents shows it";
        channel = "a b".to_owned() => "channel", "letters, digits";
    }
    let import = |request| import_row(request, ClientId::anonymous());
    check! { good_row, import;
        idempotency_key = String::new() => "idempotency_key", "must not be empty";
        sku = long(129) => "sku", "at most 128 bytes";
        quantity = -1 => "quantity", "must be 0 to 1000000000, is -1";
        condition = None => "condition", "must be given";
        condition = Some(proto::import_stock_request::Condition::ExpectedVersion(-7)) => "expected_version", "is -7";
    }
    let adjust = |request| adjust_stock(request, ClientId::anonymous());
    check! { good_adjust, adjust;
        idempotency_key = String::new() => "idempotency_key", "must not be empty";
        sku = String::new() => "sku", "must not be empty";
        delta = 0 => "delta", "and not 0, is 0";
        delta = 1_000_000_001 => "delta", "is 1000000001";
        delta = i64::MIN => "delta", "must be -1000000000 to 1000000000";
        expected_version = Some(-1) => "expected_version", "is -1";
        channel = long(33) => "channel", "at most 32 bytes";
    }
}

#[test]
fn queries() {
    let sku = || "a b".to_owned();
    refused(
        get_stock(&proto::GetStockRequest { sku: sku(), max_staleness: None }),
        &[("sku", "without space")],
    );
    refused(get_stock(&proto::GetStockRequest::default()), &[("sku", "must not be empty")]);
    refused(get_sync_status(&proto::GetSyncStatusRequest { sku: sku() }), &[("sku", "without space")]);
    let batch = |skus| batch_get_stock(&proto::BatchGetStockRequest { skus, max_staleness: None });
    refused(batch(vec![]), &[("skus", "has none")]);
    let stale = |seconds, nanos| proto::GetStockRequest {
        sku: "a".to_owned(),
        max_staleness: Some(Ttl { seconds, nanos }),
    };
    for (seconds, nanos, complaint) in [
        (0, 0, "1 ms to 3600000 ms, is 0 ms"),
        (-1, 0, "is -1000 ms"),
        (3_600, 1_000_000, "is 3600001 ms"),
        (0, 1, "whole milliseconds"),
        (i64::MAX, 0, "1 ms to"),
    ] {
        refused(get_stock(&stale(seconds, nanos)), &[("max_staleness", complaint)]);
    }
    let longest = get_stock(&stale(3_600, 0)).expect("an hour is allowed");
    assert_eq!(longest.1, Some(Duration::from_secs(3_600)));
    refused(batch(vec!["a".to_owned(); 1_001]), &[("skus", "at most 1000 skus, has 1001")]);
    refused(batch(vec!["a".to_owned(), sku()]), &[("skus[1]", "without space")]);
    let watch = proto::WatchStockRequest { skus: vec![String::new()], resume_token: String::new() };
    refused(watch_stock(&watch), &[("skus[0]", "must not be empty")]);
    let verify = proto::VerifyStockRequest { skus: vec!["a".to_owned(); 1_001], repair: false };
    refused(verify_stock(&verify), &[("skus", "has 1001")]);
    refused(
        resolve_key(&proto::ResolveKeyRequest::default()),
        &[("sku", "must not be empty"), ("idempotency_key", "must not be empty")],
    );
    let page = |page_size| list_stock_page_size(&proto::ListStockRequest { page_size, ..Default::default() });
    refused(page(-1), &[("page_size", "must be 0 (for 100) or more, is -1")]);
    for (given, taken) in [(0, 100), (7, 7), (i32::MAX, 1_000)] {
        assert_eq!(page(given).expect("accepted"), taken);
    }
}

#[test]
fn event_queries() {
    let good = proto::ListEventsRequest::default;
    let convert = list_events;
    check! { good, convert;
        sku = "a b".to_owned() => "sku", "without space";
        page_size = -5 => "page_size", "is -5";
        order = 3 => "order", "EVENT_ORDER_NEWEST_FIRST (2)";
        start_time = Some(Timestamp { seconds: 0, nanos: -1 }) => "start_time", "nanos of 0 to 999999999";
        start_time = Some(Timestamp { seconds: i64::MAX, nanos: 0 }) => "start_time", "years 1 to 9999";
        end_time = Some(Timestamp { seconds: 0, nanos: 1_000_000_000 }) => "end_time", "nanos of 0 to";
    }
    let backwards = proto::ListEventsRequest {
        start_time: Some(Timestamp { seconds: 2, nanos: 0 }),
        end_time: Some(Timestamp { seconds: 1, nanos: 0 }),
        page_size: -1,
        ..good()
    };
    refused(convert(backwards), &[("end_time", "must not be before start_time"), ("page_size", "is -1")]);
    assert!(convert(good()).is_ok());
}

#[test]
fn requests_of_operators() {
    let client = ClientId::anonymous;
    let list = proto::ListDeadLettersRequest::default;
    check! { list, list_dead_letters;
        channel = "a b".to_owned() => "channel", "letters";
        sku = "a b".to_owned() => "sku", "without space";
        error_contains = long(257) => "error_contains", "at most 256 bytes";
        page_size = -1 => "page_size", "is -1";
    }
    assert_eq!(list_dead_letters(list()).expect("accepted").page_size, 100);

    let replay = proto::ReplayDeadLettersRequest::default;
    let convert = |request| replay_dead_letters(request, client());
    check! { replay, convert;
        channel = long(33) => "channel", "at most 32 bytes";
        sku = long(129) => "sku", "at most 128 bytes";
        error_contains = "a\nb".to_owned() => "error_contains", "control characters";
        actor = long(129) => "actor", "at most 128 bytes";
        reason = long(257) => "reason", "at most 256 bytes";
    }
    assert!(convert(replay()).expect("accepted").operator.is_some());
    assert!(
        convert(proto::ReplayDeadLettersRequest { dry_run: true, ..replay() })
            .expect("accepted")
            .operator
            .is_none()
    );

    let discard = || proto::DiscardDeadLettersRequest {
        channel: "web".to_owned(),
        actor: "ann".to_owned(),
        reason: "gone".to_owned(),
        ..Default::default()
    };
    let convert = |request| discard_dead_letters(request, client());
    check! { discard, convert;
        channel = String::new() => "all", "must be true when no channel, sku or error_contains";
        all = true => "all", "must not be true with";
        actor = String::new() => "actor", "say who";
        reason = String::new() => "reason", "say why";
    }
    let dry = proto::DiscardDeadLettersRequest { dry_run: true, all: true, ..Default::default() };
    assert!(convert(dry).expect("accepted").operator.is_none());

    let pause = || proto::PauseChannelRequest {
        channel: "web".to_owned(),
        actor: "ann".to_owned(),
        ..Default::default()
    };
    let convert = |request| pause_channel(request, client());
    check! { pause, convert;
        channel = String::new() => "channel", "must not be empty";
        actor = String::new() => "actor", "say who";
        reason = long(257) => "reason", "at most 256 bytes";
    }
    assert!(convert(pause()).is_ok());
    let nameless = proto::ResumeChannelRequest { channel: String::new(), actor: long(129) };
    refused(resume_channel(nameless, client()), &[("channel", "must not be empty"), ("actor", "128")]);
    let convert = |request| resync(request, client());
    let good = proto::ResyncRequest::default;
    check! { good, convert;
        channel = "a b".to_owned() => "channel", "letters";
        sku = "a b".to_owned() => "sku", "without space";
    }
    assert!(convert(good()).is_ok());
}

#[test]
fn everything_wrong_is_said_at_once() {
    let request = proto::ReserveRequest {
        idempotency_key: String::new(),
        lines: vec![line("", 0), line("a", -1), line("a", 1)],
        channel: "a b".to_owned(),
        order_ref: long(257),
        reason: long(257),
        actor: long(129),
        ttl: Some(Ttl::default()),
    };
    let expected = [
        ("lines[0].sku", "empty"),
        ("lines[0].quantity", "is 0"),
        ("lines[1].quantity", "is -1"),
        ("lines[2].sku", "repeats lines[1].sku"),
        ("ttl", "1 ms"),
        ("idempotency_key", "empty"),
        ("channel", "letters"),
        ("order_ref", "256"),
        ("reason", "256"),
        ("actor", "128"),
    ];
    refused(reserve(request, ClientId::anonymous(), &LIMITS), &expected);
}

#[test]
fn half_a_million_bad_lines_stay_one_short_answer() {
    let request = proto::DecrementRequest { lines: vec![line("", 0); 500_000], ..Default::default() };
    let status = Status::from(decrement(request, ClientId::anonymous()).expect_err("refused"));
    assert!(status.details().len() <= 4_096 && status.message().len() <= 512);
    let info = status.get_details_error_info().expect("error info");
    assert!(info.metadata["omitted"].parse::<usize>().is_ok_and(|count| count > 100));
}
