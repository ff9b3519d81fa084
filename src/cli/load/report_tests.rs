//! What a run prints: the keys programs read, and the lines people do.

use std::time::Duration;

use serde_json::Value;

use super::{
    super::{
        call::{Fault, Outcome, Refusal},
        plan::tests::plan,
        schedule::steady,
        tally::Took,
    },
    *,
};

/// Two seconds: one call failed, one refused, one never sent; and a repeat that was refused.
fn report() -> Report {
    let mut tally = Tally::new(Duration::from_secs(2));
    let phase = tally.begin(&steady(1.5, Duration::from_secs(2)));
    let ms = Duration::from_millis;
    let fault = Fault { name: "UNAVAILABLE".to_owned(), message: String::new(), is_unknown: true };
    let refusal =
        Refusal { reason: "INSUFFICIENT_STOCK".to_owned(), message: String::new(), replayed: false };
    let refused = Outcome::Refused(refusal);
    for outcome in [Outcome::Failed(fault), refused.clone()] {
        tally.sent(phase, ms(0), ms(1));
        tally.landed(phase, ms(0), Took { latency: ms(3), service: ms(2) }, &outcome);
    }
    tally.unsent(phase, ms(1_333), ms(600), 1);
    tally.followed(|tally| &mut tally.repeats, ms(4), &refused);
    tally.over(phase, Duration::from_secs(2), Duration::from_secs(2));
    Report::new(
        &plan(Profile::Steady),
        &tally,
        Sort::default(),
        ("http://here:1", Timestamp::UNIX_EPOCH),
        true,
    )
}

#[test]
fn json_has_the_keys_that_programs_read() {
    let json = serde_json::to_value(report()).expect("it serializes");
    let expected = [
        ("profile", Value::from("steady")),
        ("asked_per_s", 1.5.into()),
        ("answered_per_s", 0.5.into()),
        ("calls", 3.into()),
        ("done", 0.into()),
        ("refused", 1.into()),
        ("failed", 1.into()),
        ("unsent", 1.into()),
        ("interrupted", true.into()),
        ("last_good_per_s", Value::Null),
        ("books", Value::Null),
    ];
    for (key, value) in expected {
        assert_eq!(json[key], value, "{key}");
    }
    for key in ["p50", "p90", "p99", "p999", "max"] {
        assert!(json["latency_us"][key].is_u64() && json["service_us"][key].is_u64(), "{key}");
    }
    assert!(json["latency_us"]["max"].as_u64() >= Some(600_000), "what was never sent counts");
    assert!(json["service_us"]["max"].as_u64() < Some(3_000), "and has no service time");
    assert_eq!(json["refusals"]["INSUFFICIENT_STOCK"], 2, "with the repeat");
    assert_eq!(json["errors"]["UNAVAILABLE"], 1);
    assert_eq!(json["timeline"].as_array().map(Vec::len), Some(14), "up to the last call that was due");
}

#[test]
fn text_says_what_happened_and_that_nobody_looked_at_the_books() {
    let text = report().text();
    for part in [
        "steady, interrupted: 1.5/s asked, 0.5/s answered over 2.0 s: 3 calls, 0 carried out, 1 refused, 1 failed, 1 never sent",
        "refused: 2 x INSUFFICIENT_STOCK",
        "failed: 1 x UNAVAILABLE",
        "of 1, from the answer they follow",
        "THE BOOKS WERE NOT CHECKED",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}
