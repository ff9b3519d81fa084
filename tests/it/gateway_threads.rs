//! A gateway that serves on several threads: one gateway to its callers.

use stockgate::proto::{EventOrder, WatchStockRequest, stock_service_client::StockServiceClient};
use tonic::Code;

use crate::{
    gateway::{Gateway, Setup, transport_to},
    gateway_calls::{check_status, sale},
    gateway_redis::Redis,
};

const THREADS: usize = 3;
/// Twice around.
const CONNECTIONS: usize = 2 * THREADS;

async fn threaded() -> (Setup, Gateway) {
    let setup = Setup::on(Redis::shared().await)
        .set(&format!("grpc.threads = {THREADS}"))
        .set("grpc.watches_max = 1");
    let gateway = setup.serve().await;
    (setup, gateway)
}

fn callers(gateway: &Gateway) -> Vec<StockServiceClient<tonic::transport::Channel>> {
    (0..CONNECTIONS).map(|_| StockServiceClient::new(transport_to(gateway.grpc))).collect()
}

#[tokio::test]
async fn all_threads_sell_the_same_stock_once() {
    let (_setup, gateway) = threaded().await;
    gateway.put(&[("a", 40)]).await;
    let mut sold = 0;
    for (number, mut caller) in callers(&gateway).into_iter().enumerate() {
        for call in 0..10 {
            let mut answers = Vec::new();
            for _ in 0..2 {
                answers.push(caller.decrement(sale(&format!("{number} {call}"), "a", 1)).await);
            }
            match (&answers[0], &answers[1]) {
                (Ok(first), Ok(repeat)) => {
                    assert_eq!(first.get_ref().lines, repeat.get_ref().lines);
                    assert!(repeat.get_ref().replayed && !first.get_ref().replayed);
                    sold += 1;
                }
                (Err(first), Err(_)) => check_status(first, Code::FailedPrecondition, "INSUFFICIENT_STOCK"),
                (first, repeat) => panic!("{first:?} then {repeat:?}"),
            }
        }
    }
    assert_eq!((sold, gateway.level("a").await.available), (40, 0));
    assert_eq!(gateway.events("a", EventOrder::OldestFirst).await.len(), 41);
}

#[tokio::test]
async fn bounds_hold_for_all_threads_together() {
    let (_setup, gateway) = threaded().await;
    let mut callers = callers(&gateway);
    let _watch = callers[0].watch_stock(WatchStockRequest::default()).await.unwrap();
    for caller in &mut callers[1..] {
        let refused = caller.watch_stock(WatchStockRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
    }
}

#[tokio::test]
async fn all_threads_end_together() {
    let (setup, mut gateway) = threaded().await;
    gateway.put(&[("a", 40)]).await;
    for (number, mut caller) in callers(&gateway).into_iter().enumerate() {
        caller.decrement(sale(&number.to_string(), "a", 1)).await.unwrap();
    }
    gateway.terminate();
    assert!(gateway.ended().await.success());
    assert_eq!(gateway.log_count("stopped"), 1);
    assert_eq!(gateway.log_count("did not end in time and is left behind"), 0);
    let again = setup.serve_at("all", &gateway.grpc.to_string()).await;
    assert_eq!(again.level("a").await.on_hand, 40 - i64::try_from(CONNECTIONS).unwrap());
}

#[tokio::test]
async fn two_gateways_do_not_share_an_address() {
    let (setup, gateway) = threaded().await;
    let mut command = setup.command();
    command.args(["serve", "--config"]).arg(setup.file());
    command
        .env("STOCKGATE_GRPC_LISTEN", gateway.grpc.to_string())
        .env("STOCKGATE_HTTP_LISTEN", "127.0.0.1:0");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("is another gateway running?"), "{said}");
}
