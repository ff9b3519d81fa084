//! A Transact stream as callers have it: every operation is answered like its rpc, whatever became of its neighbours.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use prost::Message as _;
use stockgate::domain::Partitions;
use stockgate::proto::{
    CommitRequest, DecrementRequest, ExtendHoldRequest, Line, LineResult, ReleaseRequest, ReserveRequest,
    RestockRequest, TransactRequest, TransactResponse, transact_request::Operation,
    transact_response::Result as Outcome,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming, transport::Channel};

use crate::{
    gateway::{Gateway, SOON, Setup},
    gateway_calls::{check_status, line, reason, sale},
    gateway_redis::Redis,
    requests,
};

/// Operations a test may send before the stream takes them.
const AHEAD: usize = 128;

/// Both ends of a stream, and what was sent.
pub(crate) struct Stream {
    out: Option<mpsc::Sender<TransactRequest>>,
    answers: Streaming<TransactResponse>,
}

impl Stream {
    /// Opens one on the connection the gateway's other clients use.
    pub(crate) async fn open(gateway: &Gateway) -> Self {
        Self::open_within(gateway.transport.clone(), None).await
    }

    /// Opens one, with a deadline or without.
    pub(crate) async fn open_within(transport: Channel, deadline: Option<Duration>) -> Self {
        Self::try_open(transport, deadline).await.unwrap()
    }

    /// Opens one on a connection that may be ending.
    pub(crate) async fn try_open(transport: Channel, deadline: Option<Duration>) -> Result<Self, Status> {
        let (out, requests) = mpsc::channel(AHEAD);
        let mut request = Request::new(ReceiverStream::new(requests));
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        let mut stock = stockgate::proto::stock_service_client::StockServiceClient::new(transport);
        Ok(Self { out: Some(out), answers: stock.transact(request).await?.into_inner() })
    }

    /// Sends an operation; waits while the stream takes none.
    pub(crate) async fn send(&self, tag: u64, operation: Operation) {
        let request = TransactRequest { tag, operation: Some(operation) };
        self.out.as_ref().unwrap().send(request).await.unwrap();
    }

    /// What sends, for a task of its own.
    pub(crate) fn sender(&self) -> mpsc::Sender<TransactRequest> {
        self.out.clone().unwrap()
    }

    /// Says that no more will come.
    pub(crate) fn half_close(&mut self) {
        self.out = None;
    }

    /// The next answer; None at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<(u64, Outcome)>, Status> {
        let answer = timeout(SOON, self.answers.message()).await.expect("an answer in time")?;
        Ok(answer.map(|answer| (answer.tag, answer.result.expect("a result"))))
    }

    /// Sends one operation and returns its answer.
    pub(crate) async fn ask(&mut self, operation: Operation) -> Outcome {
        self.send(7, operation).await;
        let (tag, outcome) = self.next().await.unwrap().unwrap();
        assert_eq!(tag, 7);
        outcome
    }

    /// So many answers by their tags; fails when a tag is answered twice.
    pub(crate) async fn answers(&mut self, count: usize) -> BTreeMap<u64, Outcome> {
        let mut answers = BTreeMap::new();
        for _ in 0..count {
            let (tag, outcome) = self.next().await.unwrap().unwrap();
            assert!(answers.insert(tag, outcome).is_none(), "{tag} was answered twice");
        }
        answers
    }

    /// All answers there still are by their tags, and how the stream ended.
    pub(crate) async fn rest(&mut self) -> (BTreeMap<u64, Outcome>, Result<(), Status>) {
        let mut answers = BTreeMap::new();
        loop {
            match self.next().await {
                Ok(Some((tag, outcome))) => {
                    assert!(answers.insert(tag, outcome).is_none(), "{tag} was answered twice");
                }
                Ok(None) => return (answers, Ok(())),
                Err(status) => return (answers, Err(status)),
            }
        }
    }
}

/// A sale as an operation.
pub(crate) fn sell(key: &str, sku: &str, quantity: i64) -> Operation {
    Operation::Decrement(sale(key, sku, quantity))
}

/// The line that a sale answered, and whether it is the first answer again.
#[track_caller]
pub(crate) fn sold(outcome: &Outcome) -> (LineResult, bool) {
    match outcome {
        Outcome::Decrement(response) => (response.lines[0].clone(), response.replayed),
        other => panic!("not sold: {other:?}"),
    }
}

/// The status that a problem stands for.
#[track_caller]
pub(crate) fn status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Problem(problem) => {
            let details = problem.encode_to_vec().into();
            Status::with_details(Code::from(problem.code), problem.message.clone(), details)
        }
        other => panic!("no problem: {other:?}"),
    }
}

#[tokio::test]
async fn every_operation_is_answered_like_its_rpc() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 10)]).await;
    let (mut stream, mut stock) = (Stream::open(&gateway).await, gateway.stock());
    // Asks on the stream first and then for the same again by the rpc.
    macro_rules! check {
        ($variant:ident, $rpc:ident, $request:expr) => {{
            let request = $request;
            let Outcome::$variant(first) = stream.ask(Operation::$variant(request.clone())).await else {
                panic!("another answer than to {request:?}")
            };
            assert!(!first.replayed, "{first:?}");
            let again = stock.$rpc(request).await.unwrap().into_inner();
            let mut expected = first.clone();
            expected.replayed = true;
            assert_eq!(again, expected);
            first
        }};
    }
    let key = str::to_owned;
    let lines = vec![line("a", 4)];
    check!(
        Restock,
        restock,
        RestockRequest { idempotency_key: key("in"), lines: lines.clone(), ..Default::default() }
    );
    check!(
        Decrement,
        decrement,
        DecrementRequest { idempotency_key: key("sell"), lines: lines.clone(), ..Default::default() }
    );
    let reserve = |name: &str| ReserveRequest {
        idempotency_key: key(name),
        lines: lines.clone(),
        ..Default::default()
    };
    let [sold, released] = [
        check!(Reserve, reserve, reserve("hold 1")).hold.unwrap().hold_id,
        check!(Reserve, reserve, reserve("hold 2")).hold.unwrap().hold_id,
    ];
    let ttl = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    check!(
        ExtendHold,
        extend_hold,
        ExtendHoldRequest { hold_id: sold.clone(), idempotency_key: key("longer"), ttl, durability: None }
    );
    check!(
        Commit,
        commit,
        CommitRequest { hold_id: sold, idempotency_key: key("pay"), ..Default::default() }
    );
    check!(
        Release,
        release,
        ReleaseRequest { hold_id: released, idempotency_key: key("back"), ..Default::default() }
    );
    let level = gateway.level("a").await;
    assert_eq!((level.on_hand, level.held), (6, 0));
    assert!(gateway.findings(false).await.is_empty());
}

#[tokio::test]
async fn a_bad_operation_is_answered_like_its_rpc_and_ends_nothing() {
    let gateway = Setup::on_one_partition(Redis::shared().await).serve().await;
    gateway.put(&[("a", 100), ("good", 100)]).await;
    gateway.sell("used", "a", 1).await;
    let (stream, mut stock) = (&mut Stream::open(&gateway).await, gateway.stock());
    // Holds nobody ever made: one of this shop, and one of a shop with more partitions.
    let [unknown_hold, strangers_hold] = [1, 256].map(|partitions| {
        let made = requests::reserve("never", &[("a", 1)], 1);
        requests::hold_of(&made, Partitions::new(partitions).unwrap()).to_string()
    });
    let [unknown_hold, strangers_hold] = [unknown_hold, strangers_hold].map(|hold_id| CommitRequest {
        hold_id,
        idempotency_key: "pay".to_owned(),
        ..Default::default()
    });
    let wrong_version = Line { expected_version: Some(1), ..line("a", 1) };
    let bad: Vec<(Operation, Status)> = vec![
        refused(
            sale("short", "a", 1000),
            Operation::Decrement,
            stock.decrement(sale("short 2", "a", 1000)).await,
        ),
        refused(
            sale("nobody", "b", 1),
            Operation::Decrement,
            stock.decrement(sale("nobody 2", "b", 1)).await,
        ),
        refused(sale("", "a b", -1), Operation::Decrement, stock.decrement(sale("", "a b", -1)).await),
        refused(sale("used", "a", 2), Operation::Decrement, stock.decrement(sale("used", "a", 2)).await),
        refused(
            DecrementRequest { lines: vec![wrong_version.clone()], ..sale("v", "a", 1) },
            Operation::Decrement,
            stock.decrement(DecrementRequest { lines: vec![wrong_version], ..sale("v 2", "a", 1) }).await,
        ),
        refused(strangers_hold.clone(), Operation::Commit, stock.commit(strangers_hold).await),
        refused(
            unknown_hold.clone(),
            Operation::Commit,
            stock.commit(CommitRequest { idempotency_key: "pay 2".to_owned(), ..unknown_hold }).await,
        ),
    ];
    let count = u64::try_from(bad.len()).unwrap();
    for (tag, (operation, _)) in bad.iter().enumerate() {
        let tag = u64::try_from(tag).unwrap();
        stream.send(tag, operation.clone()).await;
        stream.send(1000 + tag, sell(&format!("good {tag}"), "good", 1)).await;
    }
    stream.sender().send(TransactRequest { tag: u64::MAX, operation: None }).await.unwrap();
    stream.half_close();
    let (answers, end) = stream.rest().await;
    end.unwrap();
    assert_eq!(u64::try_from(answers.len()).unwrap(), 2 * count + 1);
    let mut said_reasons = BTreeSet::new();
    for (tag, (operation, expected)) in bad.iter().enumerate() {
        let tag = u64::try_from(tag).unwrap();
        let said = status(&answers[&tag]);
        assert_eq!((said.code(), said.message()), (expected.code(), expected.message()), "{operation:?}");
        assert_eq!(said.details(), expected.details(), "{operation:?}");
        said_reasons.insert(reason(&said));
        assert!(!sold(&answers[&(1000 + tag)]).1);
    }
    for expected in [
        "INSUFFICIENT_STOCK",
        "UNKNOWN_SKU",
        "MALFORMED_REQUEST",
        "IDEMPOTENCY_CONFLICT",
        "VERSION_MISMATCH",
        "UNKNOWN_HOLD",
    ] {
        assert!(said_reasons.contains(expected), "nothing was {expected}");
    }
    let nothing = status(&answers[&u64::MAX]);
    check_status(&nothing, Code::InvalidArgument, "MALFORMED_REQUEST");
    assert!(nothing.message().contains("operation"), "{nothing:?}");
    assert_eq!(gateway.level("a").await.version, 2, "a bad operation changed something");
    assert_eq!(gateway.level("good").await.on_hand, 100 - i64::try_from(count).unwrap());
}

/// An operation, and what its rpc said to the like of it.
fn refused<Q, R: std::fmt::Debug>(
    request: Q,
    operation: fn(Q) -> Operation,
    said: Result<Response<R>, Status>,
) -> (Operation, Status) {
    (operation(request), said.unwrap_err())
}

#[tokio::test]
async fn a_key_used_twice_under_way_is_answered_once_and_again() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 1000)]).await;
    let mut streams = [Stream::open(&gateway).await, Stream::open(&gateway).await];
    let keys: u64 = 50;
    for key in 0..keys {
        for copy in 0..2 {
            for stream in &streams {
                stream.send(2 * key + copy, sell(&format!("k{key}"), "a", 3)).await;
            }
        }
    }
    let mut first: BTreeMap<u64, LineResult> = BTreeMap::new();
    let mut fresh = 0;
    for stream in &mut streams {
        stream.half_close();
        let (answers, end) = stream.rest().await;
        end.unwrap();
        assert_eq!(answers.len(), 100);
        for (tag, outcome) in answers {
            let (line, replayed) = sold(&outcome);
            fresh += u64::from(!replayed);
            assert_eq!(first.entry(tag / 2).or_insert_with(|| line.clone()), &line, "of key {}", tag / 2);
        }
    }
    assert_eq!(fresh, keys);
    assert_eq!(gateway.level("a").await.on_hand, 850);
    assert_eq!(gateway.sales("a").await.len(), 50);
}

#[tokio::test]
async fn too_large_a_message_ends_the_stream_after_the_answers() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 100)]).await;
    let mut stream = Stream::open(&gateway).await;
    for tag in 0..10 {
        stream.send(tag, sell(&format!("k{tag}"), "a", 1)).await;
    }
    let large = DecrementRequest { reason: "x".repeat(5 << 20), ..sale("large", "a", 1) };
    stream.send(10, Operation::Decrement(large)).await;
    // It may not be taken any more.
    let behind = TransactRequest { tag: 11, operation: Some(sell("behind", "a", 1)) };
    let _ = stream.sender().send(behind).await;
    let (answers, end) = stream.rest().await;
    assert!(answers.keys().copied().eq(0..10), "{answers:?}");
    check_status(&end.unwrap_err(), Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert_eq!(gateway.level("a").await.on_hand, 90);
    let behind = gateway.stock().decrement(sale("behind", "a", 1)).await.unwrap().into_inner();
    assert!(!behind.replayed, "what stood behind was carried out");
}

#[tokio::test]
async fn streams_and_their_operations_are_counted() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 5)]).await;
    let mut stream = Stream::open(&gateway).await;
    for (tag, quantity) in [(0, 3), (1, 3), (2, 2)] {
        stream.send(tag, sell(&format!("k{tag}"), "a", quantity)).await;
    }
    stream.send(3, sell("k0", "a", 3)).await;
    let mut answers = stream.answers(4).await;
    let handled =
        r#"grpc_server_handled_total{grpc_service="stockgate.v1.StockService",grpc_method="Transact""#;
    assert!(!gateway.page("/metrics").await.1.contains(handled), "it has not ended");
    stream.half_close();
    let (rest, end) = stream.rest().await;
    end.unwrap();
    answers.extend(rest);
    check_status(&status(&answers[&1]), Code::FailedPrecondition, "INSUFFICIENT_STOCK");
    let said = gateway.page("/metrics").await.1;
    for line in [
        r#"stockgate_mutations_total{rpc="Decrement",outcome="applied"} 3"#,
        r#"stockgate_mutations_total{rpc="Decrement",outcome="refused"} 1"#,
        "stockgate_replays_total 1",
        &format!(r#"{handled},grpc_code="OK"}} 1"#),
    ] {
        assert!(said.contains(&format!("{line}\n")), "{line} is not in\n{said}");
    }
}
