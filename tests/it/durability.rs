//! Durability levels: what is confirmed, what falls short, who waits and who does not.

use std::time::Duration;

use futures_util::{FutureExt as _, future::join_all};
use stockgate::{
    domain::{Achieved, Durability, Mutation},
    store::{Address, DurabilitySettings, Lack, StoreError},
};

use crate::{
    durability_pair::{Pair, free_port},
    gateway::{SOON, eventually},
    gateway_redis::Redis,
    harness::{Shop, both},
    requests::{adjust, client, decrement, key, release, reserve, restock, sku},
};

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(25);
/// Over soon, when nothing comes.
const SHORT: Duration = Duration::from_millis(2_500);

fn level(text: &str) -> Durability {
    text.parse().unwrap()
}

fn at(text: &str, mutation: Mutation) -> Mutation {
    Mutation { durability: Some(level(text)), ..mutation }
}

fn replicas(asked: &str, replicas: u32) -> Achieved {
    Achieved { asked: level(asked), replicas, is_on_disk: false }
}

async fn shop_on(url: String, wait_timeout: Duration) -> Shop {
    let shop = Shop::open_with(both()[1], |settings| {
        settings.link.address = Address::parse(&url).unwrap();
        settings.link.response_timeout = Duration::from_secs(30);
        settings.durability = DurabilitySettings { level: Durability::Memory, wait_timeout };
    })
    .await;
    shop.stock(&[("A", 100), ("B", 100)]).await;
    shop
}

async fn command(redis: &Redis, words: &[&str]) {
    let mut connection = redis.connection().await;
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async::<redis::Value>(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_has_it_is_counted() {
    let pair = Pair::start().await;
    let shop = shop_on(pair.master.url(), LONG).await;
    let sold = shop.answer_owned(at("replicated=1", decrement("k", &[("A", 1)]))).await;
    assert_eq!((sold.result.is_ok(), sold.durability), (true, replicas("replicated=1", 1)));
    let quick = shop.answer_owned(decrement("k2", &[("A", 1)])).await;
    assert_eq!(quick.durability, Achieved::default());
    // A refusal is an answer that is remembered, and waits as well.
    let refused = shop.answer_owned(at("replicated=1", decrement("k3", &[("A", 1_000)]))).await;
    assert_eq!((refused.result.is_err(), refused.durability), (true, replicas("replicated=1", 1)));
    let mut reader = pair.replica.connection().await;
    let stock: Vec<String> =
        redis::cmd("HVALS").arg(shop.key("A", "stock")).query_async(&mut reader).await.unwrap();
    assert!(!stock.is_empty(), "the replica has the stock");
}

#[tokio::test]
async fn what_a_replica_does_not_confirm_in_time_is_sold_all_the_same() {
    let pair = Pair::start().await;
    let shop = shop_on(pair.master.url(), SHORT).await;
    pair.replica.freeze();
    let asked = at("replicated=1", decrement("k", &[("A", 1)]));
    for is_repeat in [false, true] {
        let sold = shop.answer(&asked).await;
        assert!(sold.result.is_ok());
        assert_eq!((sold.replayed, sold.durability), (is_repeat, replicas("replicated=1", 0)));
    }
    assert_eq!(shop.units("A").await, (99, 0));
    pair.replica.thaw();
}

#[tokio::test]
async fn nobody_who_asks_for_memory_waits_behind_a_wait() {
    let pair = Pair::start().await;
    let shop = shop_on(pair.master.url(), LONG).await;
    pair.replica.freeze();
    let mut waiting = shop.store.begin(at("replicated=1", decrement("slow", &[("A", 1)]))).unwrap();
    let mut reader = pair.master.connection().await;
    eventually("the sale hangs in its wait", SOON, async || {
        let info: redis::InfoDict = redis::cmd("INFO").arg("clients").query_async(&mut reader).await.unwrap();
        (info.get::<u32>("blocked_clients") > Some(0)).then_some(())
    })
    .await;
    for number in 0..10 {
        let quick = shop.answer_owned(decrement(&format!("quick {number}"), &[("A", 1)])).await;
        assert!(quick.result.is_ok());
    }
    assert_eq!(shop.units("A").await, (89, 0));
    assert!((&mut waiting).now_or_never().is_none(), "it was answered although no replica has it");
    pair.replica.thaw();
    assert_eq!(waiting.await.unwrap().durability, replicas("replicated=1", 1));
}

#[tokio::test]
async fn a_repeat_waits_for_what_another_gateway_wrote() {
    let pair = Pair::start().await;
    let (first, second) = {
        let shop = shop_on(pair.master.url(), SHORT).await;
        let other = shop.another_gateway();
        (shop, other)
    };
    // Its connection has written, and that is confirmed.
    let early = second.answer_owned(at("replicated=1", decrement("early", &[("B", 1)]))).await;
    assert_eq!(early.durability, replicas("replicated=1", 1));
    pair.replica.freeze();
    let sale = decrement("k", &[("A", 1)]);
    assert!(first.answer(&sale).await.result.is_ok());
    let repeat = at("replicated=1", sale);
    let answer = second.answer(&repeat).await;
    assert_eq!((answer.replayed, answer.durability), (true, replicas("replicated=1", 0)));
    pair.replica.thaw();
    pair.follows().await;
    let answer = second.answer(&repeat).await;
    assert_eq!((answer.replayed, answer.durability), (true, replicas("replicated=1", 1)));
    assert_eq!(first.units("A").await, (99, 0));
}

#[tokio::test]
async fn each_call_of_a_batch_is_told_by_what_it_asked() {
    let pair = Pair::start().await;
    let shop = shop_on(pair.master.url(), SHORT).await;
    let asked = [
        at("replicated=1", decrement("one", &[("A", 1)])),
        at("replicated=2", decrement("two", &[("A", 1)])),
        at("memory", decrement("none", &[("A", 1)])),
    ];
    let answers = join_all(asked.iter().map(|one| shop.answer(one))).await;
    let told: Vec<_> = answers.iter().map(|answer| answer.durability).collect();
    assert_eq!(told, [replicas("replicated=1", 1), replicas("replicated=2", 1), Achieved::default()]);
    let is_enough: Vec<_> = told.iter().map(|achieved| achieved.is_enough()).collect();
    assert_eq!(is_enough, [true, false, true]);
    assert_eq!(shop.units("A").await, (97, 0));
}

#[tokio::test]
async fn a_redis_that_forgot_the_scripts_confirms_all_the_same() {
    let pair = Pair::start().await;
    let shop = shop_on(pair.master.url(), LONG).await;
    shop.forget_scripts().await;
    let sold = shop.answer_owned(at("replicated=1", decrement("k", &[("A", 1)]))).await;
    assert_eq!((sold.replayed, sold.durability), (false, replicas("replicated=1", 1)));
}

#[tokio::test]
async fn over_maxmemory_what_gives_back_goes_and_claims_nothing() {
    let pair = Pair::start().await;
    let shop = shop_on(pair.master.url(), LONG).await;
    let held = shop.applied(&reserve("hold", &[("A", 5)], 60_000)).await.hold.unwrap().id;
    command(&pair.master, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let full = shop.fault(&at("replicated=1", decrement("k", &[("A", 1)]))).await;
    assert!(matches!(full, StoreError::OutOfMemory), "{full:?}");
    let back = shop.answer_owned(at("replicated=1", release("back", &held))).await;
    assert_eq!((back.result.is_ok(), back.durability), (true, replicas("replicated=1", 0)));
}

#[tokio::test]
async fn a_master_that_is_demoted_meanwhile_leaves_the_outcome_open() {
    let pair = Pair::start().await;
    let shop = shop_on(pair.master.url(), LONG).await;
    pair.replica.freeze();
    let asked = at("replicated=1", restock("k", &[("A", 1)]));
    let waiting = shop.store.begin(asked.clone()).unwrap();
    let mut reader = pair.master.connection().await;
    eventually("it hangs in its wait", SOON, async || {
        let info: redis::InfoDict = redis::cmd("INFO").arg("clients").query_async(&mut reader).await.unwrap();
        (info.get::<u32>("blocked_clients") > Some(0)).then_some(())
    })
    .await;
    command(&pair.master, &["REPLICAOF", "127.0.0.1", &free_port().to_string()]).await;
    let fault = waiting.await.unwrap_err();
    assert!(matches!(fault, StoreError::Unconfirmed { .. }), "{fault:?}");
    command(&pair.master, &["REPLICAOF", "NO", "ONE"]).await;
    pair.replica.thaw();
    pair.follows().await;
    let repeat = shop.answer(&asked).await;
    assert_eq!((repeat.replayed, repeat.durability), (true, replicas("replicated=1", 1)));
    assert_eq!(shop.units("A").await, (101, 0));
}

#[tokio::test]
async fn fsync_is_had_where_the_server_can_and_refused_where_it_cannot() {
    let redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"]).await;
    let shop = shop_on(redis.url(), LONG).await;
    let on_disk = Achieved { asked: Durability::Fsync, replicas: 0, is_on_disk: true };
    let known: Vec<redis::Value> = shop.redis(redis::cmd("COMMAND").arg("INFO").arg("WAITAOF")).await;
    let has_waitaof = known != [redis::Value::Nil];
    let sale = |key: &str| at("fsync", decrement(key, &[("A", 1)]));

    if has_waitaof {
        assert_eq!(shop.answer_owned(sale("everysec")).await.durability, on_disk);
    } else {
        let fault = shop.fault(&sale("everysec")).await;
        let StoreError::DurabilityUnavailable { level: "fsync", lack } = fault else { panic!("{fault:?}") };
        assert_eq!(lack, Lack::NotAlways { appendfsync: "everysec".to_owned() });
        assert_eq!(shop.units("A").await, (100, 0));
        let quick = shop.answer_owned(decrement("everysec", &[("A", 1)])).await;
        assert!(!quick.replayed, "a refused call leaves no record");
    }

    command(&redis, &["CONFIG", "SET", "appendfsync", "always"]).await;
    for is_repeat in [false, true] {
        let sold = shop.answer_owned(sale("always")).await;
        assert_eq!((sold.replayed, sold.durability), (is_repeat, on_disk));
    }
    assert_eq!(shop.units("A").await, (98, 0));

    if !has_waitaof {
        // Nobody told the gateway: this answer is honest, and the next is refused.
        command(&redis, &["CONFIG", "SET", "appendfsync", "everysec"]).await;
        let sold = shop.answer_owned(sale("weaker")).await;
        assert_eq!((sold.result.is_ok(), sold.durability.is_enough()), (true, false));
        let fault = shop.fault(&sale("weaker 2")).await;
        assert!(matches!(fault, StoreError::DurabilityUnavailable { .. }), "{fault:?}");
    }
    command(&redis, &["CONFIG", "SET", "appendonly", "no"]).await;
    let other = shop.another_gateway();
    let fault = other.fault(&sale("no file")).await;
    assert!(matches!(fault, StoreError::DurabilityUnavailable { lack: Lack::NoAppendOnly, .. }), "{fault:?}");
}

#[tokio::test]
async fn a_refused_level_refuses_its_own_calls_only() {
    let pair = Pair::start().await;
    let shop = shop_on(pair.master.url(), LONG).await;
    let asked =
        [at("fsync", decrement("disk", &[("A", 1)])), at("replicated=1", decrement("copy", &[("A", 1)]))];
    let answers = join_all(asked.iter().map(|one| shop.store.mutate(one, None))).await;
    assert!(matches!(answers[0], Err(StoreError::DurabilityUnavailable { level: "fsync", .. })));
    assert_eq!(answers[1].as_ref().unwrap().durability, replicas("replicated=1", 1));
    assert_eq!(shop.units("A").await, (99, 0));
}

#[tokio::test]
async fn rights_that_are_missing_are_named_and_needed_no_longer_than_that() {
    let redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    command(&redis, &["ACL", "SETUSER", "shop", "on", ">secret", "~*", "&*", "+@all", "-wait", "-config"])
        .await;
    let shop = shop_on(format!("{}?user=shop&pass=secret", redis.url()), SHORT).await;
    let lack = async |asked: &str| match shop.fault(&at(asked, adjust("k", "A", 1))).await {
        StoreError::DurabilityUnavailable { lack, .. } => lack,
        other => panic!("{other:?}"),
    };
    assert_eq!(lack("replicated=1").await, Lack::WaitWithheld);
    let known: Vec<redis::Value> = shop.redis(redis::cmd("COMMAND").arg("INFO").arg("WAITAOF")).await;
    if known == [redis::Value::Nil] {
        assert_eq!(lack("fsync").await, Lack::ConfigWithheld);
    }
    command(&redis, &["ACL", "SETUSER", "shop", "+wait", "+config|get"]).await;
    let answer = shop.answer_owned(at("replicated=1", adjust("k", "A", 1))).await;
    assert_eq!((answer.replayed, answer.durability), (false, replicas("replicated=1", 0)));
    let answer = shop.answer_owned(at("fsync", adjust("k", "A", 1))).await;
    assert!(answer.replayed && answer.durability.is_enough());
}

#[tokio::test]
async fn the_level_of_the_gateway_is_for_who_asks_for_none() {
    let pair = Pair::start().await;
    let shop = Shop::open_with(both()[0], |settings| {
        settings.link.address = Address::parse(&pair.master.url()).unwrap();
        settings.durability = DurabilitySettings { level: level("replicated=1"), wait_timeout: LONG };
    })
    .await;
    shop.store.check_durability().await.unwrap();
    shop.stock(&[("A", 10)]).await;
    let sold = shop.answer_owned(decrement("k", &[("A", 1)])).await;
    assert_eq!(sold.durability, replicas("replicated=1", 1));
    let quick = shop.answer_owned(at("memory", decrement("k", &[("A", 1)]))).await;
    assert_eq!((quick.replayed, quick.durability), (true, Achieved::default()));
    let (_, burnt) = shop.store.resolve_key(&client(), &sku("A"), &key("n"), None, None).await.unwrap();
    assert_eq!(burnt, replicas("replicated=1", 1));
}
