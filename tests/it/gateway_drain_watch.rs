//! Watches of a gateway that goes: they go on elsewhere, without gap or repeat.

use stockgate::proto::{WatchStockRequest, WatchStockResponse, stock_service_client::StockServiceClient};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status, Streaming, transport::Endpoint};

use crate::{
    gateway::{Gateway, SOON, Setup},
    gateway_calls::{check_status, sale},
    gateway_redis::Redis,
};

const SALES: usize = 300;
const SALES_BEFORE: usize = 60;

/// A watch of one SKU and what came of it so far, over any number of gateways.
#[derive(Default)]
pub(crate) struct Watcher {
    skus: Vec<String>,
    pub(crate) token: String,
    /// Versions of the events, in the order they came.
    pub(crate) versions: Vec<i64>,
}

impl Watcher {
    pub(crate) fn of(sku: &str) -> Self {
        Self { skus: vec![sku.to_owned()], ..Self::default() }
    }

    /// Watches on from where it is.
    pub(crate) async fn open(&self, gateway: &Gateway) -> Result<Streaming<WatchStockResponse>, Status> {
        let request = WatchStockRequest { skus: self.skus.clone(), resume_token: self.token.clone() };
        Ok(gateway.stock().watch_stock(request).await?.into_inner())
    }

    /// Starts a watch and waits for the count at its start: it holds what was sold until then.
    pub(crate) async fn begin(&mut self, gateway: &Gateway) -> Streaming<WatchStockResponse> {
        let mut changes = self.open(gateway).await.unwrap();
        let count = timeout(SOON, changes.message()).await.expect("a count in time").unwrap().unwrap();
        assert!(count.event.is_none() && count.stock.is_some());
        self.token = count.resume_token;
        changes
    }

    /// Reads until there are so many events; the status when the stream ends before.
    pub(crate) async fn read(
        &mut self,
        changes: &mut Streaming<WatchStockResponse>,
        count: usize,
    ) -> Result<(), Status> {
        while self.versions.len() < count {
            let next = timeout(SOON, changes.message()).await.expect("a change in time")?;
            let change = next.expect("a stream ends with a status");
            self.token = change.resume_token;
            self.versions.extend(change.event.map(|event| event.version));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_watch_goes_on_at_another_gateway_without_gap_or_repeat() {
    let setup = Setup::on(Redis::shared().await);
    let (mut leaving, staying) = (setup.serve_as("gateway").await, setup.serve_as("gateway").await);
    staying.put(&[("a", 1000), ("b", 1000)]).await;
    let mut watcher = Watcher::of("a");
    let mut changes = watcher.begin(&leaving).await;
    let mut stock = staying.stock();
    let sales = tokio::spawn(async move {
        for n in 0..SALES {
            for sku in ["a", "b"] {
                stock.decrement(sale(&format!("{sku} {n}"), sku, 1)).await.unwrap();
            }
        }
    });
    watcher.read(&mut changes, SALES_BEFORE).await.unwrap();
    leaving.terminate();
    // It ends before all is sold, or has to be asked to give up on more.
    let ended = watcher.read(&mut changes, usize::MAX).await.unwrap_err();
    check_status(&ended, Code::Unavailable, "DRAINING");
    assert_eq!(leaving.ended().await.code(), Some(0));
    let mut changes = watcher.open(&staying).await.unwrap();
    watcher.read(&mut changes, SALES).await.unwrap();
    sales.await.unwrap();
    // The count at the start is version 1.
    assert!(
        watcher.versions.iter().copied().eq(2..2 + i64::try_from(SALES).unwrap()),
        "{:?}",
        watcher.versions
    );
}

#[tokio::test]
async fn a_watch_that_heard_nothing_yet_gets_a_token_too() {
    let setup = Setup::on(Redis::shared().await);
    let (mut leaving, staying) = (setup.serve_as("gateway").await, setup.serve_as("gateway").await);
    staying.put(&[("a", 10)]).await;
    let mut all = Watcher::default();
    let mut changes = all.open(&leaving).await.unwrap();
    leaving.terminate();
    let ended = all.read(&mut changes, 1).await.unwrap_err();
    check_status(&ended, Code::Unavailable, "DRAINING");
    assert!(!all.token.is_empty());
    assert_eq!(leaving.ended().await.code(), Some(0));
    staying.sell("while nobody watched", "a", 1).await;
    let mut changes = all.open(&staying).await.unwrap();
    all.read(&mut changes, 1).await.unwrap();
    assert_eq!(all.versions, [2]);
}

#[tokio::test]
async fn a_watcher_that_does_not_read_does_not_hold_up_the_end() {
    // Calls would be waited for as long as the test may take.
    let setup = Setup::on(Redis::shared().await).set(r#"grpc.drain_timeout = "10m""#);
    let mut gateway = setup.serve_as("gateway").await;
    gateway.put(&[("a", 10_000)]).await;
    let address = Endpoint::from_shared(format!("http://{}", gateway.grpc)).unwrap();
    let small = address.initial_stream_window_size(65_535).connect().await.unwrap();
    let request = WatchStockRequest { skus: vec!["a".to_owned()], ..Default::default() };
    let mut unread = StockServiceClient::new(small).watch_stock(request).await.unwrap().into_inner();
    let mut sales = JoinSet::new();
    for n in 0..1000 {
        let mut stock = gateway.stock();
        let mut sale = sale(&format!("k{n}"), "a", 1);
        sale.reason = "r".repeat(200);
        sales.spawn(async move { stock.decrement(sale).await.unwrap() });
    }
    sales.join_all().await;
    gateway.terminate();
    assert_eq!(gateway.ended().await.code(), Some(0));
    let mut read = 0;
    while let Ok(Some(_)) = timeout(SOON, unread.message()).await.unwrap() {
        read += 1;
    }
    assert!(read < 1000, "all of it was on the way: nothing is shown");
}
