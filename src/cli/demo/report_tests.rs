//! The report of a sale that went well, and what it says about each thing that may go wrong.

use std::time::Duration;

use super::{super::receiver::Shown, *};

const METRICS: &str = r#"stockgate_sync_lag_seconds_bucket{channel="web",le="0.01"} 98
stockgate_sync_lag_seconds_bucket{channel="web",le="2.5"} 98
stockgate_sync_lag_seconds_bucket{channel="web",le="+Inf"} 100
"#;

struct Case {
    shelves: Vec<Shelf>,
    sale: SaleOutcome,
    truth: Vec<Stock>,
    channels: Vec<ChannelEnd>,
    metrics_text: &'static str,
}

/// Ten units, eight sold; the channel keeps one back and shows the other.
fn good() -> Case {
    let shown = Shown { version: 9, quantity: 1, paused: false };
    let seen = Seen { shown: [("A".to_owned(), shown)].into(), call_count: 5, ..Seen::default() };
    Case {
        shelves: vec![Shelf { sku: "A".to_owned(), units: 10 }],
        sale: SaleOutcome {
            orders: 20,
            sold_orders: 4,
            sold_units: [("A".to_owned(), 8)].into(),
            refused_orders: 16,
            refused_carts: [[("A".to_owned(), 3)].into()].into(),
            repeats_answered: 5,
            elapsed: Duration::from_millis(1_500),
            ..SaleOutcome::default()
        },
        truth: vec![Stock { sku: "A".to_owned(), on_hand: 2, available: 2, version: 9, ..Stock::default() }],
        channels: vec![ChannelEnd {
            channel: "web".to_owned(),
            behaviour: Behaviour::Slow { delay: Duration::from_millis(300) },
            policy: PublishPolicy { buffer: 1, ..PublishPolicy::default() },
            seen,
        }],
        metrics_text: METRICS,
    }
}

fn report(case: &Case) -> Report {
    let Case { shelves, sale, truth, channels, metrics_text } = case;
    Report::new(&Ends { shelves, sale, truth, channels, metrics_text })
}

#[test]
fn good_sale_has_no_problems() {
    let report = report(&good());
    assert_eq!(report.problems(), [] as [String; 0]);
    assert_eq!(report.verdict(), Verdict::Fine);
    let text = report.to_string();
    for part in
        ["sold units", "of 10 in 1 SKUs", "slow: 300ms a call", "1 of 1", "5.1 ms", "> 2.50 s", "all is well"]
    {
        assert!(text.contains(part), "{part:?} in:\n{text}");
    }
}

#[test]
fn every_fault_is_named() {
    let check = |spoil: fn(&mut Case), said: &str| {
        let mut case = good();
        spoil(&mut case);
        let report = report(&case);
        assert!(
            report.problems().iter().any(|problem| problem.contains(said)),
            "{said}: {:?}",
            report.problems()
        );
        assert_eq!(report.verdict(), Verdict::Findings);
        assert!(report.to_string().contains(said));
    };
    check(|case| case.sale.sold_units = [("A".to_owned(), 11)].into(), "A: 1 units oversold");
    check(|case| case.truth[0].available = -3, "A: 3 units oversold");
    check(|case| case.truth[0].on_hand = 3, "A: 3 on hand, 2 expected");
    check(|case| case.truth[0].held = 1, "A: 1 units still held");
    check(|case| case.truth.clear(), "A: the gateway does not know it");
    check(|case| case.sale.repeats_mismatched = 2, "2 repeats were answered otherwise");
    check(
        |case| {
            case.sale.failed_orders = 1;
            case.sale.first_failure = Some("Internal: broken".to_owned());
        },
        "1 orders were not decided, the first: Internal: broken",
    );
    check(|case| case.sale.sold_orders = 0, "nothing was sold");
    check(|case| case.sale.repeats_answered = 0, "no repeat was answered");
    check(
        |case| case.sale.refused_carts = [[("A".to_owned(), 2)].into()].into(),
        "an order of 2 of A was refused, and so much is left",
    );
    check(
        |case| case.channels[0].behaviour = Behaviour::FailsFor { duration: Duration::from_secs(3) },
        "channel web: was to fail for a while and never answered a 503",
    );
    check(|case| case.channels[0].policy.buffer = 0, "channel web: shows 1 of A, should be 2");
    check(|case| case.channels[0].seen.shown.clear(), "channel web: was never told about A");
    check(|case| case.channels[0].seen.went_back_count = 1, "channel web: got 1 older versions");
    check(
        |case| case.channels[0].seen.unsigned_count = 1,
        "channel web: got 1 calls without a valid signature",
    );
    check(|case| case.channels[0].seen.malformed_count = 1, "channel web: got 1 calls it did not understand");
    check(|case| case.metrics_text = "", "channel web: the gateway measured no sync lag");
}
