//! A closed loop: so many callers, each sends its next Decrement when the last one is answered.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use stockgate::proto::{DecrementRequest, Line, stock_service_client::StockServiceClient};
use tokio::{task::JoinSet, time::timeout};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use crate::stock;

/// HTTP/2 connections the callers share.
const CONNECTIONS: usize = 4;
/// A call that takes longer than this has hung, and the bench with it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The slowest call the histogram can tell.
const LATENCY_US_MAX: u64 = 60_000_000;

/// The callers of one server.
pub(crate) struct Callers {
    clients: Vec<StockServiceClient<Channel>>,
    in_flight: usize,
    skus: Arc<Vec<String>>,
    /// Makes keys unlike those of every other round.
    rounds: u32,
}

/// What a round, or several, came to.
#[derive(Clone)]
pub(crate) struct Tally {
    pub(crate) sold: u64,
    pub(crate) refused: u64,
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) elapsed: Duration,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        let latency_us = Histogram::new_with_max(LATENCY_US_MAX, 3)?;
        Ok(Self { sold: 0, refused: 0, latency_us, elapsed: Duration::ZERO })
    }

    pub(crate) fn calls(&self) -> u64 {
        self.sold + self.refused
    }

    pub(crate) fn calls_per_s(&self) -> f64 {
        self.calls() as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.sold += other.sold;
        self.refused += other.refused;
        self.elapsed += other.elapsed;
        Ok(self.latency_us.add(&other.latency_us)?)
    }
}

impl Callers {
    /// Connects to a server.
    pub(crate) async fn connect(url: &str, in_flight: usize, skus: usize) -> Result<Self> {
        let mut clients = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(url.to_owned())?.connect_timeout(ANSWER_TIMEOUT);
            clients.push(StockServiceClient::new(endpoint.connect().await?));
        }
        Ok(Self { clients, in_flight, skus: Arc::new((0..skus).map(stock::sku).collect()), rounds: 0 })
    }

    /// Calls for so long; what is on its way then is still waited for, so that every sale is counted.
    pub(crate) async fn round(&mut self, length: Duration) -> Result<Tally> {
        self.rounds += 1;
        let tally = Arc::new(Mutex::new(Tally::new()?));
        let started = Instant::now();
        let mut callers = JoinSet::new();
        for number in 0..self.in_flight {
            callers.spawn(call_until(Caller {
                client: self.clients[number % CONNECTIONS].clone(),
                skus: Arc::clone(&self.skus),
                round: self.rounds,
                number,
                end: started + length,
                tally: Arc::clone(&tally),
            }));
        }
        let all_answered = async {
            while let Some(ended) = callers.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        };
        timeout(length + ANSWER_TIMEOUT, all_answered).await.context("a call is not answered")??;
        let elapsed = started.elapsed();
        let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Tally { elapsed, ..tally.clone() })
    }
}

struct Caller {
    client: StockServiceClient<Channel>,
    skus: Arc<Vec<String>>,
    round: u32,
    number: usize,
    end: Instant,
    tally: Arc<Mutex<Tally>>,
}

async fn call_until(mut caller: Caller) -> Result<()> {
    for count in 0_u64.. {
        let sku = caller.skus[fastrand::usize(..caller.skus.len())].clone();
        let request = DecrementRequest {
            // As long as a UUID, which is what checkouts send.
            idempotency_key: format!("{:08x}-{:04x}-4000-8000-{count:012x}", caller.round, caller.number),
            lines: vec![Line { sku, quantity: 1, expected_version: None }],
            ..Default::default()
        };
        let asked = Instant::now();
        let answered = caller.client.decrement(request).await;
        let now = Instant::now();
        let latency_us = u64::try_from((now - asked).as_micros()).unwrap_or(LATENCY_US_MAX);
        // One thread runs all callers: nobody ever waits for this lock.
        let mut tally = caller.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.latency_us.saturating_record(latency_us);
        match answered {
            Ok(_) => tally.sold += 1,
            Err(status) if status.code() == Code::FailedPrecondition => tally.refused += 1,
            Err(status) => bail!("a call failed: {status}"),
        }
        if now >= caller.end {
            break;
        }
    }
    Ok(())
}
