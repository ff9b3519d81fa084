//! The gateway under measurement with its channels: filled, told, and brought to rest between the measurements.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use redis::aio::MultiplexedConnection;
use stockgate::proto::{
    BatchGetStockRequest, ImportStockRequest, ListChannelsRequest,
    channel_service_client::ChannelServiceClient, import_stock_request::Condition,
    inventory_service_client::InventoryServiceClient, stock_service_client::StockServiceClient,
};
use tokio::time::{Instant, sleep};
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};

use crate::{
    load::Load,
    plan::{Behaviour, Plan, channel},
    receivers::Receivers,
    rig::gateway::Gateway,
};

/// Units each SKU begins with: more than any run of luck sells.
const UNITS: i64 = 100_000;
/// Rows of one import, SKUs of one look.
const PAGE: usize = 1_000;
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A dead channel is looked at every 30 s, or little more.
const REST_TIMEOUT: Duration = Duration::from_secs(300);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Where a gateway notes which channels know all stock; see `store::keys`.
const POLICIES: &str = "sg:policies";

/// A gateway, its Redis, its channels, and who sells.
pub(crate) struct Shop {
    pub(crate) gateway: Gateway,
    pub(crate) receivers: Receivers,
    pub(crate) redis: MultiplexedConnection,
    pub(crate) load: Load,
    skus: Vec<String>,
    server: Channel,
}

impl Shop {
    /// Starts it, fills the shelves, and returns when every channel was told about everything.
    pub(crate) async fn open(plan: &Plan, illnesses: &'static [Behaviour]) -> Result<Self> {
        let receivers = Receivers::start(plan.channels, plan.skus, illnesses).await?;
        let gateway = Gateway::start(&plan.settings(&receivers.addresses)).await?;
        let redis = gateway.redis().await?;
        let server =
            Endpoint::from_shared(gateway.url.clone())?.connect_timeout(CALL_TIMEOUT).connect().await?;
        let skus = plan.sku_names();
        let load = Load::connect(&gateway.url, skus.clone()).await?;
        let mut shop = Self { gateway, receivers, redis, load, skus, server };
        shop.fill().await?;
        shop.wait_until_seeded().await?;
        let all = shop.receivers.count();
        shop.rest(all).await?;
        Ok(shop)
    }

    pub(crate) fn skus(&self) -> &[String] {
        &self.skus
    }

    pub(crate) fn stock_client(&self) -> StockServiceClient<Channel> {
        StockServiceClient::new(self.server.clone())
    }

    async fn fill(&self) -> Result<()> {
        let mut client = InventoryServiceClient::new(self.server.clone());
        for page in self.skus.chunks(PAGE) {
            let rows: Vec<_> = page
                .iter()
                .map(|sku| ImportStockRequest {
                    idempotency_key: format!("fill-{sku}"),
                    sku: sku.clone(),
                    quantity: UNITS,
                    condition: Some(Condition::ExpectedVersion(0)),
                    ..Default::default()
                })
                .collect();
            let mut request = Request::new(tokio_stream::iter(rows));
            request.set_timeout(CALL_TIMEOUT);
            let results = client.import_stock(request).await?.into_inner().results;
            ensure!(
                results.iter().all(|result| result.code == 0),
                "the shelves cannot be filled: {results:?}"
            );
        }
        Ok(())
    }

    /// A new channel is told about all stock some seconds after the start; that must not fall into a measurement.
    async fn wait_until_seeded(&mut self) -> Result<()> {
        let until = Instant::now() + REST_TIMEOUT;
        let channels = self.receivers.count();
        loop {
            let seeded: usize = redis::cmd("HLEN").arg(POLICIES).query_async(&mut self.redis).await?;
            // Two fields each: what it was told under, and the last resync that was carried out.
            if seeded >= 2 * channels {
                return Ok(());
            }
            ensure!(Instant::now() < until, "not all of the {channels} channels were told about all stock");
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until a channel must be told about every SKU.
    pub(crate) async fn wait_until_all_due(&self, number: usize) -> Result<usize> {
        let (id, all) = (channel(number), self.skus.len());
        let until = Instant::now() + REST_TIMEOUT;
        loop {
            let waiting = self.waiting_by_channel().await?;
            if waiting.contains(&(id.clone(), i64::try_from(all)?)) {
                return Ok(all);
            }
            ensure!(Instant::now() < until, "not all of {all} SKUs became due on {id}: {waiting:?}");
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// SKUs each channel must still be told about.
    async fn waiting_by_channel(&self) -> Result<Vec<(String, i64)>> {
        let mut request = Request::new(ListChannelsRequest {});
        request.set_timeout(CALL_TIMEOUT);
        let listed = ChannelServiceClient::new(self.server.clone()).list_channels(request).await?;
        let waiting = listed.into_inner().channels.into_iter();
        Ok(waiting.map(|status| (status.channel, status.due_count + status.leased_count)).collect())
    }

    /// Waits until the first `channels` channels have confirmed everything.
    pub(crate) async fn rest(&self, channels: usize) -> Result<()> {
        let until = Instant::now() + REST_TIMEOUT;
        let ids: Vec<String> = (0..channels).map(channel).collect();
        loop {
            let mut behind = self.waiting_by_channel().await?;
            behind.retain(|(channel, waiting)| *waiting > 0 && ids.contains(channel));
            if behind.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("after {REST_TIMEOUT:?} there are still SKUs to be told: {behind:?}");
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Makes all channels well, waits for rest, and says how long each sick one took to be told everything.
    pub(crate) async fn recover(&self) -> Result<Vec<(Behaviour, Duration)>> {
        let healed = Instant::now().into_std();
        self.receivers.heal();
        self.rest(self.receivers.count()).await?;
        let took = |channel| self.receivers.book(channel).taken_at.saturating_duration_since(healed);
        Ok(self.receivers.sick().map(|(channel, illness)| (illness, took(channel))).collect())
    }

    /// How often the breaker of a channel opened since a call last worked; a probe that fails opens it again. No metric says
    /// it: see `store::keys` and `lua/include/breaker.lua`.
    pub(crate) async fn breaker_openings(&self, number: usize) -> Result<u64> {
        let mut ask = redis::cmd("HGET");
        ask.arg(format!("sg:{{c:{}}}:ctl", channel(number))).arg("openings");
        let openings: Option<u64> = ask.query_async(&mut self.redis.clone()).await?;
        Ok(openings.unwrap_or(0))
    }

    /// At rest: for how many SKUs a channel does not show what is there, over all channels.
    pub(crate) async fn count_lost(&self) -> Result<u64> {
        let mut available = Vec::with_capacity(self.skus.len());
        let mut client = self.stock_client();
        for page in self.skus.chunks(PAGE) {
            let request = BatchGetStockRequest { skus: page.to_vec(), max_staleness: None };
            let stocks = client.batch_get_stock(request).await?.into_inner().stocks;
            ensure!(stocks.iter().map(|stock| &stock.sku).eq(page), "the stocks do not come in order");
            available.extend(stocks.iter().map(|stock| stock.available));
        }
        Ok(self.receivers.sum(|book| book.wrong(&available)))
    }

    pub(crate) async fn close(self) -> Result<()> {
        // Its connections first: the gateway waits for them.
        drop((self.load, self.server));
        self.gateway.stop().await
    }
}
