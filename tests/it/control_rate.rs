//! How fast calls to a channel may go, over all workers: its rate, and what the channel itself says.

use std::time::Duration;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use stockgate::{
    domain::{BreakerTerms, ChannelId, ChannelTerms, Partitions, RateTerms},
    store::{Permit, Report, Shut},
};

use crate::{harness::Shop, requests::channel};

const STORIES: u32 = 100;
const STEPS_MAX: usize = 40;
const WORKERS: usize = 3;

fn terms(per_second: f64, burst: u32) -> ChannelTerms {
    ChannelTerms {
        breaker: BreakerTerms::default(),
        rate: RateTerms { per_second: Some(per_second), burst },
        call_timeout: Duration::from_secs(10),
    }
}

/// One channel and its workers, each with what it was granted and has not used.
struct Line {
    workers: Vec<Shop>,
    web: ChannelId,
    terms: ChannelTerms,
    granted: Vec<u32>,
}

impl Line {
    async fn open(terms: ChannelTerms) -> Self {
        let first = Shop::open(Partitions::ONE).await;
        let mut workers: Vec<Shop> = (1..WORKERS).map(|_| first.another_gateway()).collect();
        workers.push(first);
        Self { workers, web: channel("web"), terms, granted: vec![0; WORKERS] }
    }

    fn pass(&self, ms: i64) {
        self.workers[0].pass(ms);
    }

    /// How many calls one more ask gives, or how long it must wait and why.
    async fn ask(&mut self, worker: usize, wanted: u32) -> Result<u32, (u64, Shut)> {
        match self.workers[worker].store.permit(&self.web, &self.terms, wanted).await.unwrap() {
            Permit::Go { calls, .. } => {
                assert!((1..=wanted).contains(&calls), "{calls} of {wanted}");
                self.granted[worker] += calls;
                Ok(calls)
            }
            Permit::Wait { wait, why } => {
                assert!(!wait.is_zero());
                Err((u64::try_from(wait.as_millis()).unwrap(), why))
            }
            Permit::Probe { token } => panic!("nothing failed: {token}"),
        }
    }

    async fn report(&self, report: Report) {
        self.workers[0].store.report(&self.web, &self.terms, &report).await.unwrap();
    }

    async fn throttle(&self, ms: u64) {
        self.report(Report { throttled: Some(Duration::from_millis(ms)), ..Report::default() }).await;
    }

    async fn pace(&self) -> u32 {
        self.workers[0].store.channel_control(&self.web).await.unwrap().pace_permille
    }

    async fn close(self) {
        for worker in self.workers {
            worker.close().await;
        }
    }
}

#[tokio::test]
async fn a_burst_goes_at_once_and_then_as_many_as_the_rate_allows() {
    let mut line = Line::open(terms(4.0, 3)).await;
    assert_eq!(line.ask(0, 2).await, Ok(2));
    assert_eq!(line.ask(1, 2).await, Ok(1), "the bucket is one for all");
    assert_eq!(line.ask(2, 2).await, Err((250, Shut::RateLimit)));
    line.pass(249);
    assert_eq!(line.ask(0, 2).await, Err((1, Shut::RateLimit)));
    line.pass(1);
    assert_eq!(line.ask(0, 2).await, Ok(1));
    line.pass(600);
    assert_eq!(line.ask(1, 9).await, Ok(2));
    line.pass(150);
    assert_eq!(line.ask(1, 9).await, Ok(1), "a part of a call is kept");
    line.pass(3_600_000);
    assert_eq!(line.ask(2, 9).await, Ok(3), "never more than a burst");
    line.close().await;
}

#[tokio::test]
async fn the_slowest_and_the_fastest_rate_are_kept_to_the_ms() {
    for (per_second, wait_ms) in [(0.01, 100_000), (3.0, 334), (0.07, 14_286), (100_000.0, 1)] {
        let mut line = Line::open(terms(per_second, 1)).await;
        assert_eq!(line.ask(0, 9).await, Ok(1), "{per_second}/s");
        assert_eq!(line.ask(0, 9).await, Err((wait_ms, Shut::RateLimit)), "{per_second}/s");
        // Looking again and again loses nothing.
        let step_ms = (wait_ms / 20).max(1);
        let mut left_ms = wait_ms;
        while left_ms > step_ms {
            line.pass(step_ms.cast_signed());
            left_ms -= step_ms;
            assert_eq!(line.ask(1, 1).await, Err((left_ms, Shut::RateLimit)), "{per_second}/s");
        }
        line.pass(left_ms.cast_signed());
        assert_eq!(line.ask(0, 1).await, Ok(1), "{per_second}/s");
        line.close().await;
    }
}

#[tokio::test]
async fn calls_that_were_not_made_go_back_and_never_above_a_burst() {
    let mut line = Line::open(terms(1.0, 10)).await;
    assert_eq!(line.ask(0, 10).await, Ok(10));
    line.report(Report { unused: 4, ..Report::default() }).await;
    assert_eq!(line.ask(1, 10).await, Ok(4));
    line.report(Report { unused: 1000, ..Report::default() }).await;
    assert_eq!(line.ask(1, 1000).await, Ok(10));
    line.close().await;
}

#[tokio::test]
async fn a_clock_that_steps_back_gives_no_call_twice() {
    let mut line = Line::open(terms(1.0, 10)).await;
    assert_eq!(line.ask(0, 10).await, Ok(10));
    line.pass(-5000);
    line.report(Report { unused: 1, ..Report::default() }).await;
    assert_eq!(line.ask(1, 10).await, Ok(1));
    line.pass(5000);
    assert_eq!(line.ask(1, 10).await, Err((1000, Shut::RateLimit)));
    line.close().await;
}

#[tokio::test]
async fn the_channel_is_left_alone_for_as_long_as_it_says_even_beyond_every_cap() {
    let mut line = Line::open(terms(1000.0, 1000)).await;
    line.throttle(86_400_000).await;
    line.throttle(5000).await;
    for worker in 0..WORKERS {
        assert_eq!(line.ask(worker, 1).await, Err((86_400_000, Shut::Throttled)), "the longer one holds");
    }
    let told = line.workers[0].store.channel_control(&line.web).await.unwrap().not_before_ms;
    assert_eq!(told, Some(line.workers[0].now_ms() + 86_400_000));
    line.pass(86_399_999);
    assert_eq!(line.ask(0, 1).await, Err((1, Shut::Throttled)));
    line.pass(1);
    assert_eq!(line.ask(0, 1).await, Ok(1));
    line.close().await;
}

#[tokio::test]
async fn a_channel_without_rate_is_left_alone_too_and_then_called_as_before() {
    let free = ChannelTerms { rate: RateTerms::default(), ..terms(1.0, 1) };
    let mut line = Line::open(free).await;
    line.throttle(5000).await;
    assert_eq!(line.ask(0, 100).await, Err((5000, Shut::Throttled)));
    line.pass(5000);
    assert_eq!(line.ask(0, 100).await, Ok(100));
    line.close().await;
}

#[tokio::test]
async fn each_throttle_halves_the_pace_and_it_comes_back_within_a_minute() {
    let mut line = Line::open(terms(10.0, 10)).await;
    line.throttle(100).await;
    line.throttle(100).await;
    assert_eq!(line.pace().await, 500, "calls of the same moment do not halve it twice");
    for (pass_ms, pace) in [(101, 250), (101, 125), (101, 63), (101, 50), (101, 50)] {
        line.pass(pass_ms);
        line.throttle(100).await;
        let told = line.pace().await;
        assert!(told.abs_diff(pace) <= 3, "{told} permille instead of about {pace}");
    }
    // At a twentieth of ten per second a call comes every other second, and a burst is one.
    line.pass(100);
    assert_eq!(line.ask(0, 10).await, Ok(1));
    let (wait_ms, why) = line.ask(0, 1).await.unwrap_err();
    assert_eq!(why, Shut::RateLimit);
    assert!((1500..=2000).contains(&wait_ms), "{wait_ms} ms");
    line.pass(28_500);
    assert!(line.pace().await.abs_diff(525) <= 2, "half way back after half the time");
    line.pass(28_500);
    assert_eq!(line.pace().await, 1000);
    line.pass(1000);
    assert_eq!(line.ask(0, 10).await, Ok(10));
    line.close().await;
}

#[derive(Debug, Clone)]
enum Step {
    Ask {
        worker: usize,
        wanted: u32,
    },
    /// Gives back what was granted and not used.
    GiveBack {
        worker: usize,
    },
    /// Uses everything granted.
    Use {
        worker: usize,
    },
    Throttle(u64),
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Step> {
    let worker = || 0..WORKERS;
    prop_oneof![
        6 => (worker(), 1..20_u32).prop_map(|(worker, wanted)| Step::Ask { worker, wanted }),
        2 => worker().prop_map(|worker| Step::GiveBack { worker }),
        3 => worker().prop_map(|worker| Step::Use { worker }),
        1 => prop::sample::select(&[1_u64, 100, 2000][..]).prop_map(Step::Throttle),
        4 => prop::sample::select(&[1_i64, 7, 100, 999, 5000, 60_000][..]).prop_map(Step::Pass),
        // A clock that steps back.
        1 => Just(Step::Pass(-50)),
    ]
}

/// Whatever workers do in whatever order, no more calls go than rate × time + burst; and who waits as told is let through.
#[test]
fn no_more_calls_go_than_rate_and_burst_allow() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config =
        Config { cases: STORIES, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let rates = prop::sample::select(&[(0.5, 1), (3.0, 2), (17.3, 18), (1000.0, 5)][..]);
    let stories = (rates, vec(steps(), 1..STEPS_MAX));
    let told = TestRunner::new(config).run(&stories, |((per_second, burst), story)| {
        runtime.block_on(async {
            let mut line = Line::open(terms(per_second, burst)).await;
            let (mut earliest_ms, mut latest_ms, mut used) = (i64::MAX, 0, 0);
            for step in story {
                match step {
                    Step::Ask { worker, wanted } => {
                        if let Err((wait_ms, _)) = line.ask(worker, wanted).await {
                            line.pass(wait_ms.cast_signed());
                            let again = line.ask(worker, wanted).await;
                            let why = again.err().map(|(_, why)| why);
                            // A throttle may be over before a token is there, never the other way round.
                            assert!(matches!(why, None | Some(Shut::RateLimit)), "{why:?}");
                        }
                    }
                    Step::GiveBack { worker } => {
                        let unused = std::mem::take(&mut line.granted[worker]);
                        line.report(Report { unused, ..Report::default() }).await;
                    }
                    Step::Use { worker } => used += std::mem::take(&mut line.granted[worker]),
                    Step::Throttle(ms) => line.throttle(ms).await,
                    Step::Pass(ms) => line.pass(ms),
                }
                let now_ms = line.workers[0].now_ms();
                (earliest_ms, latest_ms) = (earliest_ms.min(now_ms), latest_ms.max(now_ms));
                let passed_ms = latest_ms - earliest_ms;
                let out = used + line.granted.iter().sum::<u32>();
                let allowed = per_second * passed_ms as f64 / 1000.0 + f64::from(burst);
                assert!(f64::from(out) <= allowed + 1e-6, "{out} calls in {passed_ms} ms, {allowed} allowed");
            }
            line.close().await;
        });
        Ok(())
    });
    if let Err(failure) = told {
        panic!("{failure}");
    }
}
