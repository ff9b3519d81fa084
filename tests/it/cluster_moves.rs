//! Cluster: slots that move to another master under load. Nobody notices: neither callers nor channels.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use stockgate::proto::{
    BatchGetStockRequest, CommitRequest, ReleaseRequest, ReserveRequest,
    stock_service_client::StockServiceClient,
};
use tokio::task::JoinHandle;

use crate::{
    cluster_nodes::{Cluster, Extras},
    cluster_setup::{key_of, setup_on, sku_of_each},
    gateway::{Gateway, eventually, transport_to},
    gateway_calls::line,
    gateway_receiver::{Receiver, SECRET},
    guarded::WITHIN,
    shoppers::{Patience, Shoppers, UNITS, check_books},
};

/// How long a caller thinks between two calls.
const THINKS: Duration = Duration::from_millis(10);

/// A client that holds units of a SKU and then sells them, gives them back or lets their time run out. It takes no status
/// for an answer.
struct Holder {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    /// Units sold.
    task: JoinHandle<i64>,
}

impl Holder {
    fn start(gateway: &Gateway, sku: &str) -> Self {
        let (is_over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (over, count, sku) = (Arc::clone(&is_over), Arc::clone(&answered), sku.to_owned());
        let mut stock = StockServiceClient::new(transport_to(gateway.grpc));
        let task = tokio::spawn(async move {
            let mut sold = 0;
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let request = ReserveRequest {
                    idempotency_key: format!("hold {number}"),
                    lines: vec![line(&sku, 2)],
                    ttl: Some(prost_types::Duration {
                        seconds: if number % 3 == 2 { 1 } else { 600 },
                        nanos: 0,
                    }),
                    ..ReserveRequest::default()
                };
                let hold_id = stock.reserve(request).await.unwrap().into_inner().hold.unwrap().hold_id;
                let idempotency_key = format!("end {number}");
                match number % 3 {
                    0 => {
                        let request = CommitRequest { hold_id, idempotency_key, ..CommitRequest::default() };
                        stock.commit(request).await.unwrap();
                        sold += 2;
                    }
                    1 => {
                        let request =
                            ReleaseRequest { hold_id, idempotency_key, ..ReleaseRequest::default() };
                        stock.release(request).await.unwrap();
                    }
                    _ => {}
                }
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(THINKS).await; // why: shoppers think
            }
            sold
        });
        Self { is_over, answered, task }
    }

    async fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("holds are answered", WITHIN, async || {
            assert!(!self.task.is_finished(), "a call of a hold failed");
            (self.answered.load(Ordering::Relaxed) >= before + 6).then_some(())
        })
        .await;
    }

    async fn stop(self) -> i64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

#[tokio::test]
async fn slots_that_move_under_load_go_unnoticed() {
    let (cluster, web) = (Cluster::start_with(Extras::patient()).await, Receiver::start().await);
    let setup =
        setup_on(&cluster).channel("web", &web.url(), SECRET, "").set(r#"holds.sweep_interval = "100ms""#);
    let gateway = setup.serve_as("gateway").await;
    let worker = setup.serve_as("worker").await;
    let skus = sku_of_each(&cluster, &setup).await;
    // Another of the same partition, whose units are also held.
    let hot = key_of(&setup, &skus[0], "stock");
    let held = (0..).map(|n| format!("held-{n}")).find(|sku| key_of(&setup, sku, "stock") == hot).unwrap();
    for sku in skus.iter().chain([&held]) {
        gateway.put(&[(sku, UNITS)]).await;
    }
    let mut load = Shoppers::start(&[gateway.grpc], &skus, Patience::None);
    let holder = Holder::start(&gateway, &held);
    let bell = format!("{}:bell", setup.namespace);
    let control = format!("{}:{{c:web}}:ctl", setup.namespace);
    // The hot partition twice, and what belongs to none.
    for key in [&hot, &bell, &control, &hot] {
        load.goes_on(&skus[0], 20).await;
        holder.goes_on().await;
        let from = cluster.master_of(key).await;
        let to = cluster.begin_move(key).await.finish().await;
        assert_ne!(from, to);
        assert_eq!(cluster.master_of(key).await, to);
        load.goes_on(&skus[0], 20).await;
        holder.goes_on().await;
    }
    let (sales, sold) = (load.stop().await, holder.stop().await);
    let lost = check_books(&gateway, &skus, &sales).await;
    assert!(lost.is_empty(), "{lost:?}");
    eventually("no hold is left", WITHIN, async || {
        let request = BatchGetStockRequest { skus: vec![held.clone()], max_staleness: None };
        let stocks = gateway.stock().batch_get_stock(request).await.unwrap().into_inner().stocks;
        (stocks[0].held == 0).then_some(())
    })
    .await;
    assert_eq!(gateway.level(&held).await.on_hand, UNITS - sold);
    assert!(gateway.findings(false).await.is_empty());
    for sku in skus.iter().chain([&held]) {
        gateway.in_sync("web", sku).await;
        assert_eq!(web.shows(sku).unwrap().quantity, gateway.level(sku).await.available, "{sku}");
    }
    web.check();
    gateway.comes_to_rest().await;
    drop(worker);
}
