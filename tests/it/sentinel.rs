//! Sentinel: a master that dies, freezes or is cut off from its sentinels under load. The gateway goes on with the next one
//! without a restart, and what was answered and is lost with the old one is counted, never silent.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use nix::sys::signal::Signal;
use stockgate::proto::stock_service_client::StockServiceClient;
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    gateway::{Gateway, Setup, eventually},
    gateway_calls::{reason, sale},
    gateway_receiver::{Receiver, SECRET},
    sentinel_trio::{Extras, SENTINELS, Trio, WITHIN},
};

const CLIENTS: usize = 4;
/// Sales before the master is taken away, and after the next one answers, at least.
const SALES: usize = 100;
/// Units there are at first: more than are ever sold.
const UNITS: i64 = 1_000_000;
/// How long a client thinks between two calls, and before it asks again.
const THINKS: Duration = Duration::from_millis(10);

fn setup_on(trio: &Trio, login: &str) -> Setup {
    Setup::embedded().set(&format!("redis.url = {:?}", trio.url(login))).set("grpc.threads = 2")
}

/// Clients that sell one unit after the other, each with a key of its own, and repeat a call until it is answered.
struct Load {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    fn start(gateway: &Gateway) -> Self {
        let (is_over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            // A connection each, so that every thread of the gateway has some.
            let stock = StockServiceClient::new(crate::gateway::transport_to(gateway.grpc));
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            clients.spawn(async move {
                let mut keys = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let key = format!("{client}/{}", keys.len());
                    sell(&stock, &key).await;
                    keys.push(key);
                    answered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(THINKS).await; // why: shoppers think
                }
                keys
            });
        }
        Self { is_over, answered, clients }
    }

    /// Waits for so many more answers.
    async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("sales are answered", WITHIN, async || {
            (self.answered.load(Ordering::Relaxed) >= before + SALES).then_some(())
        })
        .await;
    }

    /// The keys of all answered sales.
    async fn stop(self) -> Vec<String> {
        self.is_over.store(true, Ordering::Relaxed);
        self.clients.join_all().await.concat()
    }
}

/// Sells one unit, with the same key until there is an answer; whether that was a repetition.
async fn sell(stock: &StockServiceClient<Channel>, key: &str) -> bool {
    let deadline = Instant::now() + WITHIN;
    loop {
        let status = match stock.clone().decrement(sale(key, "a", 1)).await {
            Ok(answer) => return answer.into_inner().replayed,
            Err(status) => status,
        };
        let is_expected = match (status.code(), reason(&status).as_str()) {
            (Code::Unavailable, _) => status.get_details_retry_info().is_some(),
            (Code::DeadlineExceeded, "OUTCOME_UNKNOWN") => true,
            _ => false,
        };
        assert!(is_expected, "{status:?}");
        assert!(Instant::now() < deadline, "{key} is not answered: {status:?}");
        tokio::time::sleep(THINKS).await; // why: a client waits before it asks again
    }
}

/// Counts what was answered and is not known, repeats every key, and checks the books before and after. Returns the losses.
async fn check_books(gateway: &Gateway, keys: &[String]) -> Vec<String> {
    let known = gateway.sales("a").await;
    let level = gateway.level("a").await;
    assert_eq!(level.on_hand, UNITS - i64::try_from(known.len()).unwrap());
    assert!(gateway.findings(false).await.is_empty());
    let lost: Vec<String> = keys.iter().filter(|key| !known.contains_key(*key)).cloned().collect();
    let replayed: BTreeMap<&String, bool> = {
        let mut replayed = BTreeMap::new();
        for key in keys {
            replayed.insert(key, sell(&gateway.stock(), key).await);
        }
        replayed
    };
    for (key, replayed) in replayed {
        assert_eq!(replayed, known.contains_key(key), "{key}");
    }
    let all = gateway.sales("a").await;
    assert_eq!(all.len(), known.len() + lost.len());
    assert_eq!(gateway.level("a").await.on_hand, UNITS - i64::try_from(all.len()).unwrap());
    lost
}

/// Waits until a channel shows what there is.
async fn shows_the_truth(gateway: &Gateway, web: &Receiver) {
    let on_hand = gateway.level("a").await.on_hand;
    eventually("the channel shows what there is", WITHIN, async || {
        (web.shows("a")?.quantity == on_hand).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_master_killed_under_load_is_followed_by_the_next_and_losses_are_counted() {
    let (trio, web) = (Trio::start().await, Receiver::start().await);
    let setup = setup_on(&trio, "").channel("web", &web.url(), SECRET, "");
    let gateway = setup.serve().await;
    gateway.put(&[("a", UNITS)]).await;
    trio.replicate(0).await;
    let load = Load::start(&gateway);
    load.goes_on().await;
    shows_a_sale(&web).await;
    // What is answered from now on is only in the master.
    trio.cut_off(0).await;
    let answered = load.answered.load(Ordering::Relaxed);
    load.goes_on().await;
    trio.signal(0, Signal::SIGKILL);
    let doomed = load.answered.load(Ordering::Relaxed) - answered;
    trio.signal(1, Signal::SIGCONT);
    trio.signal(2, Signal::SIGCONT);
    let master = trio.successor_of(0).await;
    load.goes_on().await;
    let keys = load.stop().await;
    gateway.readiness(200).await;
    assert_eq!(gateway.log_count("redis has a master"), 2, "server {master} is the second");
    let lost = check_books(&gateway, &keys).await;
    assert!(lost.len() >= doomed - CLIENTS, "{doomed} were answered by a master without replicas: {lost:?}");
    println!("memory level: {} sales answered, {} of them lost with the master", keys.len(), lost.len());
    // Both blocking readers are with the new master: of events, and of what other workers ring for.
    shows_the_truth(&gateway, &web).await;
    // One frozen sentinel of three keeps nobody waiting.
    trio.signal(SENTINELS.start, Signal::SIGSTOP);
    let another = setup.serve_as("gateway").await;
    assert_eq!(another.level("a").await, gateway.level("a").await);
}

/// Waits until a channel heard of a sale.
async fn shows_a_sale(web: &Receiver) {
    let is_sold = async || web.shows("a").filter(|shown| shown.quantity < UNITS);
    eventually("the channel heard of a sale", WITHIN, is_sold).await;
}

#[tokio::test]
async fn a_master_that_freezes_and_comes_back_demoted_sells_nothing() {
    let (trio, web) = (Trio::start().await, Receiver::start().await);
    // Longer than all of this takes: nobody is freed by giving up.
    let setup =
        setup_on(&trio, "").channel("web", &web.url(), SECRET, "").set(r#"redis.response_timeout = "30s""#);
    let gateway = setup.serve().await;
    gateway.put(&[("a", UNITS)]).await;
    sell(&gateway.stock(), "before").await;
    trio.replicate(0).await;
    shows_a_sale(&web).await;
    trio.signal(0, Signal::SIGSTOP);
    let load = Load::start(&gateway);
    let master = trio.successor_of(0).await;
    eventually("the gateway knows", WITHIN, async || {
        (gateway.log_count("redis has a master") == 2).then_some(())
    })
    .await;
    // Now it reads and answers what it was sent before; nobody may take that for a sale.
    trio.signal(0, Signal::SIGCONT);
    load.goes_on().await;
    // The sentinels would do so after some ten seconds.
    trio.demote(0, master).await;
    load.goes_on().await;
    let keys = load.stop().await;
    let lost = check_books(&gateway, &keys).await;
    assert!(lost.is_empty(), "answered after the freeze and unknown to the new master: {lost:?}");
    assert!(gateway.sales("a").await.contains_key("before"));
    shows_the_truth(&gateway, &web).await;
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
    sell(&gateway.stock(), "before").await;
    shows_a_sale(&web).await;
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
        sell(&gateway.stock(), &format!("probe {sold}")).await;
        (count(&mut new).await > before).then_some(())
    })
    .await;
    let (in_old, in_new) = (count(&mut old).await, count(&mut new).await);
    for n in 0..20 {
        assert!(!sell(&gateway.stock(), &format!("after {n}")).await);
    }
    assert_eq!(count(&mut old).await, in_old, "nothing more goes to the old master");
    assert!(count(&mut new).await > in_new);
    let known = gateway.sales("a").await;
    let lost = (1..=sold).filter(|n| !known.contains_key(&format!("probe {n}"))).count();
    println!(
        "cut off: {sold} sales answered while the sentinels chose, {lost} of them lost with the old master"
    );
    assert_eq!(gateway.level("a").await.on_hand, UNITS - i64::try_from(known.len()).unwrap());
    shows_the_truth(&gateway, &web).await;
    // The clerk may do everything a gateway does, to the end.
    assert!(gateway.findings(true).await.is_empty());
    gateway.terminate();
    assert!(gateway.ended().await.success());
    assert!(include_str!("../../docs/redis.md").contains(&format!("on >PASSWORD ~sg:* {RIGHTS}\n")));
}
