//! Group commit: what concurrent calls want while a script is on its way goes together in the next one. No timer, no added
//! wait: an idle committer sends a lone call at once.
//!
//! One task owns a queue, and sends one batch per atomic domain (`domains`). There are two queues: calls that must be more durable
//! than memory have one of their own, with connections of their own (`confirm`). Another script follows the first on the
//! same connection when enough calls wait for it, so that Redis does not idle while the answers of the first are handed out.
//!
//! On a cluster a slot may be moving, or served by nobody for now: its calls are put off for a moment, and go again in order.

mod ability;
mod backlog;
mod batch;
mod confirm;
mod domains;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use futures_util::{FutureExt as _, StreamExt as _, future::Either, stream::FuturesUnordered};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use redis::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

pub(super) use backlog::{Backlog, Lane, Place};
pub(super) use batch::BatchBounds;
pub(super) use confirm::{Confirmed, Confirming};
pub(super) use domains::domains_of;
use domains::{Back, Domains, Event, Outgoing, PutOff};

use crate::domain::{Achieved, Durability, Partition, Partitions};
use crate::telemetry;

use super::{
    StoreError,
    decode::{Verdict, verdict},
    encode::Operation,
    keys::Keys,
    link::Connection,
    nodes::{Course, Nodes},
    scripts::{self, Script, TRANSACT_GIVING_SCRIPT, TRANSACT_SCRIPT},
    settings::{AtomicDomain, Clock},
};

/// How often one call is sent again because overdue holds may still free stock: 256 holds are ended each time.
const ROUNDS_MAX: u32 = 256;
/// How often a batch follows the script into another window; a second time means a clock jumped between two tries.
const ROTATIONS_MAX: u32 = 3;

/// One call: what it wants and where its answer goes.
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) durability: Durability,
    pub(super) reply: oneshot::Sender<Result<Reply, StoreError>>,
    /// None once it has left the queue.
    pub(super) place: Option<Place>,
    pub(super) rounds: u32,
    /// Until when it may be put off; None while its domain was served all the time that it waited.
    pub(super) patient_until: Option<Instant>,
    /// Its place in the order in which calls came.
    pub(super) number: u64,
}

/// What a call is answered.
#[derive(Debug)]
pub(super) struct Reply {
    /// In the words of the script.
    pub(super) text: String,
    pub(super) achieved: Achieved,
}

/// What a batch is answered.
struct Answered {
    /// One line per call.
    lines: Vec<u8>,
    confirmed: Confirmed,
}

/// The task that sends batches.
pub(super) struct Committer {
    /// Connections; those that confirm carry one batch each.
    pub(super) ways: Vec<Arc<Nodes>>,
    /// None: its calls ask for memory only.
    pub(super) confirming: Option<Arc<Confirming>>,
    pub(super) keys: Keys,
    pub(super) partitions: Partitions,
    pub(super) domain: AtomicDomain,
    pub(super) retention_ms: i64,
    pub(super) clock: Clock,
    pub(super) bounds: BatchBounds,
    /// Scripts of one atomic domain on their way at most.
    pub(super) scripts_max: usize,
    /// Another script follows one that is on its way only when so many calls wait: small ones cost Redis more per call.
    pub(super) overlap_calls_min: usize,
    pub(super) backlog: Backlog,
    /// The window of the Redis clock, as the script last said; by atomic domain, since servers of a cluster differ by some ms, and all
    /// gateways must go by the clock of the same one.
    pub(super) windows: Vec<AtomicI64>,
    /// A key of each atomic domain: the server that has it has the domain.
    pub(super) places: Vec<String>,
    pub(super) meters: Meters,
}

/// Metrics of group commit, looked up once.
pub(super) struct Meters {
    batches: Counter,
    batch_calls: Histogram,
    queue_calls: Gauge,
    script: Histogram,
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            batches: counter!(telemetry::BATCHES),
            batch_calls: histogram!(telemetry::BATCH_CALLS),
            queue_calls: gauge!(telemetry::QUEUE_CALLS),
            script: histogram!(telemetry::SCRIPT_SECONDS, "script" => TRANSACT_SCRIPT.name),
        }
    }
}

impl Committer {
    /// Serves until told to stop; then answers what is still queued, and ends.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Call>, stop: CancellationToken) {
        let mut domains = Domains::new(&self);
        let mut in_flight = FuturesUnordered::new();
        let mut is_open = true;
        let mut shown = 0.0;
        loop {
            if stop.is_cancelled() {
                // Senders get an error from now on; what was accepted is still sent.
                queue.close();
            }
            while let Ok(call) = queue.try_recv() {
                domains.push(call);
            }
            while let Some(outgoing) = domains.next(|domain| self.ways[0].server_of(&self.places[domain])) {
                in_flight.push(Either::Left(self.send(outgoing).map(Event::Back)));
            }
            // By the difference: each serving thread has a committer, and they share the gauge.
            let waits = gauge_value(self.backlog.len());
            self.meters.queue_calls.increment(waits - shown);
            shown = waits;
            if !is_open && in_flight.is_empty() {
                return;
            }
            tokio::select! {
                Some(event) = in_flight.next() => {
                    if let Some((domain, pause)) = domains.on(event) {
                        let rest = sleep(pause); // why: see Domains::on
                        in_flight.push(Either::Right(rest.map(move |()| Event::Rested(domain))));
                    }
                }
                next = queue.recv(), if is_open => match next {
                    Some(call) => domains.push(call),
                    None => is_open = false,
                },
                () = stop.cancelled(), if !queue.is_closed() => {}
            }
        }
    }

    /// Sends one batch and answers its calls; gives back those that must go again.
    async fn send(&self, outgoing: Outgoing) -> Back {
        let Outgoing { domain, way, server, batch } = outgoing;
        let back = |calls| Back { domain, way, server: server.clone(), again: calls, put_off: None };
        let nodes = &self.ways[way];
        let connection = match nodes.connection(&self.places[domain]).await {
            Ok(connection) => connection,
            Err(fault) => return Self::cannot(back, batch, nodes.unsent(fault)),
        };
        let batch = match &self.confirming {
            None => batch,
            Some(confirming) => confirming.refuse_unconfirmable(&connection, batch).await,
        };
        if batch.is_empty() {
            return back(batch);
        }
        match self.execute(nodes, &connection, domain, &batch, &TRANSACT_SCRIPT).await {
            Ok(answered) => back(self.answer(batch, &answered)),
            Err(Course::Over(StoreError::OutOfMemory)) => {
                // Over maxmemory, calls that give stock back still go; the others are told.
                let (giving, taking): (Vec<_>, Vec<_>) =
                    batch.into_iter().partition(|call| call.operation.gives_back);
                refuse_all(taking, &StoreError::OutOfMemory);
                if giving.is_empty() {
                    return back(giving);
                }
                match self.execute(nodes, &connection, domain, &giving, &TRANSACT_GIVING_SCRIPT).await {
                    Ok(answered) => back(self.answer(giving, &answered)),
                    Err(course) => Self::cannot(back, giving, course),
                }
            }
            Err(course) => Self::cannot(back, batch, course),
        }
    }

    /// What becomes of a batch that was not carried out.
    fn cannot(back: impl Fn(Vec<Call>) -> Back, batch: Vec<Call>, course: Course) -> Back {
        match course {
            Course::Over(fault) => back(refuse_all(batch, &fault)),
            Course::Again(fault) => {
                Back { put_off: Some(PutOff { calls: batch, fault }), ..back(Vec::new()) }
            }
        }
    }

    /// Runs the script over a batch; follows it into another window when the one of the keys is over.
    async fn execute(
        &self,
        nodes: &Nodes,
        connection: &Connection,
        domain: usize,
        batch: &[Call],
        script: &Script,
    ) -> Result<Answered, Course> {
        let corrupt = |value: &Value| Course::Over(corrupt(value));
        for _ in 0..ROTATIONS_MAX {
            let partitions = self.partitions(batch);
            let command = self.command(domain, batch, &partitions, script);
            let reply = self.call(nodes, connection, script, &command).await?;
            let Value::Array(mut items) = reply else {
                return Err(corrupt(&reply));
            };
            let word = items.first().cloned().map(text_of).transpose().map_err(Course::Over)?;
            match (word.as_deref(), items.len()) {
                (Some("done"), 3) => {
                    self.meters.batches.increment(1);
                    self.meters.batch_calls.record(gauge_value(batch.len()));
                    let lines = bytes_of(items.swap_remove(2)).map_err(Course::Over)?;
                    if lines_of(&lines).count() != batch.len() {
                        return Err(corrupt(&Value::BulkString(lines)));
                    }
                    let confirmed = match &self.confirming {
                        None => Confirmed::default(),
                        Some(confirming) => {
                            let nudge = self.keys.nudge(partitions[0]);
                            confirming.confirm(connection, &nudge, batch).await.map_err(Course::Over)?
                        }
                    };
                    return Ok(Answered { lines, confirmed });
                }
                (Some("rotate"), 2) => {
                    let window = text_of(items.swap_remove(1)).map_err(Course::Over)?;
                    let window = window.parse().map_err(|_| corrupt(&Value::SimpleString(window)))?;
                    self.windows[domain].store(window, Ordering::Relaxed);
                }
                _ => return Err(corrupt(&Value::Array(items))),
            }
        }
        Err(Course::Over(StoreError::NotReady {
            code: "window of the Redis clock keeps changing".to_owned(),
        }))
    }

    async fn call(
        &self,
        nodes: &Nodes,
        connection: &Connection,
        script: &Script,
        command: &redis::Cmd,
    ) -> Result<Value, Course> {
        let mut redis = connection.redis.clone();
        let started = Instant::now();
        let reply = match script.run(&mut redis, command).await {
            Ok(reply) => reply,
            Err(error) => return Err(nodes.sent(connection, error).await),
        };
        self.meters.script.record(started.elapsed());
        Ok(reply)
    }

    /// Whether the batch may touch every partition of its atomic domain.
    fn is_wide(&self, batch: &[Call]) -> bool {
        self.domain == AtomicDomain::Partition
            || self.partitions.count() == 1
            || batch.iter().any(|call| call.operation.wide)
    }

    /// Those the batch may touch, in order; never none.
    fn partitions(&self, batch: &[Call]) -> Vec<Partition> {
        if self.domain == AtomicDomain::Node && self.is_wide(batch) {
            return self.partitions.all().collect();
        }
        let mut named: Vec<_> =
            batch.iter().flat_map(|call| call.operation.partitions.iter().copied()).collect();
        named.sort_unstable();
        named.dedup();
        named
    }

    fn command(
        &self,
        domain: usize,
        batch: &[Call],
        partitions: &[Partition],
        script: &Script,
    ) -> redis::Cmd {
        let window = self.windows[domain].load(Ordering::Relaxed);
        let wide = self.is_wide(batch);
        let keys: Vec<String> =
            partitions.iter().flat_map(|partition| self.keys.transact(*partition, window)).collect();
        let mut command = script.call(keys.iter().map(String::as_str));
        command.arg(self.clock.argument()).arg(self.retention_ms).arg(window).arg(u8::from(wide));
        command.arg(batch.len());
        let mut packed = Vec::with_capacity(batch.iter().map(|call| call.operation.bytes.len()).sum());
        for call in batch {
            packed.extend_from_slice(&call.operation.bytes);
        }
        command.arg(packed);
        for partition in partitions {
            command.arg(partition.0);
        }
        command
    }

    /// Hands out the answers, one line each; returns the calls that must go again.
    fn answer(&self, batch: Vec<Call>, answered: &Answered) -> Vec<Call> {
        let mut again = Vec::new();
        for (mut call, line) in batch.into_iter().zip(lines_of(&answered.lines)) {
            let Ok(text) = str::from_utf8(line) else {
                // A stored text is broken: it fails alone.
                let _ = call.reply.send(Err(corrupt(&Value::BulkString(line.to_vec()))));
                continue;
            };
            let wide = match verdict(text) {
                Verdict::Decided => {
                    let achieved = answered.confirmed.of(call.durability);
                    if let Some(confirming) = &self.confirming {
                        confirming.note(achieved);
                    }
                    // A caller that has gone will find its answer in the record.
                    let _ = call.reply.send(Ok(Reply { text: text.to_owned(), achieved }));
                    continue;
                }
                Verdict::Again => call.operation.wide,
                Verdict::Wide => true,
            };
            call.rounds += 1;
            call.operation.wide = wide;
            if call.rounds > ROUNDS_MAX {
                let code = "too many overdue holds".to_owned();
                let _ = call.reply.send(Err(StoreError::NotReady { code }));
            } else {
                again.push(call);
            }
        }
        again
    }
}

fn refuse_all(batch: Vec<Call>, fault: &StoreError) -> Vec<Call> {
    for call in batch {
        let _ = call.reply.send(Err(fault.clone()));
    }
    Vec::new()
}

fn lines_of(answers: &[u8]) -> impl Iterator<Item = &[u8]> {
    answers.split(|byte| *byte == b'\n')
}

fn bytes_of(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        other => Err(corrupt(&other)),
    }
}

fn text_of(value: Value) -> Result<String, StoreError> {
    match value {
        Value::BulkString(bytes) => {
            String::from_utf8(bytes).map_err(|error| corrupt(&Value::BulkString(error.into_bytes())))
        }
        Value::SimpleString(text) => Ok(text),
        other => Err(corrupt(&other)),
    }
}

fn corrupt(value: &Value) -> StoreError {
    StoreError::Corrupt { script: "transact", detail: scripts::sketch(value) }
}

fn gauge_value(count: usize) -> f64 {
    // Exact below 2^53, far above any queue.
    count as f64
}
