//! Connections that end at their age, so that callers spread over gateways that came later.

use stockgate::proto::stock_service_client::StockServiceClient;
use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    gateway::{Gateway, SOON, Setup, eventually, transport_to},
    gateway_calls::{check_status, sale},
    gateway_drain::Caller,
    gateway_drain_watch::Watcher,
    gateway_redis::Redis,
    gateway_transact::{Stream, sell, sold},
};

/// Connections a stream sees the end of.
const ENDS: usize = 5;
const SALES_EACH: usize = 20;

/// Waits until so many connections at least were closed for this reason.
async fn closed(gateway: &Gateway, why: &str, least: u64) {
    let name = format!("stockgate_connections_closed_total{{why=\"{why}\"}} ");
    eventually(&name, SOON, async || {
        let (_, page) = gateway.page("/metrics").await;
        let count = page.lines().find_map(|line| line.strip_prefix(&name))?.parse::<u64>().unwrap();
        (count >= least).then_some(())
    })
    .await;
}

/// How many connections are open.
async fn open(gateway: &Gateway) -> i64 {
    let (_, page) = gateway.page("/metrics").await;
    let line = page.lines().find_map(|line| line.strip_prefix("stockgate_connections "));
    line.expect("shown from the start").parse().unwrap()
}

/// Sells one unit after the other from `first` on, as fast as they are taken, until the gateway ends the stream. Whatever was
/// read is answered; answers the first operation without an answer.
pub(crate) async fn send_to_the_end(mut stream: Stream, first: u64, reason: &str) -> u64 {
    let out = stream.sender();
    let sending = tokio::spawn(async move {
        let mut tag = first;
        let request = |tag: u64| stockgate::proto::TransactRequest {
            tag,
            operation: Some(sell(&format!("k{tag}"), "a", 1)),
        };
        while out.send(request(tag)).await.is_ok() {
            tag += 1;
        }
        tag
    });
    let (answers, end) = stream.rest().await;
    check_status(&end.unwrap_err(), Code::Unavailable, reason);
    drop(stream);
    let sent = timeout(SOON, sending).await.unwrap().unwrap();
    // What has no answer was not carried out: it is all sent again, and nothing is a repeat.
    let answered = u64::try_from(answers.len()).unwrap();
    assert!(answers.values().all(|outcome| !sold(outcome).1));
    assert!(sent >= first + answered);
    let unanswered = (first..sent).find(|tag| !answers.contains_key(tag)).unwrap_or(sent);
    assert!(answers.keys().all(|tag| *tag < unanswered), "read in order, answered to the last");
    unanswered
}

#[tokio::test]
async fn an_old_connection_says_goodbye_and_its_calls_are_answered() {
    let redis = Redis::start().await;
    let setup = Setup::on(&redis).set(r#"redis.response_timeout = "1m""#);
    let young = setup.serve_as("gateway").await;
    young.put(&[("a", 10)]).await;
    let setup = setup.set(r#"grpc.connection_age_max = "400ms""#).set(r#"grpc.connection_age_grace = "1h""#);
    let gateway = setup.set(r#"grpc.default_deadline = "1m""#).serve_as("gateway").await;
    assert_eq!(open(&gateway).await, 0);
    redis.freeze();
    let mut caller = Caller::connect(gateway.grpc).await;
    let calls = ["one", "two"].map(|key| caller.sell(&sale(key, "a", 1)));
    caller.arrived().await;
    assert_eq!(open(&gateway).await, 1);
    caller.goodbye().await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    redis.thaw();
    for call in calls {
        let answer = timeout(SOON, call).await.unwrap().unwrap().unwrap();
        assert_eq!(answer.code(), Code::Ok, "{answer:?}");
    }
    caller.closed().await;
    closed(&gateway, "age", 1).await;
    eventually("none is open", SOON, async || (open(&gateway).await == 0).then_some(())).await;
    let mut anew = StockServiceClient::new(transport_to(gateway.grpc));
    anew.decrement(sale("three", "a", 1)).await.unwrap();
    assert_eq!(young.level("a").await.on_hand, 7);
    drop(anew);
    closed(&gateway, "caller", 1).await;
}

#[tokio::test]
async fn connections_of_all_threads_come_to_their_age() {
    let setup = Setup::on(Redis::shared().await).set("grpc.threads = 3");
    let gateway = setup.set(r#"grpc.connection_age_max = "200ms""#).serve_as("gateway").await;
    let mut callers = Vec::new();
    for _ in 0..6 {
        callers.push(Caller::connect(gateway.grpc).await);
    }
    for caller in callers {
        caller.goodbye().await;
        caller.closed().await;
    }
    closed(&gateway, "age", 6).await;
}

#[tokio::test]
async fn a_watch_outlives_its_connections_without_gap_or_repeat() {
    let setup = Setup::on(Redis::shared().await);
    let seller = setup.serve_as("gateway").await;
    seller.put(&[("a", 1000)]).await;
    let setup = setup.set(r#"grpc.connection_age_max = "100ms""#);
    let gateway = setup.set(r#"grpc.connection_age_grace = "50ms""#).serve_as("gateway").await;
    let mut watcher = Watcher::of("a");
    drop(watcher.begin(&seller).await);
    for end in 0..ENDS {
        // A connection may come to its age between two calls: its caller asks again.
        let mut changes =
            eventually("a watch is taken", SOON, async || watcher.open(&gateway).await.ok()).await;
        for n in 0..SALES_EACH {
            seller.stock().decrement(sale(&format!("{end} {n}"), "a", 1)).await.unwrap();
        }
        let ended = watcher.read(&mut changes, usize::MAX).await.unwrap_err();
        check_status(&ended, Code::Unavailable, "CONNECTION_AGED");
    }
    let sold = ENDS * SALES_EACH;
    let mut changes = watcher.open(&seller).await.unwrap();
    watcher.read(&mut changes, sold).await.unwrap();
    let sold = i64::try_from(sold).unwrap();
    assert!(watcher.versions.iter().copied().eq(2..2 + sold), "{:?}", watcher.versions);
}

#[tokio::test]
async fn operations_of_an_old_connection_are_answered_or_were_not_carried_out() {
    let setup = Setup::on(Redis::shared().await);
    let young = setup.serve_as("gateway").await;
    young.put(&[("a", 1_000_000)]).await;
    let setup =
        setup.set(r#"grpc.connection_age_max = "100ms""#).set(r#"grpc.connection_age_grace = "20ms""#);
    let gateway = setup.set("grpc.transact_in_flight_max = 4").serve_as("gateway").await;
    let mut next = 0;
    for _ in 0..ENDS {
        let open = async || Stream::try_open(gateway.transport.clone(), None).await.ok();
        let stream = eventually("a stream is taken", SOON, open).await;
        next = send_to_the_end(stream, next, "CONNECTION_AGED").await;
    }
    let sales = young.sales("a").await;
    assert_eq!(u64::try_from(sales.len()).unwrap(), next);
}

#[tokio::test]
async fn who_stays_on_an_old_connection_is_cut_off() {
    let setup = Setup::on(Redis::shared().await).set(r#"grpc.connection_age_max = "100ms""#);
    let setup = setup.set(r#"grpc.connection_age_grace = "0s""#).set(r#"grpc.default_deadline = "100ms""#);
    let gateway = setup.serve_as("gateway").await;
    let mut health = HealthClient::new(gateway.transport.clone());
    let request = HealthCheckRequest { service: String::new() };
    let mut watched = health.watch(request).await.unwrap().into_inner();
    watched.message().await.unwrap().unwrap();
    // What it says in between does not matter.
    while let Ok(Some(_)) = timeout(SOON, watched.message()).await.expect("it is cut off") {}
    closed(&gateway, "overdue", 1).await;
}
