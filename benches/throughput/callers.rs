//! A closed loop: so many callers, each sends its next request when the last one is answered.

mod order;
mod paced;
mod stream;
mod wire;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use stockgate::proto::{DecrementRequest, Line, LineResult, stock_service_client::StockServiceClient};
use tokio::{task::JoinSet, time::timeout};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    plan::{Ask, Call, Load},
    shelves::{number, sku},
};
pub(crate) use paced::Paced;
use wire::Wire;

/// HTTP/2 connections the callers share.
const CONNECTIONS: usize = 4;
/// A call that takes longer than this has hung, and the bench with it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The slowest call the histogram can tell.
const LATENCY_US_MAX: u64 = 60_000_000;

/// The callers of one server.
pub(crate) struct Callers {
    connections: Connections,
    load: Load,
    /// Makes keys unlike those of every other round.
    rounds: u32,
    /// Units sold of each SKU in all rounds, by its number.
    sold: Arc<Mutex<Vec<i64>>>,
}

/// As many as `CONNECTIONS`, by what is asked over them.
enum Connections {
    Calls(Call, Vec<Wire>),
    Streams(Vec<StockServiceClient<Channel>>),
}

/// What a round, or several, came to.
#[derive(Clone)]
pub(crate) struct Tally {
    /// Requests that sold; a Reserve with its Commit is one.
    pub(crate) done: u64,
    pub(crate) refused: u64,
    /// Given up by who was asked; nothing is sold by them.
    pub(crate) failed: u64,
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) elapsed: Duration,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        let latency_us = Histogram::new_with_max(LATENCY_US_MAX, 3)?;
        Ok(Self { done: 0, refused: 0, failed: 0, latency_us, elapsed: Duration::ZERO })
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
        self.elapsed += other.elapsed;
        Ok(self.latency_us.add(&other.latency_us)?)
    }

    fn note(&mut self, answered: Result<(), Status>) -> Result<()> {
        match answered {
            Ok(()) => self.done += 1,
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
        let connections = match load.ask {
            Ask::Call(call) => {
                let mut wires = Vec::with_capacity(CONNECTIONS);
                for _ in 0..CONNECTIONS {
                    wires.push(timeout(ANSWER_TIMEOUT, Wire::connect(url)).await??);
                }
                Connections::Calls(call, wires)
            }
            Ask::Stream => {
                let mut clients = Vec::with_capacity(CONNECTIONS);
                for _ in 0..CONNECTIONS {
                    let endpoint = Endpoint::from_shared(url.to_owned())?.connect_timeout(ANSWER_TIMEOUT);
                    clients.push(StockServiceClient::new(endpoint.connect().await?));
                }
                Connections::Streams(clients)
            }
        };
        Ok(Self { connections, load, rounds: 0, sold: Arc::new(Mutex::new(vec![0; load.skus])) })
    }

    /// Calls for so long; what is on its way then is still waited for, so that every sale is counted.
    pub(crate) async fn round(&mut self, length: Duration) -> Result<Tally> {
        self.rounds += 1;
        let started = Instant::now();
        let round = Round::new(started + length, &self.sold)?;
        let mut callers = JoinSet::new();
        match &self.connections {
            Connections::Calls(call, wires) => {
                for (number, wire) in (0..self.load.in_flight).zip(wires.iter().cycle()) {
                    let caller = self.caller(number);
                    callers.spawn(wire::call_until(wire.clone(), caller, *call, round.clone()));
                }
            }
            Connections::Streams(clients) => {
                for (number, client) in clients.iter().enumerate() {
                    let places = self.load.in_flight / CONNECTIONS;
                    let caller = self.caller(number);
                    callers.spawn(stream::call_until(client.clone(), caller, places, round.clone()));
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
        Ok(round.tally(started.elapsed()))
    }

    /// Units sold of each SKU so far, the warm-up's too.
    pub(crate) fn sold(&self) -> Vec<i64> {
        self.sold.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn caller(&self, number: usize) -> Caller {
        Caller { skus: self.load.skus, round: self.rounds, number, asked: 0 }
    }
}

/// What all callers of a round share.
#[derive(Clone)]
struct Round {
    end: Instant,
    tally: Arc<Mutex<Tally>>,
    sold: Arc<Mutex<Vec<i64>>>,
}

impl Round {
    fn new(end: Instant, sold: &Arc<Mutex<Vec<i64>>>) -> Result<Self> {
        Ok(Self { end, tally: Arc::new(Mutex::new(Tally::new()?)), sold: Arc::clone(sold) })
    }

    /// What it came to in so long.
    fn tally(&self, elapsed: Duration) -> Tally {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        Tally { elapsed, ..tally.clone() }
    }

    /// Of a call whose failure is an answer as well: it was asked for at a rate that may be too much.
    fn note_paced(&self, took: Duration, answered: Result<Vec<LineResult>, Status>) -> Result<()> {
        match answered {
            Err(status) if status.code() != Code::FailedPrecondition => {
                self.tally.lock().unwrap_or_else(PoisonError::into_inner).failed += 1;
                Ok(())
            }
            answered => self.note(took, answered),
        }
    }

    fn note(&self, took: Duration, answered: Result<Vec<LineResult>, Status>) -> Result<()> {
        let latency_us = u64::try_from(took.as_micros()).unwrap_or(LATENCY_US_MAX);
        // One thread runs all callers: nobody ever waits for these locks.
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sold = self.sold.lock().unwrap_or_else(PoisonError::into_inner);
        for line in answered.iter().flatten() {
            let place = number(&line.sku).and_then(|number| sold.get_mut(number));
            *place.with_context(|| format!("{} was not asked for", line.sku))? += line.quantity;
        }
        tally.latency_us.saturating_record(latency_us);
        tally.note(answered.map(drop))
    }
}

/// Makes the requests of one caller.
struct Caller {
    skus: usize,
    round: u32,
    number: usize,
    asked: u64,
}

impl Caller {
    /// For one unit of each of so many neighbouring SKUs.
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
