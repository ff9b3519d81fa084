//! Carriers chosen by a real gateway from servers: dead ones, ones that hang, a good one; fallback, cache and breaker.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode};
use stockgate::proto::*;
use tokio::net::TcpListener;
use tonic::{Code, Request};

use crate::{
    carrier_gateway::{carrier_of, parcel, with_table},
    carrier_http::serve,
    gateway::{Gateway, SOON, Setup, eventually},
    gateway_calls::check_status,
    gateway_redis::Redis,
};

/// What Shippo's servers answer when they have one rate.
const ONE_RATE: &str = r#"{
    "status": "SUCCESS",
    "rates": [{
        "object_id": "rate_1", "provider": "Live Post", "servicelevel": {"token": "priority"},
        "amount": "4.00", "currency": "EUR", "estimated_days": 1
    }],
    "messages": []
}"#;

/// A server that answers one rate, or an error; and how often it was asked.
async fn server(status: StatusCode) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let url = serve(Router::new().fallback(move || {
        count.fetch_add(1, Ordering::SeqCst);
        async move { (status, [("content-type", "application/json")], ONE_RATE) }
    }))
    .await;
    (url, asked)
}

/// A server that takes calls and never answers.
async fn hanging() -> String {
    serve(Router::new().fallback(future::pending::<StatusCode>)).await
}

/// A port where nobody listens.
async fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn live(setup: Setup, id: &str, url: &str) -> Setup {
    setup.source(&format!("id = {id:?}\nkind = \"shippo\"\nkey = \"k\"\nurl = {url:?}\ntimeout = \"10s\"\n"))
}

async fn select(gateway: &Gateway, request: SelectCarrierRequest) -> SelectCarrierResponse {
    gateway.carriers().select_carrier(request).await.unwrap().into_inner()
}

fn outcomes(answer: &SelectCarrierResponse) -> Vec<SourceOutcome> {
    answer.sources.iter().map(SourceReport::outcome).collect()
}

use SourceOutcome::{Answered, BreakerOpen, Cached, Failed, NotNeeded, TimedOut};

#[tokio::test]
async fn a_dead_and_a_hanging_source_keep_nobody_waiting() {
    let setup = live(Setup::on(Redis::shared().await), "dead", &dead().await);
    let setup = live(setup, "slow", &hanging().await);
    let gateway = with_table(setup.set("carriers.select_timeout = \"1m\""), "").serve().await;
    let mut request = Request::new(parcel());
    request.set_timeout(Duration::from_secs(3));
    let answer = gateway.carriers().select_carrier(request).await.unwrap().into_inner();
    assert_eq!(outcomes(&answer), [Failed, TimedOut, Answered]);
    assert_eq!(carrier_of(&answer), "cheap");
    assert!(answer.partial && !answer.fallback && !answer.event_id.is_empty());

    // The settings' own limit, without one of the caller.
    drop(gateway);
    let setup = live(Setup::on(Redis::shared().await), "slow", &hanging().await);
    let gateway = with_table(setup.set("carriers.select_timeout = \"100ms\""), "").serve().await;
    let answer = select(&gateway, parcel()).await;
    assert_eq!((outcomes(&answer), answer.partial), (vec![TimedOut, Answered], true));
}

#[tokio::test]
async fn the_fallback_is_asked_when_nobody_else_has_a_quote() {
    let (url, _) = server(StatusCode::OK).await;
    let setup = live(Setup::on(Redis::shared().await), "good", &url);
    let gateway = with_table(setup, "fallback = true").serve().await;
    let answer = select(&gateway, parcel()).await;
    assert_eq!((outcomes(&answer), carrier_of(&answer).as_str()), (vec![Answered, NotNeeded], "live_post"));
    assert!(!answer.fallback && !answer.partial);

    let setup = live(Setup::on(Redis::shared().await), "dead", &dead().await);
    let gateway = with_table(setup, "fallback = true").serve().await;
    let answer = select(&gateway, parcel()).await;
    assert_eq!((outcomes(&answer), carrier_of(&answer).as_str()), (vec![Failed, Answered], "cheap"));
    assert!(answer.fallback && answer.partial);
}

/// What only the table has, such as carriers that collect money, must be found while the servers answer.
#[tokio::test]
async fn the_fallback_is_asked_when_the_quotes_of_others_may_not_be_chosen() {
    let (url, _) = server(StatusCode::OK).await;
    let setup = live(Setup::on(Redis::shared().await), "good", &url);
    let gateway = with_table(setup, "fallback = true").serve().await;
    let only = SelectCarrierRequest { services_allowed: vec!["sure".to_owned()], ..parcel() };
    let answer = select(&gateway, only).await;
    assert_eq!((outcomes(&answer), carrier_of(&answer).as_str()), (vec![Answered, Answered], "sure"));
    assert!(answer.fallback && !answer.partial);
    let late = answer.others.iter().map(|other| other.verdict());
    assert_eq!(late.collect::<Vec<_>>(), [QuoteVerdict::ServiceNotAllowed, QuoteVerdict::ServiceNotAllowed]);
}

#[tokio::test]
async fn without_any_answer_the_caller_is_told_to_come_back() {
    let setup = live(Setup::on(Redis::shared().await), "dead", &dead().await);
    let gateway = setup.serve().await;
    let refused = gateway.carriers().select_carrier(parcel()).await.unwrap_err();
    check_status(&refused, Code::Unavailable, "CARRIERS_SILENT");
    assert!(refused.message().contains("dead failed"), "{}", refused.message());
}

#[tokio::test]
async fn the_same_is_asked_once_and_another_weight_again() {
    let (url, asked) = server(StatusCode::OK).await;
    let setup = live(Setup::on(Redis::shared().await), "good", &url).set("carriers.cache_ttl = \"10m\"");
    let gateway = setup.serve().await;
    let first = select(&gateway, parcel()).await;
    assert_eq!(outcomes(&first), [Answered]);
    // An answer is kept after it is told.
    let second = eventually("the answer is kept", SOON, async || {
        let answer = select(&gateway, parcel()).await;
        (outcomes(&answer) == [Cached]).then_some(answer)
    })
    .await;
    let calls = asked.load(Ordering::SeqCst);
    let [first, second] = [first, second].map(|answer| answer.chosen.unwrap().quote.unwrap());
    assert_eq!(
        (first.reference.as_str(), second.reference.as_str()),
        ("rate_1", ""),
        "rate_1 is of the first order"
    );
    assert_eq!(Quote { reference: String::new(), ..first }, second);
    assert_eq!(outcomes(&select(&gateway, parcel()).await), [Cached]);
    assert_eq!(asked.load(Ordering::SeqCst), calls);
    let mut heavier = parcel();
    heavier.parcels[0].weight_g += 1;
    assert_eq!(outcomes(&select(&gateway, heavier).await), [Answered]);
    assert_eq!(asked.load(Ordering::SeqCst), calls + 1);
}

#[tokio::test]
async fn a_source_that_fails_is_left_alone_and_then_tried() {
    let (url, asked) = server(StatusCode::INTERNAL_SERVER_ERROR).await;
    let setup = live(Setup::on(Redis::shared().await), "sick", &url);
    let gateway = with_table(setup, "").serve().await;
    let answer = eventually("its breaker is open", SOON, async || {
        let before = asked.load(Ordering::SeqCst);
        let answer = select(&gateway, parcel()).await;
        let is_open = outcomes(&answer)[0] == BreakerOpen;
        assert!(!is_open || asked.load(Ordering::SeqCst) == before, "nobody asks it");
        is_open.then_some(answer)
    })
    .await;
    assert!(answer.partial && answer.sources[0].message.contains("tried again"));
    let calls = asked.load(Ordering::SeqCst);
    assert!(calls >= 5, "{calls}");
    let listed = gateway.carriers().list_carriers(ListCarriersRequest::default()).await.unwrap().into_inner();
    assert_ne!(listed.sources[0].breaker(), BreakerState::Closed);
    eventually("it is tried", SOON, async || {
        select(&gateway, parcel()).await;
        (asked.load(Ordering::SeqCst) > calls).then_some(())
    })
    .await;
}
