//! The breaker and the rate of a source of prices, over all gateways. The rules themselves are those of channels: `control_*.rs`.

use std::time::Duration;

use stockgate::{
    domain::{BreakerState, BreakerTerms, ChannelTerms, Partitions, RateTerms, carrier::SourceId},
    store::{Permit, Report, Reported, Shut, Store},
};

use crate::{harness::Shop, requests::channel};

/// Opens after three failures in a row, for a second at first, without dice.
fn terms() -> ChannelTerms {
    ChannelTerms {
        breaker: BreakerTerms { failures: 3, jitter: 0.0, ..BreakerTerms::default() },
        rate: RateTerms::default(),
        call_timeout: Duration::from_secs(2),
    }
}

async fn ask(store: &Store, source: &SourceId) -> Permit {
    store.permit_source(source, &terms()).await.unwrap()
}

async fn went(store: &Store, source: &SourceId, report: Report) -> Reported {
    store.report_source(source, &terms(), &report).await.unwrap()
}

#[tokio::test]
async fn a_source_that_fails_is_left_alone_but_for_probes() {
    let shop = Shop::open(Partitions::ONE).await;
    let other = shop.another_gateway();
    // A channel of the same name is another matter.
    let (web, quiet) = (SourceId::parse("web").unwrap(), SourceId::parse("quiet").unwrap());
    for has_turned in [false, false, true] {
        let Permit::Go { calls: 1, turns: 0, .. } = ask(&shop.store, &web).await else { panic!("closed") };
        let said = went(&shop.store, &web, Report { failed: 1, ..Report::default() }).await;
        assert_eq!(said.has_turned, has_turned);
    }
    let shut = Permit::Wait { wait: Duration::from_secs(1), why: Shut::BreakerOpen };
    assert_eq!(ask(&other.store, &web).await, shut, "for all gateways");
    let standing = other.store.source_control(&web).await.unwrap();
    assert_eq!((standing.breaker, standing.probe_ms), (BreakerState::Open, Some(shop.now_ms() + 1000)));
    assert!(matches!(ask(&shop.store, &quiet).await, Permit::Go { .. }));
    assert!(matches!(shop.store.permit(&channel("web"), &terms(), 1).await, Ok(Permit::Go { .. })));

    shop.pass(1000);
    let Permit::Probe { token } = ask(&other.store, &web).await else { panic!("a probe is due") };
    assert!(
        matches!(ask(&shop.store, &web).await, Permit::Wait { why: Shut::BreakerOpen, .. }),
        "one at a time"
    );
    let worked = Report { probe: Some(token), worked: 1, ..Report::default() };
    let closed = Reported { state: BreakerState::Closed, has_turned: true };
    assert_eq!(went(&other.store, &web, worked).await, closed);
    assert!(matches!(ask(&shop.store, &web).await, Permit::Go { .. }));
    other.close().await;
    shop.close().await;
}

#[tokio::test]
async fn a_source_is_called_no_faster_than_it_wants() {
    let shop = Shop::open(Partitions::ONE).await;
    let source = SourceId::parse("easypost").unwrap();
    let slow = ChannelTerms { rate: RateTerms { per_second: Some(1.0), burst: 2 }, ..terms() };
    for _ in 0..2 {
        assert!(matches!(shop.store.permit_source(&source, &slow).await, Ok(Permit::Go { calls: 1, .. })));
    }
    let wait = Permit::Wait { wait: Duration::from_secs(1), why: Shut::RateLimit };
    assert_eq!(shop.store.permit_source(&source, &slow).await.unwrap(), wait);

    let throttled = Report { worked: 1, throttled: Some(Duration::from_secs(30)), ..Report::default() };
    shop.store.report_source(&source, &slow, &throttled).await.unwrap();
    let wait = Permit::Wait { wait: Duration::from_secs(30), why: Shut::Throttled };
    assert_eq!(shop.store.permit_source(&source, &slow).await.unwrap(), wait);
    let standing = shop.store.source_control(&source).await.unwrap();
    assert_eq!((standing.not_before_ms, standing.pause), (Some(shop.now_ms() + 30_000), None));
    shop.close().await;
}
