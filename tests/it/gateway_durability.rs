//! Durability levels as callers have them: what the answers say, what is refused, what is counted, and what a start refuses.

use stockgate::proto::{
    AdjustStockRequest, CommitRequest, DecrementRequest, Durability, DurabilityAchieved, DurabilityLevel,
    ExtendHoldRequest, ImportStockRequest, ReleaseRequest, ReserveRequest, ResolveKeyRequest, RestockRequest,
    import_stock_request::Condition, transact_request::Operation, transact_response::Result as Outcome,
};
use tonic::Code;

use crate::{
    durability_pair::Pair,
    gateway::{Gateway, Setup},
    gateway_calls::{check_status, count, line, sale},
    gateway_redis::Redis,
    gateway_transact::{Stream, status},
};

const SHORT_ANSWER: &str = "changes are made and less durable than asked";

fn asking(level: Durability, replicas: i32, request: DecrementRequest) -> DecrementRequest {
    DecrementRequest { durability: Some(DurabilityLevel { level: level.into(), replicas }), ..request }
}

fn achieved(level: Durability, replicas: i32, reached: bool) -> Option<DurabilityAchieved> {
    Some(DurabilityAchieved { level: level.into(), replicas, reached })
}

async fn replicated(pair: &Pair, wait_timeout: &str) -> (Setup, Gateway) {
    let setup = Setup::on(&pair.master)
        .set(r#"durability.level = "replicated""#)
        .set(&format!("durability.wait_timeout = {wait_timeout:?}"));
    let gateway = setup.serve().await;
    (setup, gateway)
}

#[tokio::test]
async fn every_answer_to_a_change_says_how_durable_it_is() {
    let pair = Pair::start().await;
    let (_setup, gateway) = replicated(&pair, "4s").await;
    let (mut stock, mut inventory) = (gateway.stock(), gateway.inventory());
    let key = |name: &str| name.to_owned();
    let set = inventory.set_stock(count("set", "a", 100)).await.unwrap().into_inner();
    let adjust =
        AdjustStockRequest { idempotency_key: key("adjust"), sku: key("a"), delta: 1, ..Default::default() };
    let adjusted = inventory.adjust_stock(adjust).await.unwrap().into_inner();
    let row = ImportStockRequest {
        idempotency_key: key("row"),
        sku: key("b"),
        quantity: 1,
        condition: Some(Condition::Force(())),
        ..Default::default()
    };
    let imported = inventory.import_stock(tokio_stream::iter([row])).await.unwrap().into_inner();
    let sold = stock.decrement(sale("sell", "a", 1)).await.unwrap().into_inner();
    let lines = vec![line("a", 1)];
    let restock = RestockRequest { idempotency_key: key("in"), lines: lines.clone(), ..Default::default() };
    let restocked = stock.restock(restock).await.unwrap().into_inner();
    let reserve = |name: &str| ReserveRequest {
        idempotency_key: key(name),
        lines: lines.clone(),
        ..ReserveRequest::default()
    };
    let reserved = stock.reserve(reserve("one")).await.unwrap().into_inner();
    let hold_id = reserved.hold.unwrap().hold_id;
    let extend = ExtendHoldRequest {
        hold_id: hold_id.clone(),
        idempotency_key: key("longer"),
        ..ExtendHoldRequest::default()
    };
    let extended = stock.extend_hold(extend).await.unwrap().into_inner();
    let commit = CommitRequest { hold_id, idempotency_key: key("pay"), ..CommitRequest::default() };
    let committed = stock.commit(commit).await.unwrap().into_inner();
    let hold_id = stock.reserve(reserve("two")).await.unwrap().into_inner().hold.unwrap().hold_id;
    let release = ReleaseRequest { hold_id, idempotency_key: key("back"), ..ReleaseRequest::default() };
    let released = stock.release(release).await.unwrap().into_inner();
    let resolve = ResolveKeyRequest { sku: key("a"), idempotency_key: key("none"), durability: None };
    let resolved = stock.resolve_key(resolve).await.unwrap().into_inner();
    let said = [
        set.durability,
        adjusted.durability,
        imported.results[0].durability,
        sold.durability,
        restocked.durability,
        reserved.durability,
        extended.durability,
        committed.durability,
        released.durability,
        resolved.durability,
    ];
    assert_eq!(said, [achieved(Durability::Replicated, 1, true); 10]);
    assert!(
        gateway.page("/metrics").await.1.contains("stockgate_durability_seconds_count{level=\"replicated\"}")
    );
}

#[tokio::test]
async fn a_replica_that_dies_is_counted_and_logged_and_sells_on() {
    let pair = Pair::start().await;
    let (_setup, gateway) = replicated(&pair, "2s").await;
    gateway.put(&[("a", 100)]).await;
    let mut stock = gateway.stock();
    pair.replica.kill().await;
    let said = achieved(Durability::Memory, 0, false);
    for number in 0..3 {
        let sold = stock.decrement(sale(&format!("k{number}"), "a", 1)).await.unwrap().into_inner();
        assert_eq!((sold.durability, sold.lines[0].on_hand), (said, 99 - number));
    }
    let counted = "stockgate_durability_short_total{level=\"replicated\"} 3\n";
    assert!(gateway.page("/metrics").await.1.contains(counted));
    assert_eq!(gateway.log_count(SHORT_ANSWER), 1, "now and then, not for each");
    let quick = stock.decrement(asking(Durability::Memory, 0, sale("quick", "a", 1))).await.unwrap();
    assert_eq!(quick.into_inner().durability, achieved(Durability::Memory, 0, true));
}

#[tokio::test]
async fn operations_of_a_stream_have_levels_of_their_own() {
    let pair = Pair::start().await;
    let gateway = Setup::on(&pair.master).serve().await;
    gateway.put(&[("a", 100)]).await;
    let mut stream = Stream::open(&gateway).await;
    let levels = [
        (Durability::Unspecified, 0),
        (Durability::Memory, 0),
        (Durability::Replicated, 1),
        (Durability::Fsync, 0),
        (Durability::Replicated, 0),
    ];
    for (tag, (level, replicas)) in (0..).zip(levels) {
        let request = asking(level, replicas, sale(&tag.to_string(), "a", 1));
        stream.send(tag, Operation::Decrement(request)).await;
    }
    stream.half_close();
    let answers = stream.answers(levels.len()).await;
    let said = |tag: u64| match &answers[&tag] {
        Outcome::Decrement(sold) => sold.durability,
        other => panic!("{other:?}"),
    };
    assert_eq!(said(0), achieved(Durability::Memory, 0, true));
    assert_eq!(said(1), achieved(Durability::Memory, 0, true));
    assert_eq!(said(2), achieved(Durability::Replicated, 1, true));
    check_status(&status(&answers[&3]), Code::FailedPrecondition, "DURABILITY_UNAVAILABLE");
    check_status(&status(&answers[&4]), Code::InvalidArgument, "MALFORMED_REQUEST");
    assert_eq!(gateway.level("a").await.on_hand, 97);
}

#[tokio::test]
async fn a_deadline_before_the_wait_is_over_leaves_the_outcome_unknown() {
    let pair = Pair::start().await;
    // The gateway's own deadline: a client that sends one goes by it too, and may be the first to say so.
    let setup = Setup::on(&pair.master)
        .set(r#"durability.wait_timeout = "20s""#)
        .set(r#"grpc.default_deadline = "2s""#);
    let gateway = setup.serve().await;
    gateway.put(&[("a", 100)]).await;
    let mut stock = gateway.stock();
    pair.replica.freeze();
    let asked = asking(Durability::Replicated, 1, sale("k", "a", 1));
    let late = stock.decrement(asked.clone()).await.unwrap_err();
    check_status(&late, Code::DeadlineExceeded, "OUTCOME_UNKNOWN");
    assert_eq!(gateway.level("a").await.on_hand, 99);
    pair.replica.thaw();
    pair.follows().await;
    let repeat = stock.decrement(asked).await.unwrap().into_inner();
    assert_eq!((repeat.replayed, repeat.durability), (true, achieved(Durability::Replicated, 1, true)));
}

#[tokio::test]
async fn a_gateway_set_to_fsync_starts_only_where_it_can_be_had() {
    let fsync = |policy: &str| {
        Setup::embedded().set(r#"durability.level = "fsync""#).set(&format!("embedded.fsync = {policy:?}"))
    };
    let setup = fsync("always");
    let gateway = setup.serve().await;
    gateway.put(&[("a", 10)]).await;
    let sold = gateway.stock().decrement(sale("k", "a", 1)).await.unwrap().into_inner();
    assert_eq!(sold.durability, achieved(Durability::Fsync, 0, true));

    let off = Redis::start_with(&["--appendonly", "no"]).await;
    let (code, said) = Setup::on(&off).set(r#"durability.level = "fsync""#).refusal().await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("durability.level fsync") && said.contains("CONFIG SET appendonly yes"), "{said}");
}

#[tokio::test]
async fn the_command_line_asks_and_shows() {
    let pair = Pair::start().await;
    let setup = Setup::on(&pair.master).set(r#"durability.wait_timeout = "3s""#);
    let gateway = setup.serve().await;
    gateway.put(&[("a", 10)]).await;
    let run = async |line: &str| {
        let mut command = setup.command();
        command.args(line.split(' ')).env("STOCKGATE_GATEWAY", format!("http://{}", gateway.grpc));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("stock sell a --durability replicated=1").await.contains("\ndurability replicated=1\n"));
    assert!(!run("stock sell a").await.contains("durability"));
    let two = run("stock restock a --durability replicated=2 -o json").await;
    let json: serde_json::Value = serde_json::from_str(&two).unwrap();
    assert_eq!(
        json["durability"],
        serde_json::json!({"level": "replicated", "replicas": 1, "reached": false})
    );
}

#[tokio::test]
async fn a_killed_gateway_loses_nothing_it_said_a_replica_has() {
    let pair = Pair::start().await;
    let (setup, mut gateway) = replicated(&pair, "4s").await;
    gateway.put(&[("a", 100)]).await;
    let mut said = 0;
    for number in 0..20 {
        let sold = gateway.stock().decrement(sale(&number.to_string(), "a", 1)).await.unwrap().into_inner();
        said += i64::from(sold.durability == achieved(Durability::Replicated, 1, true));
    }
    pair.master.kill().await;
    gateway.kill();
    let mut replica = pair.replica.connection().await;
    redis::cmd("REPLICAOF").arg("NO").arg("ONE").query_async::<()>(&mut replica).await.unwrap();
    let promoted = format!("redis.url = {:?}", pair.replica.url());
    let after = setup.without_channels().set(&promoted).set(r#"durability.level = "memory""#).serve().await;
    assert_eq!((said, after.level("a").await.on_hand), (20, 80));
    for number in 0..20 {
        let repeat = after.stock().decrement(sale(&number.to_string(), "a", 1)).await.unwrap().into_inner();
        assert!(repeat.replayed, "what was acknowledged is remembered");
    }
    assert!(after.findings(false).await.is_empty());
}
