//! Workers killed at any point, again and again, under load: at rest every channel shows the truth, and none went back in time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use stockgate::{
    domain::Partitions,
    proto::{
        BatchGetStockRequest, CommitRequest, GetSyncStatusRequest, LineResult, ReleaseRequest,
        ReserveRequest, RestockRequest, Stock, inventory_service_client::InventoryServiceClient,
        stock_service_client::StockServiceClient,
    },
};
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, Status, transport::Channel};

use crate::{
    gateway::{Gateway, Setup, eventually},
    gateway_calls::{count, line, reason, sale},
    gateway_receiver::{Mode, Receiver, SECRET},
    gateway_redis::Redis,
};

/// One told SKU by SKU, a slow one, a flaky one, and seven like most.
const CHANNELS: [&str; 10] = ["single", "slow", "flaky", "a", "b", "c", "d", "e", "f", "g"];
/// SKUs that change all the time; the hot ones take half of that.
const BUSY_SKUS: usize = 60;
const HOT_SKUS: usize = 6;
/// SKUs that change in turn, so that what is lost of a change is not made good by the next one.
const RARE_SKUS: usize = 240;
/// So many of them change for each kill, at least.
const RARE_PER_KILL: usize = 4;
const PARTITIONS: u16 = 2;
const WORKERS: usize = 3;
const CLIENTS: u64 = 4;
/// Kills in the suite, and the time between two on average.
const KILLS: u32 = 12;
const KILL_EVERY: Duration = Duration::from_millis(600);
/// The same for a soak, which is long enough for one a second.
const SOAK_KILL_EVERY: Duration = Duration::from_secs(1);
/// The longest a client thinks between two calls.
const THINKS_MS: u64 = 10;
/// How long the slow channel takes for a call.
const SLOW: Duration = Duration::from_millis(200);
/// Leases and what dead workers had read must be taken over before all is told. Only a broken gateway needs so long.
const REST_WITHIN: Duration = Duration::from_secs(60);

fn busy(index: usize) -> String {
    format!("busy-{index}")
}

fn rare(index: usize) -> String {
    format!("rare-{index}")
}

fn all_skus() -> Vec<String> {
    (0..BUSY_SKUS).map(busy).chain((0..RARE_SKUS).map(rare)).collect()
}

/// By channel and SKU: the lines a channel sold or held itself, with the versions they made.
type OwnSales = BTreeMap<(String, String), Vec<LineResult>>;

/// Clients that sell, return, count and hold, and what channels sold themselves.
#[derive(Clone)]
struct Load {
    stock: StockServiceClient<Channel>,
    inventory: InventoryServiceClient<Channel>,
    is_over: Arc<AtomicBool>,
    /// How often a rare SKU was taken.
    rare_taken: Arc<AtomicUsize>,
    own: Arc<Mutex<OwnSales>>,
}

impl Load {
    fn on(gateway: &Gateway) -> Self {
        let (stock, inventory) = (gateway.stock(), gateway.inventory());
        Self { stock, inventory, is_over: Arc::default(), rare_taken: Arc::default(), own: Arc::default() }
    }

    fn start(&self, seed: u64) -> JoinSet<u64> {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (mut load, mut dice) = (self.clone(), fastrand::Rng::with_seed(seed + client));
            clients.spawn(async move {
                let mut calls = 0;
                while !load.is_over.load(Ordering::Relaxed) {
                    load.call(&format!("{client}/{calls}"), &mut dice).await;
                    calls += 1;
                    tokio::time::sleep(Duration::from_millis(dice.u64(..THINKS_MS))).await; // why: shoppers think
                }
                calls
            });
        }
        clients
    }

    async fn call(&mut self, key: &str, dice: &mut fastrand::Rng) {
        let index = if dice.bool() { dice.usize(..HOT_SKUS) } else { dice.usize(..BUSY_SKUS) };
        let (sku, quantity) = (busy(index), dice.i64(1..=4));
        let source = CHANNELS[dice.usize(..CHANNELS.len())];
        // Half of the sales name the channel that made them.
        let channel = if dice.bool() { source } else { "" };
        match dice.u8(..24) {
            20..24 => {
                let rare = rare(self.rare_taken.fetch_add(1, Ordering::Relaxed) % RARE_SKUS);
                self.sell(key, &rare, 1, channel).await;
                self.sell(&format!("{key} then"), &rare, 1, source).await;
                if dice.bool() {
                    // As many as before, and not what the source shows.
                    self.restock(&format!("{key} back"), &rare, 2).await;
                }
            }
            0..11 => self.sell(key, &sku, quantity, channel).await,
            11..14 => self.restock(key, &sku, 5 * quantity).await,
            14 => {
                self.inventory.set_stock(count(key, &sku, 10 * (quantity - 1))).await.unwrap();
            }
            _ => self.hold(key, &sku, quantity, channel, dice).await,
        }
    }

    async fn restock(&mut self, key: &str, sku: &str, quantity: i64) {
        let (idempotency_key, lines) = (key.to_owned(), vec![line(sku, quantity)]);
        let request = RestockRequest { idempotency_key, lines, ..RestockRequest::default() };
        self.stock.restock(request).await.unwrap();
    }

    async fn sell(&mut self, key: &str, sku: &str, quantity: i64, channel: &str) {
        let mut request = sale(key, sku, quantity);
        channel.clone_into(&mut request.channel);
        if let Some(answer) = unless_short(self.stock.decrement(request).await) {
            self.note(channel, answer.lines);
        }
    }

    /// Holds units, and then sells them, gives them back, or lets their time run out.
    async fn hold(&mut self, key: &str, sku: &str, quantity: i64, channel: &str, dice: &mut fastrand::Rng) {
        let request = ReserveRequest {
            idempotency_key: key.to_owned(),
            lines: vec![line(sku, quantity)],
            channel: channel.to_owned(),
            ttl: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..ReserveRequest::default()
        };
        let Some(answer) = unless_short(self.stock.reserve(request).await) else { return };
        self.note(channel, answer.lines);
        let (hold_id, idempotency_key) = (answer.hold.unwrap().hold_id, format!("{key} end"));
        match dice.u8(..5) {
            0..3 => {
                let request = CommitRequest { hold_id, idempotency_key, ..CommitRequest::default() };
                unless_short(self.stock.commit(request).await);
            }
            3 => {
                let request = ReleaseRequest { hold_id, idempotency_key, ..ReleaseRequest::default() };
                unless_short(self.stock.release(request).await);
            }
            _ => {}
        }
    }

    fn note(&self, channel: &str, lines: Vec<LineResult>) {
        let mut own = self.own.lock().unwrap();
        for line in lines {
            own.entry((channel.to_owned(), line.sku.clone())).or_default().push(line);
        }
    }

    /// What a channel sold itself of a SKU after a version.
    fn sold_since(&self, version: i64, channel: &str, sku: &str) -> Vec<LineResult> {
        let own = self.own.lock().unwrap();
        let lines = own.get(&(channel.to_owned(), sku.to_owned()));
        lines.into_iter().flatten().filter(|line| line.version > version).cloned().collect()
    }
}

/// The answer; None when there was too little, or the hold was over.
fn unless_short<T>(answer: Result<tonic::Response<T>, Status>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer.into_inner()),
        Err(status) => {
            let is_expected = ["INSUFFICIENT_STOCK", "HOLD_EXPIRED"].contains(&reason(&status).as_str());
            assert!(status.code() == Code::FailedPrecondition && is_expected, "{status:?}");
            None
        }
    }
}

/// All stock, once no hold is left.
async fn stock_at_rest(gateway: &Gateway) -> Vec<Stock> {
    let request = BatchGetStockRequest { skus: all_skus(), max_staleness: None };
    eventually("no hold is left", REST_WITHIN, async || {
        let stocks = gateway.stock().batch_get_stock(request.clone()).await.unwrap().into_inner().stocks;
        stocks.iter().all(|stock| stock.held == 0).then_some(stocks)
    })
    .await
}

/// Waits until every channel has confirmed everything, nobody has anything left to do, and what killed workers had read is
/// done.
async fn comes_to_rest(gateway: &Gateway, namespace: &str) {
    for sku in all_skus() {
        let request = GetSyncStatusRequest { sku };
        eventually(&format!("all channels have confirmed {}", request.sku), REST_WITHIN, async || {
            let status = gateway.channels().get_sync_status(request.clone()).await.unwrap().into_inner();
            status.channels.iter().all(|channel| channel.in_sync).then_some(())
        })
        .await;
    }
    gateway.comes_to_rest().await;
    let mut redis = Redis::shared().await.connection().await;
    for partition in Partitions::new(PARTITIONS).unwrap().all() {
        let key = |name: &str| format!("{namespace}:{{p{partition}}}:{name}");
        eventually("no entry is pending", REST_WITHIN, async || {
            let mut command = redis::cmd("XPENDING");
            let pending: redis::Value =
                command.arg(key("ev")).arg("fanout").query_async(&mut redis).await.unwrap();
            matches!(pending, redis::Value::Array(summary) if summary[0] == redis::Value::Int(0))
                .then_some(())
        })
        .await;
    }
}

/// Every channel shows what is available: what it was told last, less what it sold itself since and is not told about. Where
/// nothing is left its listing is paused.
fn check_truth(stocks: &[Stock], receivers: &[Receiver], load: &Load) {
    assert_eq!(stocks.len(), BUSY_SKUS + RARE_SKUS);
    for (channel, receiver) in CHANNELS.iter().zip(receivers) {
        receiver.check();
        for stock in stocks {
            let told =
                receiver.shows(&stock.sku).unwrap_or_else(|| panic!("{channel}: never told {stock:?}"));
            let own = load.sold_since(told.version, channel, &stock.sku);
            let shown = told.quantity - own.iter().map(|line| line.quantity).sum::<i64>();
            let truth = (stock.available.max(0), stock.available <= 0);
            assert_eq!(
                (shown, told.paused),
                truth,
                "{channel} was told {told:?}, then sold {own:?}: {stock:?}"
            );
        }
    }
}

#[tokio::test]
async fn workers_killed_under_load_leave_every_channel_with_the_truth() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (kills, kill_every) = match setting("STOCKGATE_SOAK_SECONDS") {
        Some(seconds) => (u32::try_from(seconds).unwrap(), SOAK_KILL_EVERY),
        None => (KILLS, KILL_EVERY),
    };
    let seed = setting("STOCKGATE_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    eprintln!("the same calls and victims again: STOCKGATE_SOAK_SEED={seed}");

    let mut setup = Setup::on(Redis::shared().await)
        .set(&format!("redis.partitions = {PARTITIONS}"))
        .set(r#"propagation.lease = "2s""#)
        .set(r#"propagation.poll_interval = "100ms""#)
        .set(r#"propagation.backoff_first = "20ms""#)
        .set(r#"propagation.backoff_cap = "200ms""#)
        .set(r#"holds.sweep_interval = "100ms""#);
    let mut receivers = Vec::new();
    for channel in CHANNELS {
        let receiver = Receiver::start().await;
        let (mode, batch) = match channel {
            "single" => (Mode::Up, 1),
            "slow" => (Mode::Slow(SLOW), 20),
            "flaky" => (Mode::Flaky, 20),
            _ => (Mode::Up, 20),
        };
        receiver.set(mode);
        let more = format!("batch = {batch}\nconcurrency = 4\ntimeout = \"1s\"");
        setup = setup.channel(channel, &receiver.url(), SECRET, &more);
        receivers.push(receiver);
    }
    let gateway = setup.serve_as("gateway").await;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(setup.serve_as("worker").await);
    }
    for sku in all_skus() {
        gateway.put(&[(&sku, 20)]).await;
    }

    let (load, mut dice) = (Load::on(&gateway), fastrand::Rng::with_seed(seed + CLIENTS));
    let clients = load.start(seed);
    let mut kill_at = Instant::now();
    for _ in 0..kills {
        kill_at += kill_every.mul_f64(0.5 + dice.f64());
        tokio::time::sleep_until(kill_at).await; // why: kills come at random moments, not at a state
        let victim = dice.usize(..WORKERS);
        workers[victim].kill();
        workers[victim] = setup.serve_as("worker").await;
    }
    eventually("the load is worth the name", REST_WITHIN, async || {
        (load.rare_taken.load(Ordering::Relaxed) >= RARE_PER_KILL * usize::try_from(kills).unwrap())
            .then_some(())
    })
    .await;
    load.is_over.store(true, Ordering::Relaxed);
    let calls: u64 = clients.join_all().await.into_iter().sum();

    let stocks = stock_at_rest(&gateway).await;
    comes_to_rest(&gateway, &setup.namespace).await;
    check_truth(&stocks, &receivers, &load);
    assert!(gateway.findings(false).await.is_empty());
    let (changes, told): (i64, usize) = (
        stocks.iter().map(|stock| stock.version).sum(),
        receivers.iter().map(|receiver| receiver.calls()).sum(),
    );
    eprintln!("{kills} kills, {calls} calls, {changes} changes, told in {told} calls");
}
