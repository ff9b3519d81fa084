//! Sentinel: a master that dies, freezes or is cut off from its sentinels under load. The gateway goes on with the next one
//! without a restart, and what was answered and is lost with the old one is counted, never silent.

use nix::sys::signal::Signal;

use crate::{
    gateway::{Setup, eventually},
    gateway_receiver::{Receiver, SECRET},
    guarded::WITHIN,
    sentinel_trio::{Extras, SENTINELS, Trio},
    shoppers::{CLIENTS, Patience, Shoppers, UNITS, check_books, sell, shows_a_sale, shows_the_truth},
};

/// Sales before the master is taken away, and after the next one answers, at least.
const SALES: usize = 100;

fn setup_on(trio: &Trio, login: &str) -> Setup {
    Setup::embedded().set(&format!("redis.url = {:?}", trio.url(login))).set("grpc.threads = 2")
}

/// The only SKU.
fn skus() -> Vec<String> {
    vec!["a".to_owned()]
}

#[tokio::test]
async fn a_master_killed_under_load_is_followed_by_the_next_and_losses_are_counted() {
    let (trio, web) = (Trio::start().await, Receiver::start().await);
    let setup = setup_on(&trio, "").channel("web", &web.url(), SECRET, "");
    let gateway = setup.serve().await;
    gateway.put(&[("a", UNITS)]).await;
    trio.replicate(0).await;
    let mut load = Shoppers::start(&[gateway.grpc], &skus(), Patience::Repeats);
    load.goes_on("a", SALES).await;
    shows_a_sale(&web, "a").await;
    // What is answered from now on is only in the master.
    trio.cut_off(0).await;
    let answered = load.count("a");
    load.goes_on("a", SALES).await;
    trio.signal(0, Signal::SIGKILL);
    let doomed = load.count("a") - answered;
    trio.signal(1, Signal::SIGCONT);
    trio.signal(2, Signal::SIGCONT);
    let master = trio.successor_of(0).await;
    load.goes_on("a", SALES).await;
    let sales = load.stop().await;
    gateway.readiness(200).await;
    assert_eq!(gateway.log_count("redis has a master"), 2, "server {master} is the second");
    let lost = check_books(&gateway, &skus(), &sales).await;
    assert!(lost.len() >= doomed - CLIENTS, "{doomed} were answered by a master without replicas: {lost:?}");
    println!("memory level: {} sales answered, {} of them lost with the master", sales.len(), lost.len());
    // Both blocking readers are with the new master: of events, and of what other workers ring for.
    shows_the_truth(&gateway, &web, &skus()).await;
    // One frozen sentinel of three keeps nobody waiting.
    trio.signal(SENTINELS.start, Signal::SIGSTOP);
    let another = setup.serve_as("gateway").await;
    assert_eq!(another.level("a").await, gateway.level("a").await);
}

#[tokio::test]
async fn a_master_that_freezes_and_comes_back_demoted_sells_nothing() {
    let (trio, web) = (Trio::start().await, Receiver::start().await);
    // Longer than all of this takes: nobody is freed by giving up.
    let setup =
        setup_on(&trio, "").channel("web", &web.url(), SECRET, "").set(r#"redis.response_timeout = "30s""#);
    let gateway = setup.serve().await;
    gateway.put(&[("a", UNITS)]).await;
    sell(&gateway.stock(), "before", "a").await;
    trio.replicate(0).await;
    shows_a_sale(&web, "a").await;
    trio.signal(0, Signal::SIGSTOP);
    let mut load = Shoppers::start(&[gateway.grpc], &skus(), Patience::Repeats);
    let master = trio.successor_of(0).await;
    eventually("the gateway knows", WITHIN, async || {
        (gateway.log_count("redis has a master") == 2).then_some(())
    })
    .await;
    // Now it reads and answers what it was sent before; nobody may take that for a sale.
    trio.signal(0, Signal::SIGCONT);
    load.goes_on("a", SALES).await;
    // The sentinels would do so after some ten seconds.
    trio.demote(0, master).await;
    load.goes_on("a", SALES).await;
    let sales = load.stop().await;
    let lost = check_books(&gateway, &skus(), &sales).await;
    assert!(lost.is_empty(), "answered after the freeze and unknown to the new master: {lost:?}");
    assert!(gateway.sales("a").await.contains_key("before"));
    shows_the_truth(&gateway, &web, &skus()).await;
}

/// The line of docs/redis.md.
const RIGHTS: &str = "+@read +@write +@connection -@dangerous +client|unblock +evalsha +eval +script|load +time +info \
                      +config|get +acl|whoami";

#[tokio::test]
async fn a_master_the_sentinels_replaced_is_left_although_it_answers() {
    let servers = format!("user clerk on >hunter2 ~sg:* {RIGHTS}");
    let trio =
        Trio::start_with(Extras { servers, sentinel_password: Some("whistle"), ..Extras::default() }).await;
    let web = Receiver::start().await;
    let setup = setup_on(&trio, "").channel("web", &web.url(), SECRET, "");
    std::fs::write(setup.directory.path().join("password"), "hunter2\n").unwrap();
    std::fs::write(setup.directory.path().join("sentinel"), "whistle").unwrap();
    let setup = setup
        .set(r#"redis.user = "clerk""#)
        .set(r#"redis.password_file = "password""#)
        .set(r#"redis.sentinel_password_file = "sentinel""#);
    let mut gateway = setup.serve().await;
    gateway.put(&[("a", UNITS)]).await;
    trio.replicate(0).await;
    sell(&gateway.stock(), "before", "a").await;
    shows_a_sale(&web, "a").await;
    // From now on it does not answer the sentinels any more, and cannot be told by them that it is demoted.
    let mut old = trio.connection(0).await.unwrap();
    let mut mute = redis::cmd("ACL");
    mute.arg("SETUSER")
        .arg("default")
        .arg("-ping")
        .arg("-info")
        .arg("-publish")
        .arg("-replicaof")
        .arg("-slaveof");
    mute.query_async::<()>(&mut old).await.unwrap();
    let master = trio.successor_of(0).await;
    let mut new = trio.connection(master).await.unwrap();
    let events = "sg:{p0}:ev";
    let count = async |connection: &mut redis::aio::MultiplexedConnection| -> i64 {
        redis::cmd("XLEN").arg(events).query_async(connection).await.unwrap()
    };
    let mut sold = 0;
    let before = count(&mut new).await;
    eventually("a sale goes to the new master", WITHIN, async || {
        sold += 1;
        sell(&gateway.stock(), &format!("probe {sold}"), "a").await;
        (count(&mut new).await > before).then_some(())
    })
    .await;
    let (in_old, in_new) = (count(&mut old).await, count(&mut new).await);
    for n in 0..20 {
        assert!(!sell(&gateway.stock(), &format!("after {n}"), "a").await.replayed);
    }
    assert_eq!(count(&mut old).await, in_old, "nothing more goes to the old master");
    assert!(count(&mut new).await > in_new);
    let known = gateway.sales("a").await;
    let lost = (1..=sold).filter(|n| !known.contains_key(&format!("probe {n}"))).count();
    println!(
        "cut off: {sold} sales answered while the sentinels chose, {lost} of them lost with the old master"
    );
    assert_eq!(gateway.level("a").await.on_hand, UNITS - i64::try_from(known.len()).unwrap());
    shows_the_truth(&gateway, &web, &skus()).await;
    // The clerk may do everything a gateway does, to the end.
    assert!(gateway.findings(true).await.is_empty());
    gateway.terminate();
    assert!(gateway.ended().await.success());
    assert!(include_str!("../../docs/redis.md").contains(&format!("on >PASSWORD ~sg:* {RIGHTS}\n")));
}
