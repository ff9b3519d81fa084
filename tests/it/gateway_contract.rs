//! What any gRPC client may count on: reflection, health, deadlines, limits.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use nix::sys::signal::Signal;
use prost::Message as _;
use stockgate::proto::DecrementRequest;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;

use crate::{
    gateway::{Gateway, SOON, Setup, eventually, signal},
    gateway_calls::{check_status, reason, sale},
    gateway_redis::Redis,
};

const SERVICES: [&str; 3] =
    ["stockgate.v1.StockService", "stockgate.v1.InventoryService", "stockgate.v1.ChannelService"];

/// Health of a service, "" for all; the number of `ServingStatus`.
pub(crate) async fn health_of(gateway: &Gateway, service: &str) -> Result<i32, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(gateway.transport.clone()).check(request).await?.into_inner().status)
}

macro_rules! asked {
    ($version:ident, $gateway:expr, $wanted:ident($name:expr), $answer:ident($given:pat) => $result:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::$wanted($name.to_owned())),
        };
        let mut client = ServerReflectionClient::new($gateway.transport.clone());
        let asked = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
        let answer = asked.into_inner().message().await.unwrap().unwrap();
        let Some(MessageResponse::$answer($given)) = answer.message_response else { panic!("{answer:?}") };
        $result
    }};
}

macro_rules! listed_services {
    ($version:ident, $gateway:expr) => {
        asked!($version, $gateway, ListServices(""), ListServicesResponse(list) => {
            list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
        })
    };
}

#[tokio::test]
async fn reflection_lists_every_service_in_both_versions() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    for names in [listed_services!(v1, gateway), listed_services!(v1alpha, gateway)] {
        for service in SERVICES.iter().chain(&["grpc.health.v1.Health"]) {
            assert!(names.iter().any(|name| name == service), "{service} is not in {names:?}");
        }
    }
}

#[tokio::test]
async fn reflection_knows_the_details_of_statuses() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    for detail in ["ErrorInfo", "BadRequest", "PreconditionFailure", "RetryInfo"] {
        let name = format!("google.rpc.{detail}");
        asked!(v1, gateway, FileContainingSymbol(&name), FileDescriptorResponse(file) => {
            assert!(!file.file_descriptor_proto.is_empty(), "{name}");
        });
    }
}

#[tokio::test]
async fn health_is_said_per_service() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    for service in SERVICES.iter().chain(&[""]) {
        assert_eq!(health_of(&gateway, service).await.unwrap(), 1, "{service}");
    }
    let unknown = health_of(&gateway, "stockgate.v1.NoService").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn too_large_a_message_is_refused_and_changes_nothing() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 5)]).await;
    let request = DecrementRequest { reason: "x".repeat(5 << 20), ..sale("k", "a", 1) };
    let refused = gateway.stock().decrement(request).await.unwrap_err();
    check_status(&refused, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert_eq!(gateway.level("a").await.version, 1);
    gateway.sell("k", "a", 1).await;
}

/// Sends a call without tonic's client, whose own timer answers first.
async fn answer_of(gateway: &Gateway, grpc_timeout: &str, request: &DecrementRequest) -> Status {
    let stream = tokio::net::TcpStream::connect(gateway.grpc).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let head = Request::post(format!("http://{}/stockgate.v1.StockService/Decrement", gateway.grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", grpc_timeout)
        .body(())
        .unwrap();
    let message = request.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let framed = [&[0], &length[..], &message].concat();
    let (response, mut body) = client.send_request(head, false).unwrap();
    body.send_data(Bytes::from(framed), true).unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    while let Some(data) = body.data().await {
        drop(data.unwrap());
    }
    let trailers: HeaderMap = body.trailers().await.unwrap().unwrap_or(head.headers);
    driver.abort();
    Status::from_header_map(&trailers).expect("a status")
}

#[tokio::test]
async fn an_expired_deadline_is_said_and_changes_nothing() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 5)]).await;
    let answer = answer_of(&gateway, "0m", &sale("k", "a", 1)).await;
    check_status(&answer, Code::DeadlineExceeded, "DEADLINE_EXPIRED");
    assert_eq!(gateway.level("a").await.version, 1);
    let answer = answer_of(&gateway, "20S", &sale("k", "a", 1)).await;
    assert_eq!(answer.code(), Code::Ok, "{answer:?}");
    assert_eq!(gateway.level("a").await.version, 2);
}

#[tokio::test]
async fn a_call_to_a_redis_that_hangs_ends_in_time_and_its_repeat_answers_once() {
    let redis = Redis::start().await;
    let gateway = Setup::on(&redis).set(r#"grpc.default_deadline = "400ms""#).serve().await;
    gateway.put(&[("a", 5)]).await;
    redis.freeze();
    let started = Instant::now();
    let unknown = answer_of(&gateway, "300m", &sale("k", "a", 1)).await;
    let took = started.elapsed();
    check_status(&unknown, Code::DeadlineExceeded, "OUTCOME_UNKNOWN");
    assert!(took < Duration::from_millis(1500), "{took:?}");
    // A caller that sets no deadline has the default one.
    let unknown = gateway.stock().decrement(sale("k", "a", 1)).await.unwrap_err();
    check_status(&unknown, Code::DeadlineExceeded, "OUTCOME_UNKNOWN");
    redis.thaw();
    let first = eventually("the repeat is answered", SOON, async || {
        gateway.stock().decrement(sale("k", "a", 1)).await.ok()
    })
    .await
    .into_inner();
    let again = gateway.stock().decrement(sale("k", "a", 1)).await.unwrap().into_inner();
    assert!(again.replayed);
    assert_eq!(first.lines, again.lines);
    assert_eq!(gateway.level("a").await.on_hand, 4);
    assert_eq!(gateway.sales("a").await.len(), 1);
}

/// Two answers of the same connection are in the order of their calls, so the calls sent before are on their way.
pub(crate) async fn has_arrived(gateway: &Gateway) {
    for _ in 0..2 {
        health_of(gateway, "").await.unwrap();
    }
}

#[tokio::test]
async fn told_to_stop_it_answers_what_is_on_its_way() {
    let setup = Setup::embedded();
    let mut gateway = setup.serve().await;
    gateway.put(&[("a", 100)]).await;
    let redis = gateway.redis_pid();
    signal(redis, Signal::SIGSTOP);
    let calls: Vec<_> = (0..8)
        .map(|n| {
            let mut stock = gateway.stock();
            tokio::spawn(async move { stock.decrement(sale(&format!("k{n}"), "a", 1)).await })
        })
        .collect();
    has_arrived(&gateway).await;
    gateway.terminate();
    gateway.logged("shutting down").await;
    signal(redis, Signal::SIGCONT);
    for call in calls {
        let answer = timeout(SOON, call).await.unwrap().unwrap();
        assert!(!answer.unwrap().into_inner().replayed);
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(!crate::gateway::is_alive(redis), "redis was left behind");

    let gateway = setup.serve().await;
    assert_eq!(gateway.level("a").await.on_hand, 92);
}

#[tokio::test]
async fn a_watch_is_told_that_the_gateway_goes() {
    let mut gateway = Setup::on(Redis::shared().await).serve().await;
    let request = stockgate::proto::WatchStockRequest::default();
    let mut watch = gateway.stock().watch_stock(request).await.unwrap().into_inner();
    gateway.terminate();
    let token = timeout(SOON, watch.message()).await.unwrap().unwrap().unwrap();
    assert!(token.stock.is_none() && token.event.is_none() && !token.resume_token.is_empty(), "{token:?}");
    let ended = timeout(SOON, watch.message()).await.unwrap().unwrap_err();
    assert_eq!((ended.code(), reason(&ended)), (Code::Unavailable, "DRAINING".to_owned()));
    assert!(ended.get_details_retry_info().is_some());
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_watcher_of_health_does_not_hold_up_the_end() {
    let setup = Setup::on(Redis::shared().await);
    let mut gateway = setup.serve().await;
    gateway.put(&[("a", 5)]).await;
    let mut health = HealthClient::new(gateway.transport.clone());
    let request = HealthCheckRequest { service: String::new() };
    let mut watched = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status, 1);
    let told = Instant::now();
    gateway.terminate();
    assert_eq!(watched.message().await.unwrap().unwrap().status, 2, "not serving is said before the end");
    assert!(gateway.ended().await.success());
    assert!(told.elapsed() < Duration::from_secs(8), "the drain timeout is 10 s: {:?}", told.elapsed());
}
