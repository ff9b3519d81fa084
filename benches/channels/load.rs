//! An open loop: a change is due every so often, whether the last one is answered or not. Sales and returns keep each other
//! in balance, and half of them are of a hot hundred SKUs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use stockgate::proto::{DecrementRequest, Line, RestockRequest, stock_service_client::StockServiceClient};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tonic::transport::{Channel, Endpoint};

use crate::plan::HOT;

/// HTTP/2 connections the callers share.
const CONNECTIONS: usize = 2;
/// A call that takes longer than this has hung, and the bench with it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Callers, so that calls may take their time before changes come late: at least so many, and one for so many per second.
const CALLERS_MIN: usize = 16;
const CHANGES_PER_CALLER: u32 = 25;
/// Sales are of one to three units; every tenth change is a return of what nine sales took on average.
const UNITS_MAX: i64 = 3;
const RETURN_ONE_OF: u64 = 10;
const UNITS_RETURNED: i64 = 18;

/// Makes changes.
pub(crate) struct Load {
    clients: Vec<StockServiceClient<Channel>>,
    skus: Arc<Vec<String>>,
    /// Changes answered so far.
    answered: Arc<AtomicU64>,
    /// Makes keys unlike those of every other run.
    runs: u32,
}

impl Load {
    pub(crate) async fn connect(url: &str, skus: Vec<String>) -> Result<Self> {
        let mut clients = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(url.to_owned())?.connect_timeout(ANSWER_TIMEOUT);
            clients.push(StockServiceClient::new(endpoint.connect().await?));
        }
        Ok(Self { clients, skus: Arc::new(skus), answered: Arc::default(), runs: 0 })
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Makes so many changes per second for so long; the task ends when the last one is answered.
    pub(crate) fn start(&mut self, rate: u32, length: Duration) -> JoinHandle<Result<()>> {
        self.runs += 1;
        let begun = Instant::now();
        let callers = CALLERS_MIN.max((rate / CHANGES_PER_CALLER) as usize);
        let changes = u64::from(rate) * length.as_millis() as u64 / 1000;
        let mut tasks = JoinSet::new();
        for number in 0..callers {
            let caller = Caller {
                client: self.clients[number % CONNECTIONS].clone(),
                skus: Arc::clone(&self.skus),
                answered: Arc::clone(&self.answered),
                run: self.runs,
            };
            let ticks = (number as u64..changes).step_by(callers);
            let tick = Duration::from_secs(1) / rate;
            tasks.spawn(caller.call(begun, tick, ticks));
        }
        tokio::spawn(async move {
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            Ok(())
        })
    }
}

struct Caller {
    client: StockServiceClient<Channel>,
    skus: Arc<Vec<String>>,
    answered: Arc<AtomicU64>,
    run: u32,
}

impl Caller {
    async fn call(
        mut self,
        begun: Instant,
        tick: Duration,
        ticks: impl Iterator<Item = u64> + Send,
    ) -> Result<()> {
        for number in ticks {
            // A caller that is late calls at once: what was to happen meanwhile happens.
            sleep_until(begun + tick.mul_f64(number as f64)).await;
            timeout(ANSWER_TIMEOUT, self.change(number)).await.context("a call is not answered")??;
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn change(&mut self, number: u64) -> Result<()> {
        let hot = HOT.min(self.skus.len());
        let index =
            if fastrand::bool() { fastrand::usize(..hot) } else { fastrand::usize(..self.skus.len()) };
        let line = |quantity| vec![Line { sku: self.skus[index].clone(), quantity, expected_version: None }];
        // As long as a UUID, which is what checkouts send.
        let idempotency_key = format!("{:08x}-0000-4000-8000-{number:012x}", self.run);
        if fastrand::u64(..RETURN_ONE_OF) == 0 {
            let lines = line(UNITS_RETURNED);
            self.client.restock(RestockRequest { idempotency_key, lines, ..Default::default() }).await?;
        } else {
            let lines = line(fastrand::i64(1..=UNITS_MAX));
            self.client.decrement(DecrementRequest { idempotency_key, lines, ..Default::default() }).await?;
        }
        Ok(())
    }
}
