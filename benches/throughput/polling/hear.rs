//! Shops that are told: each sells from a copy of its own, which the gateway's events keep, and books each sale at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use stockgate::proto::{WatchStockRequest, WatchStockResponse, stock_service_client::StockServiceClient};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tonic::{Code, Streaming, transport::Channel, transport::Endpoint};

use super::{ANSWER_TIMEOUT, Order, SHOPS, SKUS, ask};
use crate::{
    plan::Load,
    rig::gateway::Gateway,
    shelves::{self, Books, sku},
};

/// The latest event the histogram can tell.
const LAG_US_MAX: u64 = 60_000_000;

/// What the told shops came to.
pub(crate) struct Heard {
    /// Units they sold that were not there: the gateway refused to book them.
    pub(crate) beyond: i64,
    /// From a change, by the clock of Redis, until a shop knew.
    pub(crate) lag_us: Histogram<u64>,
    /// What was booked and is left.
    pub(crate) books: Books,
}

/// Each shop sells what its copy says is there.
pub(super) async fn run(gateway: &Gateway, orders: &[Order], load: Load) -> Result<Heard> {
    let lag_us = Arc::new(Mutex::new(Histogram::new_with_max(LAG_US_MAX, 3)?));
    let mut shops = Vec::with_capacity(SHOPS);
    let mut followers = JoinSet::new();
    for _ in 0..SHOPS {
        let (shop, changes) = timeout(ANSWER_TIMEOUT, Shop::open(&gateway.url))
            .await
            .context("a shop is not told what there is")??;
        followers.spawn(follow(changes, Arc::clone(&shop.copies), Arc::clone(&lag_us)));
        shops.push(shop);
    }
    let started = Instant::now();
    let mut sales = JoinSet::new();
    for (number, order) in orders.iter().enumerate() {
        sleep_until(started + order.at).await;
        let shop = &shops[order.shop];
        if lock(&shop.copies)[order.sku].take() {
            sales.spawn(shop.clone().book(number, *order));
        }
    }
    let (mut sold, mut beyond) = (vec![0; SKUS], 0);
    let all_booked = async {
        while let Some(booked) = sales.join_next().await {
            let (sku, is_there) = booked??;
            *(if is_there { &mut sold[sku] } else { &mut beyond }) += 1;
        }
        anyhow::Ok(())
    };
    timeout(ANSWER_TIMEOUT, all_booked).await.context("a sale is not booked")??;
    if let Some(ended) = followers.try_join_next() {
        ended??;
    }
    followers.shutdown().await;
    let lag_us = lock(&lag_us).clone();
    Ok(Heard { beyond, lag_us, books: shelves::count(&gateway.url, load, &sold).await? })
}

/// What a shop knows of each SKU.
type Copies = Arc<Mutex<Vec<Copy>>>;

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The newest count a shop was told, and its own sales that are not in it yet.
#[derive(Clone, Default)]
struct Copy {
    available: i64,
    version: i64,
    unbooked: i64,
}

impl Copy {
    /// Whether there is one left to sell, which is sold then.
    fn take(&mut self) -> bool {
        let is_there = self.available > self.unbooked;
        self.unbooked += i64::from(is_there);
        is_there
    }

    /// An answer and an event may come in any order.
    fn learn(&mut self, available: i64, version: i64) {
        if version > self.version {
            (self.available, self.version) = (available, version);
        }
    }
}

#[derive(Clone)]
struct Shop {
    client: StockServiceClient<Channel>,
    copies: Copies,
}

impl Shop {
    /// On a connection of its own, with what there is at first.
    async fn open(url: &str) -> Result<(Self, Streaming<WatchStockResponse>)> {
        let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
        let mut client = StockServiceClient::new(channel);
        let skus: Vec<String> = (0..SKUS).map(sku).collect();
        let numbers: HashMap<String, usize> = skus.iter().cloned().zip(0..).collect();
        let mut changes =
            client.watch_stock(WatchStockRequest { skus, ..Default::default() }).await?.into_inner();
        let mut copies = vec![Copy::default(); SKUS];
        for _ in 0..SKUS {
            let told = changes.message().await?.context("the gateway ended a watch")?;
            let stock = told.stock.context("a count without a count")?;
            let number = *numbers.get(&stock.sku).context("a SKU nobody watches")?;
            copies[number].learn(stock.available, stock.version);
        }
        Ok((Self { client, copies: Arc::new(Mutex::new(copies)) }, changes))
    }

    /// Which SKU was sold, and whether it was there.
    async fn book(mut self, number: usize, order: Order) -> Result<(usize, bool)> {
        let answered = self.client.decrement(ask::sale(number, &order)).await;
        let copy = &mut lock(&self.copies)[order.sku];
        copy.unbooked -= 1;
        match answered {
            Ok(answer) => {
                let line = answer.into_inner().lines.pop().context("an answer without its line")?;
                copy.learn(line.available, line.version);
                Ok((order.sku, true))
            }
            Err(status) if status.code() == Code::FailedPrecondition => Ok((order.sku, false)),
            Err(status) => Err(status.into()),
        }
    }
}

/// Keeps the copies until it is ended.
async fn follow(
    mut changes: Streaming<WatchStockResponse>,
    copies: Copies,
    lag_us: Arc<Mutex<Histogram<u64>>>,
) -> Result<()> {
    let numbers: HashMap<String, usize> = (0..SKUS).map(|number| (sku(number), number)).collect();
    while let Some(told) = changes.message().await? {
        let (Some(stock), Some(event)) = (told.stock, told.event) else { continue };
        let number = *numbers.get(&stock.sku).context("a SKU nobody watches")?;
        lock(&copies)[number].learn(stock.available, stock.version);
        let changed = SystemTime::try_from(event.event_time.context("an event without its time")?)?;
        let lag = SystemTime::now().duration_since(changed).unwrap_or(Duration::ZERO);
        lock(&lag_us).saturating_record(u64::try_from(lag.as_micros()).unwrap_or(LAG_US_MAX));
    }
    bail!("the gateway ended a watch")
}
