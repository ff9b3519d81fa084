//! Cluster: carts over three masters whose gateway loses its way to all of them at any script and is killed there. Another
//! process finishes what it began: all lines or none, and the repeat of the call gets the answer that was decided.

use stockgate::proto::{
    BatchGetStockRequest, CommitRequest, DecrementRequest, ReleaseRequest, ReserveRequest, Stock,
};
use tonic::{Code, Status};

use crate::{
    cluster_nodes::{Cluster, Extras},
    cluster_proxy::Cut,
    cluster_setup::{setup_on, sku_of_each},
    gateway::{Gateway, Setup, eventually},
    gateway_calls::{line, reason},
    guarded::WITHIN,
};

/// Units there are of each SKU at first.
const UNITS: i64 = 100;
/// More scripts than any call over three partitions takes.
const SCRIPTS_MAX: usize = 16;

/// A shop over three masters behind proxies.
struct Counter {
    cluster: Cluster,
    setup: Setup,
    skus: Vec<String>,
}

impl Counter {
    async fn open() -> Self {
        let cluster = Cluster::start_with(Extras { has_proxies: true, ..Extras::patient() }).await;
        // A cart of a dead gateway is over soon; nobody waits long for who does not answer.
        let setup = setup_on(&cluster)
            .set("grpc.threads = 1")
            .set(r#"holds.cart_ttl = "500ms""#)
            .set(r#"holds.sweep_interval = "50ms""#)
            .set(r#"redis.response_timeout = "1s""#)
            .set(r#"redis.cluster_wait = "1s""#);
        let skus = sku_of_each(&cluster, &setup).await;
        let counter = Self { cluster, setup, skus };
        let gateway = counter.gateway().await;
        for sku in &counter.skus {
            gateway.put(&[(sku, UNITS)]).await;
        }
        counter
    }

    /// One that runs nothing by itself: every script is a step of a call.
    async fn gateway(&self) -> Gateway {
        self.setup.serve_as("gateway").await
    }

    fn lines(&self) -> Vec<stockgate::proto::Line> {
        self.skus.iter().map(|sku| line(sku, 1)).collect()
    }

    fn sale(&self, key: &str) -> DecrementRequest {
        let (idempotency_key, lines) = (key.to_owned(), self.lines());
        DecrementRequest { idempotency_key, lines, ..DecrementRequest::default() }
    }

    fn hold(&self, key: &str) -> ReserveRequest {
        let (idempotency_key, lines) = (key.to_owned(), self.lines());
        ReserveRequest { idempotency_key, lines, ..ReserveRequest::default() }
    }

    async fn stocks(&self, gateway: &Gateway) -> Vec<Stock> {
        let request = BatchGetStockRequest { skus: self.skus.clone(), max_staleness: None };
        gateway.stock().batch_get_stock(request).await.unwrap().into_inner().stocks
    }

    /// Units gone and units held, the same of every SKU; fails when they differ.
    async fn taken(&self, gateway: &Gateway) -> (i64, i64) {
        let stocks = self.stocks(gateway).await;
        let taken: Vec<_> = stocks.iter().map(|stock| (UNITS - stock.on_hand, stock.held)).collect();
        assert!(taken.iter().all(|one| *one == taken[0]), "all lines or none: {stocks:?}");
        taken[0]
    }

    /// Waits until a worker has finished what the killed gateway began: every SKU is held as often as it must be.
    async fn is_finished(&self, gateway: &Gateway, holds: i64) {
        let mut worker = self.setup.serve_as("worker").await;
        eventually("what was begun is finished", WITHIN, async || {
            self.stocks(gateway).await.iter().all(|stock| stock.held == holds).then_some(())
        })
        .await;
        worker.kill();
    }

    /// Waits until a worker has held every SKU or none; how often.
    async fn is_whole_or_none(&self, gateway: &Gateway) -> i64 {
        let mut worker = self.setup.serve_as("worker").await;
        let held = eventually("all lines are held, or none", WITHIN, async || {
            let stocks = self.stocks(gateway).await;
            stocks.iter().all(|stock| stock.held == stocks[0].held).then_some(stocks[0].held)
        })
        .await;
        worker.kill();
        held
    }

    /// Makes a call whose way is cut at a script, kills its gateway, opens the way again. Whether the call was answered, and
    /// whether the plan came true.
    async fn cut<T>(
        &self,
        cut: Cut,
        at_script: usize,
        call: impl AsyncFnOnce(&Gateway) -> Result<T, Status>,
    ) -> (bool, bool) {
        let (mut gateway, proxies) = (self.gateway().await, self.cluster.proxies());
        // It knows its way.
        self.taken(&gateway).await;
        let done = proxies.done_count();
        proxies.plan(cut, at_script);
        let answer = call(&gateway).await;
        if let Err(status) = &answer {
            let is_passing = match status.code() {
                Code::Unavailable => true,
                Code::DeadlineExceeded => reason(status) == "OUTCOME_UNKNOWN",
                _ => false,
            };
            assert!(is_passing, "{cut:?} at {at_script}: {status:?}");
        }
        let is_cut = match &answer {
            // What is left to do after the answer may still be on its way.
            Ok(_) if proxies.script_count() < at_script => proxies.done_count() > done,
            _ => {
                eventually("it is cut", WITHIN, async || (proxies.done_count() > done).then_some(())).await;
                true
            }
        };
        gateway.kill();
        proxies.heal();
        (answer.is_ok(), is_cut)
    }
}

#[tokio::test]
async fn a_sale_over_three_masters_is_all_or_nothing_wherever_its_gateway_is_killed() {
    let counter = Counter::open().await;
    let (mut sold, mut cases) = (0, 0);
    for cut in [Cut::Before, Cut::After] {
        for at_script in 1..=SCRIPTS_MAX {
            let key = format!("{cut:?} {at_script}");
            let call = async |gateway: &Gateway| gateway.stock().decrement(counter.sale(&key)).await;
            let (is_answered, is_cut) = counter.cut(cut, at_script, call).await;
            let gateway = counter.gateway().await;
            counter.is_finished(&gateway, 0).await;
            let (gone, _) = counter.taken(&gateway).await;
            assert!(gone == sold || gone == sold + 1, "{key}: {gone} gone after {sold} sales");
            assert!(!is_answered || gone == sold + 1, "{key}: answered, and not sold");
            let again = gateway.stock().decrement(counter.sale(&key)).await.unwrap().into_inner();
            assert_eq!(again.replayed, gone == sold + 1, "{key}");
            sold += 1;
            counter.is_finished(&gateway, 0).await;
            assert_eq!(counter.taken(&gateway).await, (sold, 0), "{key}");
            assert!(gateway.findings(false).await.is_empty(), "{key}");
            if !is_cut {
                break;
            }
            cases += 1;
        }
    }
    assert!(cases >= 6, "a cart over three partitions takes more steps than {cases}");
    println!("{cases} places to be cut");
}

#[tokio::test]
async fn a_hold_over_three_masters_is_whole_or_none_wherever_its_gateway_is_killed() {
    let counter = Counter::open().await;
    let mut cases = 0;
    for at_script in 1..=SCRIPTS_MAX {
        let key = format!("hold {at_script}");
        let cut = if at_script % 2 == 0 { Cut::Before } else { Cut::After };
        let call = async |gateway: &Gateway| gateway.stock().reserve(counter.hold(&key)).await;
        let (is_answered, is_cut) = counter.cut(cut, at_script, call).await;
        let gateway = counter.gateway().await;
        let held = counter.is_whole_or_none(&gateway).await;
        assert!(!is_answered || held == 1, "{key}: answered, and not held");
        let again = gateway.stock().reserve(counter.hold(&key)).await.unwrap().into_inner();
        assert_eq!(again.replayed, held == 1, "{key}");
        assert_eq!(counter.taken(&gateway).await, (0, 1), "{key}");
        let (hold_id, idempotency_key) = (again.hold.unwrap().hold_id, format!("end of {key}"));
        let release = ReleaseRequest { hold_id, idempotency_key, ..ReleaseRequest::default() };
        gateway.stock().release(release).await.unwrap();
        counter.is_finished(&gateway, 0).await;
        assert!(gateway.findings(false).await.is_empty(), "{key}");
        if !is_cut {
            break;
        }
        cases += 1;
    }
    assert!(cases >= 4, "a hold over three partitions takes more steps than {cases}");
}

#[tokio::test]
async fn the_end_of_a_hold_over_three_masters_is_one_end_wherever_its_gateway_is_killed() {
    let counter = Counter::open().await;
    let (mut sold, mut cases) = (0, 0);
    for is_commit in [true, false] {
        for at_script in 1..=SCRIPTS_MAX {
            let gateway = counter.gateway().await;
            let reserve = counter.hold(&format!("hold {is_commit} {at_script}"));
            let hold_id = gateway.stock().reserve(reserve).await.unwrap().into_inner().hold.unwrap().hold_id;
            drop(gateway);
            let key = format!("end {is_commit} {at_script}");
            let end = async |gateway: &Gateway| {
                let (hold_id, idempotency_key) = (hold_id.clone(), key.clone());
                if is_commit {
                    let request = CommitRequest { hold_id, idempotency_key, ..CommitRequest::default() };
                    gateway.stock().commit(request).await.map(|answer| answer.into_inner().replayed)
                } else {
                    let request = ReleaseRequest { hold_id, idempotency_key, ..ReleaseRequest::default() };
                    gateway.stock().release(request).await.map(|answer| answer.into_inner().replayed)
                }
            };
            let cut = if at_script % 2 == 0 { Cut::Before } else { Cut::After };
            let (_, is_cut) = counter.cut(cut, at_script, end).await;
            let gateway = counter.gateway().await;
            // Home may not have heard of it: then the hold lives on, and the repeat ends it.
            end(&gateway).await.unwrap();
            sold += i64::from(is_commit);
            counter.is_finished(&gateway, 0).await;
            assert_eq!(counter.taken(&gateway).await, (sold, 0), "{key}");
            assert!(end(&gateway).await.unwrap(), "{key}");
            assert!(gateway.findings(false).await.is_empty(), "{key}");
            if !is_cut {
                break;
            }
            cases += 1;
        }
    }
    assert!(cases >= 4, "the end of a hold over three partitions takes more steps than {cases}");
}
