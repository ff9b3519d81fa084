//! The flow of a Transact stream: what bounds it, and how it ends.

use std::time::Duration;

use stockgate::proto::{
    TransactRequest, stock_service_client::StockServiceClient, transact_request::Operation,
    transact_response::Result as Outcome,
};
use tokio::time::timeout;
use tonic::{Code, transport::Endpoint};

use crate::{
    gateway::{SOON, Setup, eventually},
    gateway_calls::{check_status, sale},
    gateway_contract::has_arrived,
    gateway_redis::Redis,
    gateway_transact::{Stream, sell, sold, status},
};

#[tokio::test]
async fn half_close_answers_all_that_was_sent() {
    let redis = Redis::start().await;
    let gateway = Setup::on(&redis).serve().await;
    gateway.put(&[("a", 100)]).await;
    redis.freeze();
    let mut stream = Stream::open(&gateway).await;
    for tag in 0..100 {
        stream.send(tag, sell(&format!("k{tag}"), "a", 1)).await;
    }
    stream.half_close();
    // The gateway has seen the end, or will only now; either way.
    redis.thaw();
    let (answers, end) = stream.rest().await;
    end.unwrap();
    assert!(answers.keys().copied().eq(0..100));
    assert!(answers.values().all(|outcome| !sold(outcome).1));
    assert_eq!(gateway.level("a").await.on_hand, 0);
}

#[tokio::test]
async fn told_to_stop_it_answers_what_is_under_way_and_reads_no_more() {
    let redis = Redis::start().await;
    let setup = Setup::on(&redis).set("grpc.transact_in_flight_max = 8");
    let mut gateway = setup.serve_as("gateway").await;
    gateway.put(&[("a", 1000)]).await;
    redis.freeze();
    let mut stock = gateway.stock();
    let first = tokio::spawn(async move { stock.decrement(sale("first", "a", 1)).await });
    has_arrived(&gateway).await;
    let mut stream = Stream::open(&gateway).await;
    for tag in 0..100 {
        stream.send(tag, sell(&format!("k{tag}"), "a", 1)).await;
    }
    // The first call is with Redis, and what the stream has read waits for it.
    eventually("the stream is read", SOON, async || {
        gateway.page("/metrics").await.1.contains("stockgate_queue_calls 8\n").then_some(())
    })
    .await;
    gateway.terminate();
    gateway.logged("shutting down").await;
    redis.thaw();
    first.await.unwrap().unwrap();
    let (answers, end) = stream.rest().await;
    assert!(answers.keys().copied().eq(0..8), "{answers:?}");
    check_status(&end.unwrap_err(), Code::Unavailable, "DRAINING");
    assert!(gateway.ended().await.success());

    let gateway = setup.serve().await;
    assert_eq!(gateway.level("a").await.on_hand, 991);
    let mut stream = Stream::open(&gateway).await;
    for tag in 0..100 {
        stream.send(tag, sell(&format!("k{tag}"), "a", 1)).await;
    }
    for (tag, outcome) in stream.answers(100).await {
        let (line, replayed) = sold(&outcome);
        assert_eq!(replayed, tag < 8);
        if let Some(first) = answers.get(&tag) {
            assert_eq!(line, sold(first).0);
        }
    }
    assert_eq!(gateway.level("a").await.on_hand, 899);
}

#[tokio::test]
async fn an_operation_without_an_answer_is_given_up_alone() {
    let redis = Redis::start().await;
    let setup = Setup::on(&redis).set(r#"grpc.default_deadline = "600ms""#);
    let gateway = setup.set(r#"redis.response_timeout = "30s""#).serve().await;
    gateway.put(&[("a", 10)]).await;
    let mut stream = Stream::open(&gateway).await;
    assert!(!sold(&stream.ask(sell("before", "a", 1)).await).1);
    redis.freeze();
    for tag in 0..3 {
        stream.send(tag, sell(&format!("k{tag}"), "a", 1)).await;
    }
    for outcome in stream.answers(3).await.values() {
        check_status(&status(outcome), Code::DeadlineExceeded, "OUTCOME_UNKNOWN");
    }
    redis.thaw();
    for tag in 0..3 {
        eventually("the repeat is answered", SOON, async || {
            let outcome = stream.ask(sell(&format!("k{tag}"), "a", 1)).await;
            matches!(outcome, Outcome::Decrement(_)).then_some(())
        })
        .await;
    }
    stream.half_close();
    stream.rest().await.1.unwrap();
    assert_eq!(gateway.level("a").await.on_hand, 6);
    assert_eq!(gateway.sales("a").await.len(), 4);
}

#[tokio::test]
async fn the_callers_deadline_ends_the_stream_after_the_last_answers() {
    let redis = Redis::start().await;
    let gateway = Setup::on(&redis).set(r#"redis.response_timeout = "30s""#).serve().await;
    gateway.put(&[("a", 10)]).await;
    redis.freeze();
    let deadline = Some(Duration::from_millis(400));
    let mut stream = Stream::open_within(gateway.transport.clone(), deadline).await;
    for tag in 0..3 {
        stream.send(tag, sell(&format!("k{tag}"), "a", 1)).await;
    }
    let (answers, end) = stream.rest().await;
    assert!(answers.keys().copied().eq(0..3), "{answers:?}");
    for outcome in answers.values() {
        check_status(&status(outcome), Code::DeadlineExceeded, "OUTCOME_UNKNOWN");
    }
    check_status(&end.unwrap_err(), Code::DeadlineExceeded, "DEADLINE_EXPIRED");
    redis.thaw();
    let mut stream = Stream::open(&gateway).await;
    for tag in 0..3 {
        stream.send(tag, sell(&format!("k{tag}"), "a", 1)).await;
    }
    for outcome in stream.answers(3).await.values() {
        sold(outcome);
    }
    assert_eq!(gateway.level("a").await.on_hand, 7);
}

#[tokio::test]
async fn streams_wait_for_room_in_the_queue_and_leave_some_to_single_calls() {
    let redis = Redis::start().await;
    let setup = Setup::on(&redis).set("committer.queue_max = 16").set("committer.batch_max = 4");
    let gateway = setup.serve().await;
    gateway.put(&[("a", 1000)]).await;
    redis.freeze();
    let mut stream = Stream::open(&gateway).await;
    for tag in 0..100 {
        stream.send(tag, sell(&format!("k{tag}"), "a", 1)).await;
    }
    // It fills three quarters of the queue.
    has_arrived(&gateway).await;
    let mut stock = gateway.stock();
    let call = tokio::spawn(async move { stock.decrement(sale("single", "a", 1)).await });
    has_arrived(&gateway).await;
    redis.thaw();
    call.await.unwrap().unwrap();
    stream.half_close();
    let (answers, end) = stream.rest().await;
    end.unwrap();
    assert_eq!(answers.len(), 100);
    assert!(answers.values().all(|outcome| !sold(outcome).1));
    assert_eq!(gateway.level("a").await.on_hand, 899);
}

#[tokio::test]
async fn an_operation_that_finds_no_room_in_time_is_overloaded_and_was_not_carried_out() {
    let redis = Redis::start().await;
    let setup = Setup::on(&redis).set("committer.queue_max = 16").set("committer.batch_max = 4");
    let setup = setup.set(r#"grpc.default_deadline = "600ms""#).set(r#"redis.response_timeout = "30s""#);
    let gateway = setup.serve().await;
    gateway.put(&[("a", 1000)]).await;
    redis.freeze();
    let mut stream = Stream::open(&gateway).await;
    // A script, what the committer holds ready, and three quarters of the queue hold 20 at most.
    for tag in 0..22 {
        stream.send(tag, sell(&format!("k{tag}"), "a", 1)).await;
    }
    let mut overloaded = Vec::new();
    for (tag, outcome) in stream.answers(22).await {
        let said = status(&outcome);
        match said.code() {
            Code::DeadlineExceeded => check_status(&said, Code::DeadlineExceeded, "OUTCOME_UNKNOWN"),
            _ => {
                check_status(&said, Code::ResourceExhausted, "OVERLOADED");
                overloaded.push(tag);
            }
        }
    }
    assert!(overloaded.len() >= 2, "{overloaded:?}");
    redis.thaw();
    // What had got into the queue before may still go; this call goes behind it.
    eventually("redis is back", SOON, async || gateway.stock().decrement(sale("last", "a", 1)).await.ok())
        .await;
    let sales = gateway.sales("a").await;
    for tag in overloaded {
        assert!(!sales.contains_key(&format!("k{tag}")), "{tag} was carried out");
    }
}

/// Far more than all windows and buffers on the way hold.
const FLOOD: u64 = 100_000;
/// A caller that could send nothing for so long is held up. Too short can only make the test pass.
const STALLED_AFTER: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_caller_that_does_not_read_is_not_read() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 1_000_000)]).await;
    let address = Endpoint::from_shared(format!("http://{}", gateway.grpc)).unwrap();
    let connection = address.initial_stream_window_size(65_535).connect().await.unwrap();
    let mut stream = Stream::open_within(connection.clone(), None).await;
    let out = stream.sender();
    let request = |tag: u64| {
        let order_ref = "o".repeat(200);
        let sale = stockgate::proto::DecrementRequest { order_ref, ..sale(&format!("k{tag}"), "a", 1) };
        TransactRequest { tag, operation: Some(Operation::Decrement(sale)) }
    };
    let mut sent = 0;
    while sent < FLOOD && timeout(STALLED_AFTER, out.send(request(sent))).await.is_ok() {
        sent += 1;
    }
    assert!(sent < FLOOD, "all was taken from a caller that reads nothing");
    // Other calls do not feel it, on the same connection either.
    let call = timeout(SOON, StockServiceClient::new(connection).decrement(sale("other", "a", 1))).await;
    call.expect("an answer in time").unwrap();

    drop(out);
    stream.half_close();
    let (answers, end) = stream.rest().await;
    end.unwrap();
    assert!(answers.keys().copied().eq(0..sent));
    assert_eq!(gateway.level("a").await.on_hand, 1_000_000 - 1 - i64::try_from(sent).unwrap());
}
