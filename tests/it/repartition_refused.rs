//! When the partitions of a shop are not changed: what is said then, and that it is as it was.

use std::{sync::Mutex, time::Duration};

use stockgate::store::{
    AtomicDomain, FindingKind, Repartition, RepartitionError, RepartitionStep, StoreError, repartition,
};

use crate::{
    gateway::{Gateway, Setup},
    gateway_calls::sale,
    gateway_redis::Redis,
    harness::{RETENTION_MS, Shop},
    repartition_shop::{is_left_over, lived_in, move_to, order, partitions, reopened},
    requests::*,
};

/// Asks for sixteen partitions; the refusal, after which everything is as it was and may be served.
async fn refused(shop: &Shop) -> RepartitionError {
    let before = shop.dump().await;
    let refused = move_to(&shop.settings, 16).await.unwrap_err();
    assert_eq!(shop.dump().await, before);
    assert_eq!(is_left_over(shop).await, Vec::<String>::new());
    shop.store.prepare().await.unwrap();
    refused
}

#[tokio::test]
async fn live_holds_must_end_first() {
    let (shop, _) = lived_in(4).await;
    let mut promised = Vec::new();
    for name in ["A", "B", "C"] {
        let answer = shop.applied(&reserve(&format!("live {name}"), &[(name, 1)], 70_000)).await;
        promised.push(answer.hold.unwrap().id);
    }
    let said = refused(&shop).await;
    assert!(
        matches!(said, RepartitionError::LiveHolds { live: 3, last_ends_in_ms: Some(70_000) }),
        "{said:?}"
    );
    assert!(said.to_string().contains("3 live holds") && said.to_string().contains("70 s"), "{said}");
    shop.applied(&commit("pay", &promised[0])).await;
    shop.pass(70_000);
    // The others are over, and nobody has swept them.
    move_to(&shop.settings, 16).await.unwrap();
    let moved = reopened(&shop, 16).await;
    assert_eq!((moved.level("A").await.held, moved.level("B").await.held), (0, 0));
    assert_eq!(moved.store.verify(&[], false).await.unwrap().findings, []);
}

#[tokio::test]
async fn a_broken_shop_is_not_moved() {
    let (shop, _) = lived_in(4).await;
    let level = shop.level("A").await;
    let wrong = format!("{} 0 {} 1 0 0-1-0-0", level.on_hand + 1, level.version);
    let mut spoil = redis::cmd("HSET");
    shop.redis::<i64>(spoil.arg(shop.key("A", "stock")).arg("A").arg(wrong)).await;
    let said = refused(&shop).await;
    assert!(matches!(said, RepartitionError::Wrong { wrong: 1, .. }), "{said:?}");
    assert!(said.to_string().contains("A has"), "{said}");
}

/// Workers set it aside and leave it in its stream, and while it is there nothing is repaired.
#[tokio::test]
async fn an_entry_that_does_not_parse_is_named_with_the_way_out() {
    let (shop, _) = lived_in(4).await;
    let stream = shop.key("A", "ev");
    let mut newest = redis::cmd("XREVRANGE");
    newest.arg(&stream).arg("+").arg("-").arg("COUNT").arg(1);
    let newest: redis::streams::StreamRangeReply = shop.redis(&mut newest).await;
    shop.redis::<i64>(redis::cmd("XDEL").arg(&stream).arg(&newest.ids[0].id)).await;
    let mut spoil = redis::cmd("XADD");
    let id: String = shop.redis(spoil.arg(&stream).arg("*").arg("t").arg(1).arg("e").arg("rubbish")).await;

    let said = refused(&shop).await.to_string();
    let way_out = format!("XDEL {stream} {id}");
    assert!(said.contains(&way_out) && said.contains("verify --repair"), "{said}");
    let report = shop.store.verify(&[], true).await.unwrap();
    assert!(report.findings.iter().all(|found| found.kind != FindingKind::Repaired), "{report:?}");

    shop.redis::<i64>(redis::cmd("XDEL").arg(&stream).arg(&id)).await;
    let said = refused(&shop).await;
    assert!(matches!(said, RepartitionError::Wrong { .. }), "{said:?}");
    shop.store.verify(&[], true).await.unwrap();
    move_to(&shop.settings, 16).await.unwrap();
    let moved = reopened(&shop, 16).await;
    assert_eq!(moved.store.verify(&[], false).await.unwrap().findings, []);
}

/// Children of carts whose homes cannot be asked stand in front of a hold that can be ended.
#[tokio::test]
async fn holds_behind_those_that_cannot_be_ended_are_ended() {
    let shop = Shop::open_with(partitions(16), |settings| settings.domain = AtomicDomain::Partition).await;
    let of = |name: &str| partitions(16).of(&sku(name));
    // In its turn before home, which would tell its children itself.
    let (home, other) = if of("A") > of("B") { ("A", "B") } else { ("B", "A") };
    shop.stock(&[(home, 1000), (other, 1000)]).await;
    for cart in 0..260 {
        shop.applied(&reserve(&format!("cart {cart}"), &[(home, 1), (other, 1)], 10)).await;
    }
    shop.applied(&reserve("alone", &[(other, 1)], 20)).await;
    shop.pass(50);
    let window = shop.now_ms() / RETENTION_MS;
    let records = shop.key(home, &format!("rec:{window}"));
    let kept = format!("{records}:kept");
    shop.redis::<String>(redis::cmd("RENAME").arg(&records).arg(&kept)).await;
    shop.redis::<()>(redis::cmd("SET").arg(&records).arg("no hash")).await;

    let said = move_to(&shop.settings, 4).await.unwrap_err();
    assert!(matches!(said, RepartitionError::Store(StoreError::WrongType { .. })), "{said:?}");
    let held = shop.store.hold(&hold_of(&reserve("alone", &[(other, 1)], 20), partitions(16))).await;
    let expired: i64 = shop.redis(redis::cmd("HLEN").arg(shop.key(other, &format!("ended:{window}")))).await;
    assert!(expired > 0 && held.unwrap().is_ok(), "it was ended");
    shop.redis::<String>(redis::cmd("RENAME").arg(&kept).arg(&records)).await;
    move_to(&shop.settings, 4).await.unwrap();
}

#[tokio::test]
async fn what_belongs_to_no_partition_is_named() {
    let (shop, _) = lived_in(4).await;
    let mut spoil = redis::cmd("HSET");
    shop.redis::<i64>(spoil.arg(shop.key("A", "sync:web")).arg("no sku").arg("1 1 0 1")).await;
    let said = refused(&shop).await.to_string();
    assert!(said.contains("sync:web") && said.contains("no sku"), "{said}");
    shop.redis::<i64>(redis::cmd("HDEL").arg(shop.key("A", "sync:web")).arg("no sku")).await;
    let mut group = redis::cmd("XGROUP");
    group.arg("CREATE").arg(shop.key("A", "ev")).arg("mine").arg("$");
    shop.redis::<()>(&mut group).await;
    let said = refused(&shop).await;
    assert!(matches!(&said, RepartitionError::ForeignGroup { group, .. } if group == "mine"), "{said:?}");
}

#[tokio::test]
async fn one_run_at_a_time() {
    let (shop, _) = lived_in(4).await;
    let turn = format!("{}:repartition", shop.settings.namespace);
    shop.redis::<()>(redis::cmd("SET").arg(&turn).arg("another").arg("PX").arg(60_000)).await;
    let said = move_to(&shop.settings, 16).await.unwrap_err();
    assert!(matches!(&said, RepartitionError::AnotherRun { key, .. } if *key == turn), "{said:?}");
    assert!(shop.redis::<bool>(redis::cmd("EXISTS").arg(&turn)).await, "it is still the other's");
    shop.redis::<()>(redis::cmd("DEL").arg(&turn)).await;

    // Whoever takes the turn while a run is at work stops it.
    let settings = shop.settings.clone();
    let quick = Repartition { lease: Duration::from_secs(1), quiet: Duration::from_secs(600), ..order(16) };
    let run = tokio::spawn(async move { repartition(settings, quick, &|_| {}).await });
    let mut steal = redis::cmd("SET");
    steal.arg(&turn).arg("another").arg("XX").arg("PX").arg(60_000);
    while shop.redis::<Option<String>>(&mut steal).await.is_none() {}
    let said = run.await.unwrap().unwrap_err();
    assert!(matches!(said, RepartitionError::LostTurn), "{said:?}");
    assert!(shop.redis::<bool>(redis::cmd("EXISTS").arg(&turn)).await, "it is still the other's");
}

#[tokio::test]
async fn an_empty_namespace_is_no_shop() {
    let (shop, _) = lived_in(4).await;
    let nowhere = stockgate::store::StoreSettings {
        namespace: format!("{}-nowhere", shop.settings.namespace),
        ..shop.settings.clone()
    };
    let said = move_to(&nowhere, 16).await.unwrap_err();
    assert!(matches!(said, RepartitionError::UnknownNamespace { .. }), "{said:?}");
    let left: Vec<String> = shop.redis(redis::cmd("KEYS").arg(format!("{}:*", nowhere.namespace))).await;
    assert_eq!(left, Vec::<String>::new());
    let said = move_to(&shop.settings, 4).await.unwrap_err();
    assert!(matches!(said, RepartitionError::SameCount { count: 4 }), "{said:?}");
}

/// A gateway that comes while it copies is seen before anything is removed.
#[tokio::test]
async fn a_sign_of_life_at_any_moment_stops_it() {
    let (shop, _) = lived_in(4).await;
    let before = shop.dump().await;
    for at in [RepartitionStep::Listening, RepartitionStep::VerifyingCopy] {
        let beating = Mutex::new(None);
        let tell = |step| {
            if step == at {
                let store = shop.store.clone();
                let beats = async move {
                    for _ in 0..50 {
                        store.pulse().await.unwrap();
                    }
                };
                *beating.lock().unwrap() = Some(tokio::spawn(beats));
            }
        };
        let said = repartition(shop.settings.clone(), order(16), &tell).await.unwrap_err();
        assert!(matches!(said, RepartitionError::Alive { .. }), "{at:?}: {said:?}");
        let beats = beating.lock().unwrap().take().expect("the step was told");
        beats.await.unwrap();
        assert_eq!(shop.dump().await, before);
        shop.store.prepare().await.unwrap();
    }
}

/// Runs the command on a stopped or running shop: exit code, what it printed, what it said.
async fn command(setup: &Setup, line: &str) -> (i32, String, String) {
    let mut command = setup.command();
    command.args(line.split(' ')).arg("--config").arg(setup.file());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

async fn sold(gateway: &Gateway) -> (i64, i64) {
    (gateway.level("A").await.on_hand, gateway.level("B").await.on_hand)
}

#[tokio::test]
async fn an_operator_moves_a_shop_on_the_command_line() {
    let setup = Setup::on(Redis::shared().await);
    let (code, _, said) = command(&setup, "repartition --to 16").await;
    assert_eq!((code, said.contains("there is no shop")), (1, true), "{said}");

    let mut gateway = setup.serve().await;
    gateway.put(&[("A", 9), ("B", 5)]).await;
    gateway.sell("k1", "A", 2).await;
    let (code, _, said) = command(&setup, "repartition --to 16").await;
    assert_eq!((code, said.contains("stop all of them")), (1, true), "{said}");
    assert_eq!(sold(&gateway).await, (7, 5));
    gateway.terminate();
    gateway.ended().await;

    let (code, printed, said) = command(&setup, "repartition --to 16 --dry-run").await;
    assert_eq!((code, said.contains("nothing was changed")), (0, true), "{said}");
    assert!(printed.contains("on hand"), "{printed}");
    let (code, printed, said) = command(&setup, "repartition --to 16 -o json").await;
    assert_eq!((code, said.contains("set redis.partitions = 16")), (0, true), "{said}");
    assert!(printed.contains(r#"{"what":"on hand","before":"12","after":"12"}"#), "{printed}");

    let (code, said) = setup.refusal().await;
    assert_eq!((code, said.contains("set redis.partitions = 16")), (Some(3), true), "{said}");
    let setup = setup.set("redis.partitions = 16");
    let gateway = setup.serve().await;
    assert_eq!(sold(&gateway).await, (7, 5));
    let again = gateway.stock().decrement(sale("k1", "A", 2)).await;
    assert!(again.unwrap().into_inner().replayed);
    assert_eq!(sold(&gateway).await, (7, 5));
}
