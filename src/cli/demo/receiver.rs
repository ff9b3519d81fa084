//! A sales channel of the demo: receives signed webhooks, remembers the newest number per SKU, and can be slow or sick.
//!
//! It trusts nobody: signature, shape and order of versions are checked from the specifications, not with the
//! gateway's own code.

use std::{
    collections::BTreeMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::signature::{Secret, SignatureProblem, SignedCall};

/// The largest body: a thousand events of under a kilobyte.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a stopping receiver waits for calls it is still answering.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);
const EVENT_TYPE: &str = "stockgate.stock.changed.v1";

/// How a channel behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers at once.
    Healthy,
    /// Takes its time for every call.
    Slow {
        /// How long it takes.
        delay: Duration,
    },
    /// Answers 503 for a while, counted from [`Receiver::start_failing`].
    FailsFor {
        /// How long it fails.
        duration: Duration,
    },
}

/// What a channel shows for one SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The version it was told last.
    pub version: i64,
    /// The quantity it was told with it.
    pub quantity: i64,
    /// True when it was told to pause the listing.
    pub paused: bool,
}

/// Everything a channel has seen so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The newest number per SKU.
    pub shown: BTreeMap<String, Shown>,
    /// Calls, believed or not.
    pub call_count: u64,
    /// Calls answered 503 on purpose.
    pub unavailable_count: u64,
    /// Calls whose signature was wrong, missing or stale.
    pub unsigned_count: u64,
    /// Calls that were signed and not understood.
    pub malformed_count: u64,
    /// Versions that arrived lower than one already acknowledged. Must stay 0.
    pub went_back_count: u64,
}

/// Why a receiver could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// The secret is not in the form of Standard Webhooks.
    #[error("the secret of channel {channel} must be whsec_ and base64")]
    BadSecret {
        /// The channel.
        channel: String,
    },
    /// No port could be had.
    #[error("cannot listen for channel {channel}")]
    Listen {
        /// The channel.
        channel: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A running channel. Stops when dropped; [`Receiver::stop`] also waits for it.
pub struct Receiver {
    channel: String,
    url: String,
    shop: Arc<Shop>,
    stop: DropGuard,
    server: JoinHandle<io::Result<()>>,
}

struct Shop {
    secret: Secret,
    behaviour: Behaviour,
    failing_until: Mutex<Option<Instant>>,
    seen: Mutex<Seen>,
}

impl Receiver {
    /// Listens on a free port of this machine. `secret` is the `whsec_…` the gateway signs with.
    pub async fn start(channel: &str, secret: &str, behaviour: Behaviour) -> Result<Self, ReceiverError> {
        let bad_secret = || ReceiverError::BadSecret { channel: channel.to_owned() };
        let listen_failed = |source| ReceiverError::Listen { channel: channel.to_owned(), source };
        let shop = Arc::new(Shop {
            secret: Secret::parse(secret).ok_or_else(bad_secret)?,
            behaviour,
            failing_until: Mutex::default(),
            seen: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(listen_failed)?;
        let url = format!("http://{}/stock", listener.local_addr().map_err(listen_failed)?);
        let router = Router::new()
            .route("/stock", post(receive))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(Arc::clone(&shop));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let server =
            tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
        Ok(Self { channel: channel.to_owned(), url, shop, stop: stop.drop_guard(), server })
    }

    /// The channel's id.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Where the gateway must send its webhooks.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it behaves.
    pub fn behaviour(&self) -> Behaviour {
        self.shop.behaviour
    }

    /// The start signal of [`Behaviour::FailsFor`]; the others go on as before.
    pub fn start_failing(&self) {
        if let Behaviour::FailsFor { duration } = self.shop.behaviour {
            *lock(&self.shop.failing_until) = Some(Instant::now() + duration);
        }
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        lock(&self.shop.seen).clone()
    }

    /// Stops listening, answers what it has begun, and says what it saw in all.
    pub async fn stop(self) -> Seen {
        self.stop.disarm().cancel();
        let mut server = self.server;
        if tokio::time::timeout(STOP_WAIT_MAX, &mut server).await.is_err() {
            server.abort();
        }
        lock(&self.shop.seen).clone()
    }
}

/// A panic elsewhere leaves counters and numbers that are still true.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(State(shop): State<Arc<Shop>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    lock(&shop.seen).call_count += 1;
    if shop.is_failing() {
        lock(&shop.seen).unavailable_count += 1;
        return (StatusCode::SERVICE_UNAVAILABLE, "closed for a while".to_owned());
    }
    if let Err(problem) = shop.believe(&headers, &body) {
        lock(&shop.seen).unsigned_count += 1;
        return (StatusCode::UNAUTHORIZED, problem.to_string());
    }
    let changes = match changes_of(&headers, &body) {
        Ok(changes) => changes,
        Err(problem) => {
            lock(&shop.seen).malformed_count += 1;
            return (problem.status(), problem.to_string());
        }
    };
    if let Behaviour::Slow { delay } = shop.behaviour {
        tokio::time::sleep(delay).await; // why: being slow is what this channel is for
    }
    // Remembered last: a caller that gave up meanwhile was not acknowledged.
    lock(&shop.seen).acknowledge(changes);
    (StatusCode::OK, String::new())
}

impl Shop {
    fn is_failing(&self) -> bool {
        lock(&self.failing_until).is_some_and(|until| Instant::now() < until)
    }

    fn believe(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), SignatureProblem> {
        let call = SignedCall {
            id: header(headers, "webhook-id"),
            timestamp: header(headers, "webhook-timestamp"),
            signatures: header(headers, "webhook-signature"),
            body,
        };
        self.secret.verify(&call, u64::try_from(Timestamp::now().as_second()).unwrap_or(0))
    }
}

impl Seen {
    fn acknowledge(&mut self, changes: Vec<Change>) {
        for Change { sku, quantity, paused, version } in changes {
            let known = self.shown.get(&sku).map_or(0, |shown| shown.version);
            if version < known {
                self.went_back_count += 1;
                continue;
            }
            self.shown.insert(sku, Shown { version, quantity, paused });
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// A CloudEvent, as far as a shop looks into it.
#[derive(Debug, Deserialize)]
struct CloudEvent {
    specversion: String,
    #[serde(rename = "type")]
    kind: String,
    id: String,
    subject: String,
    data: Change,
}

#[derive(Debug, Deserialize)]
struct Change {
    sku: String,
    quantity: i64,
    paused: bool,
    version: i64,
}

#[derive(Debug, thiserror::Error)]
enum BodyProblem {
    #[error("content-type must be application/cloudevents+json or application/cloudevents-batch+json")]
    ContentType,
    #[error("the body does not parse: {0}")]
    Json(#[from] serde_json::Error),
    #[error("event {id} is not a {EVENT_TYPE} of CloudEvents 1.0 about its own sku")]
    Foreign { id: String },
    #[error("webhook-id is not the id of the event {id}")]
    OtherId { id: String },
}

impl BodyProblem {
    fn status(&self) -> StatusCode {
        match self {
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Json(_) | Self::Foreign { .. } | Self::OtherId { .. } => StatusCode::BAD_REQUEST,
        }
    }
}

fn changes_of(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Change>, BodyProblem> {
    let content_type = header(headers, "content-type");
    let media_type = content_type.split(';').next().unwrap_or("").trim();
    let events: Vec<CloudEvent> = match media_type {
        "application/cloudevents+json" => {
            let event: CloudEvent = serde_json::from_slice(body)?;
            if event.id != header(headers, "webhook-id") {
                return Err(BodyProblem::OtherId { id: event.id });
            }
            vec![event]
        }
        "application/cloudevents-batch+json" => serde_json::from_slice(body)?,
        _ => return Err(BodyProblem::ContentType),
    };
    events.into_iter().map(change_of).collect()
}

fn change_of(event: CloudEvent) -> Result<Change, BodyProblem> {
    let is_ours = event.specversion == "1.0" && event.kind == EVENT_TYPE && event.subject == event.data.sku;
    if is_ours { Ok(event.data) } else { Err(BodyProblem::Foreign { id: event.id }) }
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
