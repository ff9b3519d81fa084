//! The page holds the numbers, needs nothing from elsewhere, and lets no text in as markup.

use std::time::Duration;

use super::{
    super::{
        plan::{Profile, tests::plan},
        ramp::{Broken, Ramp, Step},
        report::Sort,
        schedule::steady,
        tally::Tally,
    },
    *,
};

/// A report of one second in which 321 calls were due and none was sent.
fn report(profile: Profile, sort: Sort) -> Report {
    let mut tally = Tally::new(Duration::from_secs(1));
    let phase = tally.begin(&steady(321.0, Duration::from_secs(1)));
    for number in 0..321 {
        tally.unsent(phase, Duration::from_millis(number), Duration::from_millis(77), 1);
    }
    tally.over(phase, Duration::from_secs(1), Duration::from_secs(1));
    let of = ("http://127.0.0.1:50051/<script>", jiff::Timestamp::UNIX_EPOCH);
    Report::new(&plan(profile), &tally, sort, of, false)
}

#[test]
fn page_is_whole_and_self_contained() {
    let page = html(&report(Profile::Steady, Sort::default()));
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("321/s") && page.contains("<b>321</b><i>never sent</i>"), "{page}");
    assert!(page.contains("77.1 ms") && page.contains("not checked"), "{page}");
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(!page.contains("<script"), "text is no markup");
    let without_names = page
        .replace("xmlns=\"http://www.w3.org/2000/svg\"", "")
        .replace("http://127.0.0.1:50051/&lt;script&gt;", "");
    assert!(!without_names.contains("http"), "nothing is loaded from elsewhere");
}

#[test]
fn ramp_is_drawn_against_the_rate() {
    let step =
        |asked_per_s, broken| Step { asked_per_s, answered_per_s: 1.0, p50_us: 1, p99_us: 2_000, broken };
    let steps = vec![step(1_000.0, None), step(1_250.0, Some(Broken::Slow))];
    let ramp = Ramp::new(steps, Duration::from_millis(1));
    let page = html(&report(Profile::Ramp, Sort { ramp: Some(ramp), spike: None }));
    assert_eq!(page.matches("<svg").count(), 4);
    assert!(page.contains("last good rate: 1000/s") && page.contains("too slow"), "{page}");
    assert!(page.contains("<b>1250/s</b><i>degrades at</i>"), "{page}");
}
