//! Gateways that are replaced one after the other while callers buy.

use std::{error::Error as _, io};

use tokio::time::timeout;
use tonic::{Code, Status};

use crate::{
    gateway::{SOON, Setup, eventually},
    gateway_crash::Rush,
    gateway_drain_age::send_to_the_end,
    gateway_redis::Redis,
    gateway_transact::Stream,
};

#[tokio::test]
async fn a_rolling_upgrade_under_load_loses_nothing_and_sells_nothing_twice() {
    let redis = Redis::start().await;
    let setup = Setup::on(&redis).set("grpc.threads = 2").set(r#"grpc.drain_grace = "50ms""#);
    let mut gateways = Vec::new();
    for _ in 0..2 {
        gateways.push(setup.serve().await);
    }
    let units = 10_000;
    gateways[0].put(&[("hot", units)]).await;
    let addresses: Vec<_> = gateways.iter().map(|gateway| gateway.grpc).collect();
    let rush = Rush::default();
    let buyers = rush.start(&addresses);
    for (replaced, sold) in [(0, 50), (1, 150), (0, 250)] {
        eventually("the rush is on", SOON, async || (rush.sold_count() >= sold).then_some(())).await;
        gateways[replaced].terminate();
        assert_eq!(gateways[replaced].ended().await.code(), Some(0));
        gateways[replaced] = setup.serve_at("all", &addresses[replaced].to_string()).await;
    }
    buyers.join_all().await;
    rush.check(&gateways[1], units).await;
    let lost: Vec<_> = rush.troubles().into_iter().filter(|trouble| !is_clean(trouble)).collect();
    assert!(lost.is_empty(), "answers were lost on the way: {lost:?}");
}

#[tokio::test]
async fn operations_at_the_stop_are_answered_or_were_not_carried_out() {
    let setup = Setup::on(Redis::shared().await).set("grpc.threads = 2");
    let setup = setup.set("grpc.transact_in_flight_max = 4");
    let mut gateway = setup.serve_as("gateway").await;
    gateway.put(&[("a", 1_000_000)]).await;
    let stream = Stream::open(&gateway).await;
    let sending = tokio::spawn(send_to_the_end(stream, 0, "DRAINING"));
    eventually("it sells", SOON, async || (gateway.level("a").await.version > 100).then_some(())).await;
    gateway.terminate();
    let answered = timeout(SOON, sending).await.unwrap().unwrap();
    assert_eq!(gateway.ended().await.code(), Some(0));
    let gateway = setup.serve_as("gateway").await;
    assert_eq!(u64::try_from(gateway.sales("a").await.len()).unwrap(), answered);
}

/// Whether nothing can have come of a call: the gateway says so, it had said goodbye, or nobody listens.
fn is_clean(trouble: &Status) -> bool {
    let is_said = trouble.code() == Code::Unavailable && !trouble.details().is_empty();
    let mut cause = trouble.source();
    let mut is_known = is_said;
    while let Some(error) = cause {
        let goodbye = error.downcast_ref::<h2::Error>();
        let refused = error.downcast_ref::<io::Error>();
        is_known |= goodbye.is_some_and(|error| error.is_go_away() && error.is_remote());
        // Its own client had not sent it.
        is_known |= error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        is_known |= refused.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        cause = error.source();
    }
    is_known
}
