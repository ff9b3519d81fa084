//! Crashes in the middle of the rush: what was answered is true afterwards, and nothing is sold twice.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::sys::signal::Signal;
use stockgate::proto::{LineResult, stock_service_client::StockServiceClient};
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, Status, transport::Channel};

use crate::{
    gateway::{Gateway, SOON, Setup, eventually, is_alive, signal, transport_to},
    gateway_calls::{reason, sale},
    gateway_redis::Redis,
};

/// Units each order takes.
const UNITS: i64 = 2;
const BUYERS: usize = 16;
const ORDERS_EACH: usize = 25;
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// The answers of a rush, by key.
#[derive(Clone, Default)]
pub(crate) struct Rush {
    sold: Arc<Mutex<BTreeMap<String, LineResult>>>,
    refused: Arc<Mutex<Vec<String>>>,
    /// Statuses after which an order was sent again.
    troubles: Arc<Mutex<Vec<Status>>>,
}

impl Rush {
    pub(crate) fn sold_count(&self) -> usize {
        self.sold.lock().unwrap().len()
    }

    /// Statuses after which an order was sent again.
    pub(crate) fn troubles(&self) -> Vec<Status> {
        self.troubles.lock().unwrap().clone()
    }

    /// Buyers that send each order to one gateway after the other, with its key, until one gives an answer.
    pub(crate) fn start(&self, addresses: &[SocketAddr]) -> JoinSet<()> {
        let mut buyers = JoinSet::new();
        for buyer in 0..BUYERS {
            let (rush, addresses) = (self.clone(), addresses.to_vec());
            buyers.spawn(async move {
                let doors: Vec<_> =
                    addresses.iter().map(|at| StockServiceClient::new(transport_to(*at))).collect();
                for order in 0..ORDERS_EACH {
                    rush.order(&doors, &format!("order {buyer}/{order}"), buyer + order).await;
                }
            });
        }
        buyers
    }

    async fn order(&self, doors: &[StockServiceClient<Channel>], key: &str, first_door: usize) {
        let deadline = Instant::now() + SOON;
        for attempt in first_door.. {
            assert!(Instant::now() < deadline, "{key} got no answer within {SOON:?}");
            match doors[attempt % doors.len()].clone().decrement(sale(key, "hot", UNITS)).await {
                Ok(answer) => {
                    let line = answer.into_inner().lines.remove(0);
                    let first = self.sold.lock().unwrap().insert(key.to_owned(), line.clone());
                    assert!(first.is_none_or(|first| first == line), "{key} got two answers");
                    // Every fourth order's answer is lost: it is sent again, to every door.
                    if !first_door.is_multiple_of(4) || attempt > first_door + doors.len() {
                        return;
                    }
                }
                Err(status) if status.code() == Code::FailedPrecondition => {
                    assert_eq!(reason(&status), "INSUFFICIENT_STOCK", "{status:?}");
                    self.refused.lock().unwrap().push(key.to_owned());
                    return;
                }
                // A dead door, or an answer that was lost: blindly the same again.
                Err(status) => {
                    assert!(is_passing(&status), "{status:?}");
                    self.troubles.lock().unwrap().push(status);
                    tokio::time::sleep(RETRY_AFTER).await; // why: a client's own wait between attempts
                }
            }
        }
    }

    /// Every answer is true: units gone are units sold, one event for each key, and the key still answers the same.
    pub(crate) async fn check(&self, gateway: &Gateway, units: i64) {
        let sold = self.sold.lock().unwrap().clone();
        let refused = self.refused.lock().unwrap().len();
        assert_eq!(sold.len() + refused, BUYERS * ORDERS_EACH);
        let gone = UNITS * i64::try_from(sold.len()).unwrap();
        assert_eq!(gateway.level("hot").await.on_hand, units - gone);
        let events = gateway.sales("hot").await;
        assert!(events.keys().eq(sold.keys()), "other keys have events than were answered");
        for (key, line) in &sold {
            assert_eq!(events[key].event_id, line.event_id, "{key}");
            let again = gateway.stock().decrement(sale(key, "hot", UNITS)).await.unwrap().into_inner();
            assert!(again.replayed && again.lines == [line.clone()], "{key}: {again:?}, not {line:?}");
        }
        assert!(gateway.findings(false).await.is_empty());
    }
}

/// What a gateway or its Redis says while it goes or comes.
fn is_passing(status: &Status) -> bool {
    let code = status.code();
    // A gateway gives details: without them it is tonic's client, which says so when a goodbye overtook its call.
    let is_of_the_client = code == Code::Internal && status.details().is_empty();
    is_of_the_client
        || matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown)
}

#[tokio::test]
async fn four_gateways_and_a_crash_sell_nothing_twice() {
    let setup = Setup::on(Redis::shared().await);
    let mut gateways = Vec::new();
    for _ in 0..4 {
        gateways.push(setup.serve().await);
    }
    let units = 500;
    gateways[0].put(&[("hot", units)]).await;
    let addresses: Vec<_> = gateways.iter().map(|gateway| gateway.grpc).collect();
    let rush = Rush::default();
    let buyers = rush.start(&addresses);
    for (victim, sold) in [(0, 50), (2, 120)] {
        eventually("the rush is on", SOON, async || (rush.sold_count() >= sold).then_some(())).await;
        gateways[victim].kill();
        gateways[victim] = setup.serve_at("all", &addresses[victim].to_string()).await;
    }
    buyers.join_all().await;
    assert!(rush.sold_count() == 250, "{} sold, though all of it was wanted", rush.sold_count());
    rush.check(&gateways[1], units).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_of_the_embedded_redis() {
    let gateway = Setup::embedded().set(r#"embedded.fsync = "always""#).serve().await;
    let units = 10_000;
    gateway.put(&[("hot", units)]).await;
    let rush = Rush::default();
    let buyers = rush.start(&[gateway.grpc]);
    eventually("the rush is on", SOON, async || (rush.sold_count() >= 100).then_some(())).await;
    let killed = gateway.redis_pid();
    signal(killed, Signal::SIGKILL);
    buyers.join_all().await;
    assert_ne!(gateway.redis_pid(), killed);
    assert_eq!(rush.sold_count(), BUYERS * ORDERS_EACH);
    rush.check(&gateway, units).await;
    gateway.readiness(200).await;
}

#[tokio::test]
async fn a_killed_gateway_leaves_no_redis_behind_and_its_stock_is_there_again() {
    let setup = Setup::embedded();
    let mut gateway = setup.serve().await;
    gateway.put(&[("a", 5)]).await;
    gateway.sell("k", "a", 1).await;
    let redis = gateway.redis_pid();
    assert!(is_alive(redis));
    gateway.kill();
    eventually("redis is gone", SOON, async || (!is_alive(redis)).then_some(())).await;
    let gateway = setup.serve().await;
    assert_eq!(gateway.level("a").await.on_hand, 4);
    assert!(gateway.stock().decrement(sale("k", "a", 1)).await.unwrap().into_inner().replayed);
}

#[tokio::test]
async fn a_second_gateway_on_the_same_data_is_refused_with_the_way_out() {
    let setup = Setup::embedded();
    let gateway = setup.serve().await;
    let (code, said) = setup.refusal().await;
    assert_eq!(code, Some(3), "{said}");
    for part in ["another gateway uses the data directory", "embedded.data_dir", "STOCKGATE_REDIS_URL"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    gateway.put(&[("a", 5)]).await;
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused_with_the_command_that_mends_it() {
    let redis = Redis::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let (code, said) = Setup::on(&redis).refusal().await;
    assert_eq!(code, Some(3), "{said}");
    for part in ["allkeys-lru", "CONFIG SET maxmemory-policy noeviction"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}
