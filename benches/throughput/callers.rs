//! A closed loop: so many callers, each sends its next request when the last one is answered.

mod stream;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use stockgate::proto::{
    CommitRequest, DecrementRequest, Line, ReserveRequest, stock_service_client::StockServiceClient,
};
use tokio::{task::JoinSet, time::timeout};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    plan::{Ask, Call, Load},
    shelves::sku,
};

/// HTTP/2 connections the callers share.
const CONNECTIONS: usize = 4;
/// A call that takes longer than this has hung, and the bench with it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The slowest call the histogram can tell.
const LATENCY_US_MAX: u64 = 60_000_000;

/// The callers of one server.
pub(crate) struct Callers {
    clients: Vec<StockServiceClient<Channel>>,
    load: Load,
    /// Makes keys unlike those of every other round.
    rounds: u32,
}

/// What a round, or several, came to.
#[derive(Clone)]
pub(crate) struct Tally {
    /// Requests that sold; a Reserve with its Commit is one.
    pub(crate) done: u64,
    pub(crate) refused: u64,
    /// Given up by who was asked; nothing is sold by them.
    pub(crate) failed: u64,
    /// Units sold.
    pub(crate) sold: i64,
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) elapsed: Duration,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        let latency_us = Histogram::new_with_max(LATENCY_US_MAX, 3)?;
        Ok(Self { done: 0, refused: 0, failed: 0, sold: 0, latency_us, elapsed: Duration::ZERO })
    }

    /// Requests that were decided.
    pub(crate) fn decided(&self) -> u64 {
        self.done + self.refused
    }

    pub(crate) fn decided_per_s(&self) -> f64 {
        self.decided() as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.done += other.done;
        self.refused += other.refused;
        self.failed += other.failed;
        self.sold += other.sold;
        self.elapsed += other.elapsed;
        Ok(self.latency_us.add(&other.latency_us)?)
    }

    fn note(&mut self, answered: Result<i64, Status>) -> Result<()> {
        match answered {
            Ok(units) => {
                self.done += 1;
                self.sold += units;
            }
            Err(status) if status.code() == Code::FailedPrecondition => self.refused += 1,
            Err(status) if status.code() == Code::Aborted => self.failed += 1,
            Err(status) => bail!("a call failed: {status}"),
        }
        Ok(())
    }
}

impl Callers {
    /// Connects to a server.
    pub(crate) async fn connect(url: &str, load: Load) -> Result<Self> {
        let mut clients = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(url.to_owned())?.connect_timeout(ANSWER_TIMEOUT);
            clients.push(StockServiceClient::new(endpoint.connect().await?));
        }
        Ok(Self { clients, load, rounds: 0 })
    }

    /// Calls for so long; what is on its way then is still waited for, so that every sale is counted.
    pub(crate) async fn round(&mut self, length: Duration) -> Result<Tally> {
        self.rounds += 1;
        let started = Instant::now();
        let tally = Arc::new(Mutex::new(Tally::new()?));
        let round = Round { end: started + length, tally: Arc::clone(&tally) };
        let mut callers = JoinSet::new();
        match self.load.ask {
            Ask::Call(call) => {
                for number in 0..self.load.in_flight {
                    callers.spawn(call_until(self.caller(number), call, round.clone()));
                }
            }
            Ask::Stream => {
                for number in 0..CONNECTIONS {
                    let places = self.load.in_flight / CONNECTIONS;
                    callers.spawn(stream::call_until(self.caller(number), places, round.clone()));
                }
            }
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

    fn caller(&self, number: usize) -> Caller {
        Caller {
            client: self.clients[number % CONNECTIONS].clone(),
            skus: self.load.skus,
            round: self.rounds,
            number,
            asked: 0,
        }
    }
}

/// What all callers of a round share.
#[derive(Clone)]
struct Round {
    end: Instant,
    tally: Arc<Mutex<Tally>>,
}

impl Round {
    fn note(&self, took: Duration, answered: Result<i64, Status>) -> Result<()> {
        let latency_us = u64::try_from(took.as_micros()).unwrap_or(LATENCY_US_MAX);
        // One thread runs all callers: nobody ever waits for this lock.
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.latency_us.saturating_record(latency_us);
        tally.note(answered)
    }
}

async fn call_until(mut caller: Caller, call: Call, round: Round) -> Result<()> {
    loop {
        let asked = Instant::now();
        let answered = match call {
            Call::Decrement { lines } => caller.decrement(lines).await,
            Call::Pair => caller.pair().await,
        };
        let now = Instant::now();
        round.note(now - asked, answered)?;
        if now >= round.end {
            return Ok(());
        }
    }
}

struct Caller {
    client: StockServiceClient<Channel>,
    skus: usize,
    round: u32,
    number: usize,
    asked: u64,
}

impl Caller {
    /// Sells one unit of so many neighbouring SKUs; the units sold.
    async fn decrement(&mut self, lines: usize) -> Result<i64, Status> {
        let request = self.request(lines);
        let answer = self.client.decrement(request).await?.into_inner();
        Ok(answer.lines.iter().map(|line| line.quantity).sum())
    }

    /// Holds one unit and sells it; the units sold.
    async fn pair(&mut self) -> Result<i64, Status> {
        let request =
            ReserveRequest { idempotency_key: self.key(), lines: self.lines(1), ..Default::default() };
        let held = self.client.reserve(request).await?.into_inner();
        let hold_id = held.hold.unwrap_or_default().hold_id;
        let request = CommitRequest { hold_id, idempotency_key: self.key(), ..Default::default() };
        let sold = self.client.commit(request).await?.into_inner();
        Ok(sold.lines.iter().map(|line| line.quantity).sum())
    }

    fn request(&mut self, lines: usize) -> DecrementRequest {
        DecrementRequest { idempotency_key: self.key(), lines: self.lines(lines), ..Default::default() }
    }

    /// As long as a UUID, which is what checkouts send.
    fn key(&mut self) -> String {
        self.asked += 1;
        format!("{:08x}-{:04x}-4000-8000-{:012x}", self.round, self.number, self.asked)
    }

    fn lines(&self, count: usize) -> Vec<Line> {
        let first = fastrand::usize(..self.skus);
        let line = |number| Line { sku: sku(number % self.skus), quantity: 1, expected_version: None };
        (first..first + count).map(line).collect()
    }
}
