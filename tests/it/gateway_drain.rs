//! A gateway that is told to stop, step by step, as its callers and its balancer see it.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use prost::Message as _;
use stockgate::proto::{DecrementRequest, stock_service_client::StockServiceClient};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tonic::{Code, Status};

use crate::{
    gateway::{SOON, Setup, eventually, transport_to},
    gateway_calls::sale,
    gateway_contract::health_of,
    gateway_receiver::{Mode, Receiver, SECRET},
    gateway_redis::Redis,
};

/// `ServingStatus.NOT_SERVING`.
const NOT_SERVING: i32 = 2;

/// A caller that sees the frames: tonic's client would make another connection after a goodbye.
pub(crate) struct Caller {
    client: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
    address: SocketAddr,
}

impl Caller {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        Self { client, driver: tokio::spawn(connection), address }
    }

    /// Sends a sale; its answer is the status.
    pub(crate) fn sell(&mut self, request: &DecrementRequest) -> JoinHandle<Result<Status, h2::Error>> {
        let head = Request::post(format!("http://{}/stockgate.v1.StockService/Decrement", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let message = request.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let (response, mut body) = self.client.send_request(head, false).unwrap();
        body.send_data(Bytes::from([&[0], &length[..], &message].concat()), true).unwrap();
        tokio::spawn(async move {
            let (head, mut body) = response.await?.into_parts();
            while let Some(data) = body.data().await {
                drop(data?);
            }
            let trailers: HeaderMap = body.trailers().await?.unwrap_or(head.headers);
            Ok(Status::from_header_map(&trailers).expect("a status"))
        })
    }

    /// Waits until what was sent before is under way: answers that need no waiting come after it was read.
    pub(crate) async fn arrived(&mut self) {
        for _ in 0..2 {
            let refused = timeout(SOON, self.sell(&sale("", "a", 1))).await.unwrap().unwrap().unwrap();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        }
    }

    /// Waits for the goodbye: no fault, and no further call on this connection.
    pub(crate) async fn goodbye(&self) {
        eventually("the gateway says goodbye", SOON, async || {
            let error = self.client.clone().ready().await.err()?;
            assert!(error.is_go_away() && error.is_remote(), "{error:?}");
            assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR));
            Some(())
        })
        .await;
    }

    /// Waits until the connection is closed.
    pub(crate) async fn closed(self) {
        drop(self.client);
        let _ = timeout(SOON, self.driver).await.expect("it is closed in time");
    }
}

#[tokio::test]
async fn through_the_grace_health_says_no_and_every_call_is_served() {
    let setup = Setup::on(Redis::shared().await).set(r#"grpc.drain_grace = "10m""#);
    let mut gateway = setup.serve_as("gateway").await;
    gateway.put(&[("a", 10)]).await;
    gateway.terminate();
    assert_eq!(gateway.readiness(503).await, "shutting down\n");
    assert_eq!(health_of(&gateway, "").await.unwrap(), NOT_SERVING);
    assert_eq!(health_of(&gateway, "stockgate.v1.StockService").await.unwrap(), NOT_SERVING);
    gateway.sell("old connection", "a", 1).await;
    let mut late = StockServiceClient::new(transport_to(gateway.grpc));
    late.decrement(sale("new connection", "a", 1)).await.unwrap();
    assert_eq!(gateway.level("a").await.on_hand, 8);
    assert_eq!(gateway.page("/healthz").await.0, 200, "it is alive");
    // Who cannot wait says so again.
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(1));
    eventually("it says why", SOON, async || {
        gateway.said("told to stop once more: what is under way is cut off")
    })
    .await;
}

#[tokio::test]
async fn health_says_no_at_once_while_redis_hangs() {
    let redis = Redis::start().await;
    let setup = Setup::on(&redis).set(r#"redis.response_timeout = "1m""#);
    let mut gateway = setup.set(r#"grpc.drain_grace = "10m""#).serve_as("gateway").await;
    redis.freeze();
    tokio::time::sleep(std::time::Duration::from_millis(700)).await; // why: a sign of life is asked for every 500 ms
    gateway.terminate();
    assert_eq!(gateway.readiness(503).await, "shutting down\n");
    assert_eq!(health_of(&gateway, "").await.unwrap(), NOT_SERVING);
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(1), "it did not wait for the grace");
}

#[tokio::test]
async fn after_the_goodbye_calls_under_way_are_answered_and_nobody_new_comes_in() {
    for threads in [1, 2] {
        let redis = Redis::start().await;
        let setup = Setup::on(&redis).set(r#"redis.response_timeout = "1m""#);
        let setup = setup.set(&format!("grpc.threads = {threads}"));
        let mut gateway = setup.serve_as("gateway").await;
        gateway.put(&[("a", 10)]).await;
        let (mut busy, idle) = (Caller::connect(gateway.grpc).await, Caller::connect(gateway.grpc).await);
        let before = busy.sell(&sale("its thread is connected", "a", 1)).await.unwrap().unwrap();
        assert_eq!(before.code(), Code::Ok);
        redis.freeze();
        let first = busy.sell(&sale("first", "a", 1));
        let second = busy.sell(&sale("second", "a", 1));
        busy.arrived().await;
        gateway.terminate();
        busy.goodbye().await;
        idle.goodbye().await;
        idle.closed().await;
        eventually("nobody listens", SOON, async || TcpStream::connect(gateway.grpc).await.err()).await;
        assert_eq!(gateway.readiness(503).await, "shutting down\n");
        assert!(!first.is_finished() && !second.is_finished());
        redis.thaw();
        for call in [first, second] {
            let answer = timeout(SOON, call).await.unwrap().unwrap().unwrap();
            assert_eq!(answer.code(), Code::Ok, "{answer:?}");
        }
        assert_eq!(gateway.ended().await.code(), Some(0));
        assert_eq!(gateway.log_count("stopped"), 1);
        let gateway = setup.serve().await;
        assert_eq!(gateway.level("a").await.on_hand, 7);
        assert_eq!(gateway.sales("a").await.len(), 3);
    }
}

#[tokio::test]
async fn what_is_not_finished_in_time_is_cut_off_named_and_no_good_end() {
    for threads in [1, 2] {
        let redis = Redis::start().await;
        let setup = Setup::on(&redis).set(r#"redis.response_timeout = "1m""#);
        let setup = setup.set(r#"grpc.default_deadline = "1m""#).set(r#"grpc.drain_timeout = "300ms""#);
        let setup = setup.set(&format!("grpc.threads = {threads}"));
        let mut gateway = setup.serve_as("gateway").await;
        gateway.put(&[("a", 10)]).await;
        let mut caller = Caller::connect(gateway.grpc).await;
        let before = caller.sell(&sale("its thread is connected", "a", 1)).await.unwrap().unwrap();
        assert_eq!(before.code(), Code::Ok);
        redis.freeze();
        let calls = ["one", "two"].map(|key| caller.sell(&sale(key, "a", 1)));
        caller.arrived().await;
        gateway.terminate();
        assert_eq!(gateway.ended().await.code(), Some(1));
        let said = eventually("it says what", SOON, async || {
            gateway.said("stopped before all was finished").map(|line| line["unfinished"].to_string())
        })
        .await;
        assert!(said.contains("2 calls"), "{said}");
        for call in calls {
            let ended = timeout(SOON, call).await.unwrap().unwrap();
            assert!(ended.is_err(), "a broken connection: {ended:?}");
        }
        redis.thaw();
        let gateway = setup.serve().await;
        for key in ["one", "two"] {
            gateway.sell(key, "a", 1).await;
        }
        assert_eq!(gateway.level("a").await.on_hand, 7, "the repeats are safe");
    }
}

#[tokio::test]
async fn leases_are_handed_back_within_the_limit_of_the_whole() {
    let web = Receiver::start().await;
    web.set(Mode::Mute);
    // Calls to channels would be given longer than there is.
    let setup = Setup::on(Redis::shared().await)
        .set(r#"propagation.lease = "1h""#)
        .set(r#"propagation.drain_timeout = "10m""#)
        .set(r#"grpc.drain_timeout = "2s""#)
        .channel("web", &web.url(), SECRET, "timeout = \"10m\"");
    let mut gateway = setup.serve().await;
    gateway.put(&[("a", 10)]).await;
    eventually("it is being told", SOON, async || (web.open_calls() == 1).then_some(())).await;
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
    web.set(Mode::Up);
    let gateway = setup.serve().await;
    gateway.in_sync("web", "a").await;
    assert_eq!(web.shows("a").unwrap().quantity, 10);
    web.check();
}
