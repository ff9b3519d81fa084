//! The breaker of a channel and the operator's pause, over all workers, one rule at a time.

use std::time::Duration;

use stockgate::{
    domain::{BreakerState, BreakerTerms, ChannelId, ChannelTerms, Partitions, RateTerms},
    store::{ChannelPause, Permit, Report, Reported, Shut, Store, StoreError},
};

use crate::{
    harness::{START_MS, Shop},
    requests::channel,
};

/// The longest a probe of these terms may take, the slack for its claim and report included.
const PROBE_MS: i64 = 12_000;

/// Opens after three failures in a row, for 1, 2, 4 and at most 5 s, without dice.
fn terms() -> ChannelTerms {
    ChannelTerms {
        breaker: BreakerTerms {
            failures: 3,
            open_cap: Duration::from_secs(5),
            jitter: 0.0,
            ..BreakerTerms::default()
        },
        rate: RateTerms::default(),
        call_timeout: Duration::from_secs(10),
    }
}

/// One channel and the workers of several gateways.
struct Line {
    shop: Shop,
    web: ChannelId,
    terms: ChannelTerms,
}

impl Line {
    async fn open() -> Self {
        Self::open_on(terms()).await
    }

    async fn open_on(terms: ChannelTerms) -> Self {
        Self { shop: Shop::open(Partitions::ONE).await, web: channel("web"), terms }
    }

    async fn ask(&self) -> Permit {
        self.ask_at(&self.shop.store).await
    }

    async fn ask_at(&self, store: &Store) -> Permit {
        store.permit(&self.web, &self.terms, 10).await.unwrap()
    }

    /// How often the breaker has turned, as a call that may go is told.
    async fn turns(&self) -> u64 {
        match self.ask().await {
            Permit::Go { turns, .. } => turns,
            other => panic!("{other:?}"),
        }
    }

    async fn probe(&self) -> String {
        match self.ask().await {
            Permit::Probe { token } => token,
            other => panic!("{other:?}"),
        }
    }

    async fn report(&self, report: Report) -> Reported {
        self.shop.store.report(&self.web, &self.terms, &report).await.unwrap()
    }

    async fn went(&self, turns: u64, worked: u32, failed: u32) -> Reported {
        self.report(Report { turns, worked, failed, ..Report::default() }).await
    }

    async fn probed(&self, token: String, worked: u32, failed: u32) -> Reported {
        self.report(Report { probe: Some(token), worked, failed, ..Report::default() }).await
    }

    /// Three failures of calls that were let through.
    async fn break_down(&self) -> u64 {
        let turns = self.turns().await;
        assert_eq!(self.went(turns, 0, 3).await, OPENED);
        turns
    }

    async fn state(&self) -> BreakerState {
        self.shop.store.channel_control(&self.web).await.unwrap().breaker
    }

    /// Asserts that nobody may go for so long and no longer.
    async fn is_shut(&self, ms: u64, why: Shut) {
        assert_eq!(self.ask().await, Permit::Wait { wait: Duration::from_millis(ms), why });
    }
}

const OPENED: Reported = Reported { state: BreakerState::Open, has_turned: true };
const CLOSED: Reported = Reported { state: BreakerState::Closed, has_turned: true };
const STILL_OPEN: Reported = Reported { state: BreakerState::Open, has_turned: false };
const STILL_CLOSED: Reported = Reported { state: BreakerState::Closed, has_turned: false };

#[tokio::test]
async fn a_healthy_channel_is_given_what_is_wanted_and_nothing_is_written() {
    let line = Line::open().await;
    for _ in 0..3 {
        let valid = Duration::from_millis(200);
        assert_eq!(line.ask().await, Permit::Go { calls: 10, valid, turns: 0 });
    }
    assert_eq!(line.shop.dump().await, "");
    line.shop.close().await;
}

#[tokio::test]
async fn failures_in_a_row_open_it_and_a_success_between_begins_the_row_anew() {
    let line = Line::open().await;
    assert_eq!(line.went(0, 0, 2).await, STILL_CLOSED);
    assert_eq!(line.went(0, 1, 0).await, STILL_CLOSED);
    assert_eq!(line.went(0, 0, 2).await, STILL_CLOSED);
    assert_eq!(line.went(0, 4, 2).await, STILL_CLOSED, "what worked came first");
    assert_eq!(line.went(0, 0, 1).await, OPENED);
    line.is_shut(1000, Shut::BreakerOpen).await;
    assert_eq!(line.state().await, BreakerState::Open);
    line.shop.close().await;
}

#[tokio::test]
async fn a_large_share_of_failures_opens_it_once_there_are_enough_calls() {
    let failures = u32::MAX;
    let breaker = BreakerTerms { failures, rate: 0.25, calls_min: 8, ..terms().breaker };
    let line = Line::open_on(ChannelTerms { breaker, ..terms() }).await;
    assert_eq!(line.went(0, 4, 3).await, STILL_CLOSED, "too few calls");
    assert_eq!(line.went(0, 9, 0).await, STILL_CLOSED);
    assert_eq!(line.went(0, 0, 1).await, STILL_CLOSED, "4 of 17 is less than a quarter");
    assert_eq!(line.went(0, 3, 0).await, STILL_CLOSED);
    assert_eq!(line.went(0, 0, 2).await, OPENED, "6 of 22 is more");

    line.shop.store.resume_channel(&line.web).await.unwrap();
    let turns = line.turns().await;
    assert_eq!(line.went(turns, 0, 7).await, STILL_CLOSED, "too few calls");
    assert_eq!(line.went(turns, 1, 0).await, STILL_CLOSED, "7 of 8, but a success opens nothing");
    assert_eq!(line.went(turns, 0, 1).await, OPENED);
    line.shop.close().await;
}

#[tokio::test]
async fn failures_out_of_the_window_count_no_more() {
    let breaker = BreakerTerms { failures: 100, rate: 0.5, calls_min: 8, ..terms().breaker };
    let line = Line::open_on(ChannelTerms { breaker, ..terms() }).await;
    for (pass_ms, then) in [(15_000, OPENED), (30_000, STILL_CLOSED), (-60_000, STILL_CLOSED)] {
        line.shop.store.resume_channel(&line.web).await.unwrap();
        let turns = line.turns().await;
        assert_eq!(line.went(turns, 8, 7).await, STILL_CLOSED);
        line.shop.pass(pass_ms);
        assert_eq!(line.went(turns, 0, 1).await, then, "{pass_ms} ms later");
    }
    line.shop.close().await;
}

#[tokio::test]
async fn it_stays_open_twice_as_long_each_time_up_to_the_cap_and_begins_anew_after_a_success() {
    let line = Line::open().await;
    for _ in 0..2 {
        line.break_down().await;
        for wait_ms in [1000, 2000, 4000, 5000, 5000] {
            line.is_shut(wait_ms, Shut::BreakerOpen).await;
            line.shop.pass(wait_ms.cast_signed() - 1);
            line.is_shut(1, Shut::BreakerOpen).await;
            line.shop.pass(1);
            let token = line.probe().await;
            assert_eq!(line.probed(token, 0, 1).await, STILL_OPEN);
        }
        line.shop.pass(5000);
        let token = line.probe().await;
        assert_eq!(line.probed(token, 1, 0).await, CLOSED);
        assert_eq!(line.state().await, BreakerState::Closed);
    }
    line.shop.close().await;
}

#[tokio::test]
async fn the_time_it_is_open_jitters_within_its_share() {
    let breaker = BreakerTerms { jitter: 0.2, ..terms().breaker };
    let line = Line::open_on(ChannelTerms { breaker, ..terms() }).await;
    let mut waits = Vec::new();
    for _ in 0..50 {
        line.break_down().await;
        let Permit::Wait { wait, why: Shut::BreakerOpen } = line.ask().await else { panic!("open") };
        waits.push(wait.as_millis());
        line.shop.store.resume_channel(&line.web).await.unwrap();
    }
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*least >= 800 && *most <= 1200 && most > least, "{least} to {most}");
    line.shop.close().await;
}

#[tokio::test]
async fn a_closed_breaker_has_forgotten_what_opened_it() {
    let by_share = BreakerTerms { failures: 100, calls_min: 3, ..terms().breaker };
    for breaker in [terms().breaker, by_share] {
        let line = Line::open_on(ChannelTerms { breaker, ..terms() }).await;
        line.break_down().await;
        line.shop.pass(1000);
        let token = line.probe().await;
        assert_eq!(line.probed(token, 1, 0).await, CLOSED);
        let turns = line.turns().await;
        assert_eq!(line.went(turns, 0, 2).await, STILL_CLOSED);
        assert_eq!(line.went(turns, 0, 1).await, OPENED);
        line.shop.close().await;
    }
}

#[tokio::test]
async fn exactly_one_worker_is_the_probe_and_the_others_look_again_soon() {
    let line = Line::open().await;
    line.break_down().await;
    line.shop.pass(1000);
    let gateways: Vec<Shop> = (0..4).map(|_| line.shop.another_gateway()).collect();
    let asked = gateways.iter().cycle().take(40).map(|gateway| line.ask_at(&gateway.store));
    let answers = futures_util::future::join_all(asked).await;
    let probes: Vec<&Permit> =
        answers.iter().filter(|answer| matches!(answer, Permit::Probe { .. })).collect();
    assert_eq!(probes.len(), 1, "{answers:?}");
    let look_again = Permit::Wait { wait: Duration::from_secs(1), why: Shut::BreakerOpen };
    assert_eq!(answers.iter().filter(|answer| **answer == look_again).count(), 39, "{answers:?}");
    assert_eq!(line.state().await, BreakerState::HalfOpen);
    for gateway in gateways {
        gateway.close().await;
    }
    line.shop.close().await;
}

#[tokio::test]
async fn a_probe_whose_worker_died_is_given_again_and_its_late_answer_changes_nothing() {
    let line = Line::open().await;
    line.break_down().await;
    line.shop.pass(1000);
    let dead = line.probe().await;
    line.shop.pass(PROBE_MS - 1);
    line.is_shut(1, Shut::BreakerOpen).await;
    line.shop.pass(1);
    assert_eq!(line.state().await, BreakerState::Open);
    let alive = line.probe().await;
    assert_ne!(dead, alive);
    let half_open = Reported { state: BreakerState::HalfOpen, has_turned: false };
    assert_eq!(line.probed(dead.clone(), 1, 0).await, half_open);
    assert_eq!(line.probed(dead, 0, 1).await, half_open);
    assert_eq!(line.probed(alive, 1, 0).await, CLOSED);
    line.shop.close().await;
}

#[tokio::test]
async fn a_late_answer_of_the_only_probe_still_speaks() {
    let line = Line::open().await;
    line.break_down().await;
    line.shop.pass(1000);
    let token = line.probe().await;
    line.shop.pass(PROBE_MS + 1);
    assert_eq!(line.probed(token, 1, 0).await, CLOSED);
    line.shop.close().await;
}

#[tokio::test]
async fn a_probe_that_had_nothing_to_tell_leaves_its_place_to_the_next() {
    let line = Line::open().await;
    line.break_down().await;
    line.shop.pass(1000);
    let token = line.probe().await;
    let given_back = Report { probe: Some(token), unused: 1, ..Report::default() };
    assert_eq!(line.report(given_back).await, STILL_OPEN);
    let token = line.probe().await;
    assert_eq!(line.probed(token, 0, 1).await, STILL_OPEN);
    line.is_shut(2000, Shut::BreakerOpen).await;
    line.shop.close().await;
}

/// A burst of calls hangs: some fail at once, the others long after the breaker has turned, even twice.
#[tokio::test]
async fn late_failures_of_calls_from_before_it_turned_change_nothing() {
    let line = Line::open().await;
    let before = line.break_down().await;
    line.shop.pass(999);
    assert_eq!(line.went(before, 0, 9).await, STILL_OPEN);
    assert_eq!(line.went(before, 5, 0).await, STILL_OPEN, "nor do late successes");
    line.is_shut(1, Shut::BreakerOpen).await;
    line.shop.pass(1);
    let token = line.probe().await;
    assert_eq!(line.probed(token, 1, 0).await, CLOSED);
    assert_eq!(line.went(before, 0, 9).await, STILL_CLOSED);
    let refused = Report { turns: before, refused: true, ..Report::default() };
    assert_eq!(line.report(refused).await, STILL_CLOSED);
    let after = line.turns().await;
    assert_ne!(after, before);
    assert_eq!(line.went(after, 0, 3).await, OPENED);
    line.shop.close().await;
}

#[tokio::test]
async fn a_refusal_as_a_whole_opens_it_at_once_for_the_cap() {
    let line = Line::open().await;
    let refused = |turns, probe| Report { turns, probe, refused: true, ..Report::default() };
    assert_eq!(line.report(refused(0, None)).await, OPENED);
    line.is_shut(5000, Shut::BreakerOpen).await;
    line.shop.pass(5000);
    let token = line.probe().await;
    assert_eq!(line.report(refused(0, Some(token))).await, STILL_OPEN);
    line.is_shut(5000, Shut::BreakerOpen).await;
    line.shop.close().await;
}

#[tokio::test]
async fn a_throttled_probe_leaves_it_open_until_the_channel_wants_to_be_asked() {
    let line = Line::open().await;
    line.break_down().await;
    line.shop.pass(1000);
    let token = line.probe().await;
    let throttled =
        Report { probe: Some(token), throttled: Some(Duration::from_secs(60)), ..Report::default() };
    assert_eq!(line.report(throttled).await, STILL_OPEN);
    line.is_shut(60_000, Shut::BreakerOpen).await;
    line.shop.pass(60_000);
    let token = line.probe().await;
    assert_eq!(line.probed(token, 0, 1).await, STILL_OPEN);
    line.is_shut(2000, Shut::BreakerOpen).await;
    line.shop.close().await;
}

#[tokio::test]
async fn a_pause_comes_before_everything_and_a_resume_opens_every_door() {
    let rate = RateTerms { per_second: Some(1.0), burst: 5 };
    let line = Line::open_on(ChannelTerms { rate, ..terms() }).await;
    let store = &line.shop.store;
    let turns = line.break_down().await;
    let throttled = Report { throttled: Some(Duration::from_secs(600)), ..Report::default() };
    line.report(throttled).await;
    line.shop.pass(7);
    store.pause_channel(&line.web, "ann", "sale check").await.unwrap();
    line.is_shut(3_600_000, Shut::Paused).await;
    line.shop.pass(3_600_000);
    line.is_shut(3_600_000, Shut::Paused).await;
    let paused = store.channel_control(&line.web).await.unwrap();
    let since_ms = START_MS + 7;
    let pause = ChannelPause { since_ms, actor: "ann".to_owned(), reason: "sale check".to_owned() };
    assert_eq!((paused.pause, paused.breaker), (Some(pause), BreakerState::Open));

    store.resume_channel(&line.web).await.unwrap();
    assert!(matches!(line.ask().await, Permit::Go { calls: 5, .. }), "the bucket has filled meanwhile");
    let resumed = store.channel_control(&line.web).await.unwrap();
    assert_eq!((resumed.pause, resumed.breaker, resumed.probe_ms), (None, BreakerState::Closed, None));
    assert_eq!((resumed.not_before_ms, resumed.pace_permille), (None, 1000));
    assert_eq!(line.went(turns, 0, 9).await, STILL_CLOSED, "failures from before it opened");
    line.shop.close().await;
}

#[tokio::test]
async fn a_probe_that_was_out_when_an_operator_resumed_changes_nothing() {
    let line = Line::open().await;
    line.break_down().await;
    line.shop.pass(1000);
    let token = line.probe().await;
    line.shop.store.resume_channel(&line.web).await.unwrap();
    assert_eq!(line.probed(token, 0, 1).await, STILL_CLOSED);
    line.shop.close().await;
}

#[tokio::test]
async fn what_steers_a_channel_is_told() {
    let line = Line::open().await;
    let store = &line.shop.store;
    let quiet = store.channel_control(&line.web).await.unwrap();
    assert_eq!((quiet.breaker, quiet.probe_ms, quiet.pace_permille), (BreakerState::Closed, None, 1000));
    line.break_down().await;
    store.expose(&line.web, 17).await.unwrap();
    let open = store.channel_control(&line.web).await.unwrap();
    assert_eq!(
        (open.breaker, open.probe_ms, open.exposed_units),
        (BreakerState::Open, Some(START_MS + 1000), 17)
    );
    line.shop.pass(1000);
    line.probe().await;
    let half_open = store.channel_control(&line.web).await.unwrap();
    let probe_ms = Some(START_MS + 1000 + PROBE_MS);
    assert_eq!((half_open.breaker, half_open.probe_ms), (BreakerState::HalfOpen, probe_ms));
    line.shop.close().await;
}

#[tokio::test]
async fn channels_do_not_share_a_breaker() {
    let line = Line::open().await;
    line.break_down().await;
    let other = line.shop.store.permit(&channel("app"), &line.terms, 1).await.unwrap();
    assert!(matches!(other, Permit::Go { .. }), "{other:?}");
    line.shop.close().await;
}

#[tokio::test]
async fn a_key_of_the_wrong_type_is_named_and_a_broken_field_is_no_reason_to_stop() {
    let line = Line::open().await;
    let store = &line.shop.store;
    let key = format!("{}:{{c:web}}:ctl", line.shop.settings.namespace);
    let mut broken = redis::cmd("HSET");
    broken.arg(&key).arg("opened").arg("rubbish").arg("paused").arg("1 2").arg("turns").arg("");
    line.shop.redis::<i64>(&mut broken).await;
    assert_eq!(line.turns().await, 0);
    assert_eq!(line.state().await, BreakerState::Closed);

    line.shop.redis::<()>(redis::cmd("SET").arg(&key).arg("wrong")).await;
    let names_it = |fault: StoreError| match fault {
        StoreError::WrongType { detail } => assert!(detail.contains(&key), "{detail}"),
        other => panic!("{other:?}"),
    };
    names_it(store.permit(&line.web, &line.terms, 1).await.expect_err("must notice"));
    names_it(store.report(&line.web, &line.terms, &Report::default()).await.expect_err("must notice"));
    let is_wrong_type = |fault| assert!(matches!(fault, StoreError::WrongType { .. }), "{fault:?}");
    is_wrong_type(store.pause_channel(&line.web, "ann", "").await.expect_err("must notice"));
    is_wrong_type(store.resume_channel(&line.web).await.expect_err("must notice"));
    is_wrong_type(store.channel_control(&line.web).await.expect_err("must notice"));
    line.shop.close().await;
}
