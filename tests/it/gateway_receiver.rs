//! A sales channel's end of the webhook: believes only what is signed, records every call, and can be down, flaky, slow or mute.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::{net::TcpSocket, sync::watch, task::JoinHandle};

/// What signs the calls: 32 bytes, as Standard Webhooks asks for.
pub(crate) const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// What it does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Takes it at once.
    Up,
    /// Refuses it with 503.
    Unavailable,
    /// Refuses every third with 503.
    Flaky,
    /// Takes it after a while.
    Slow(Duration),
    /// Does not answer before the mode changes.
    Mute,
}

/// A number that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) sku: String,
    pub(crate) quantity: i64,
    pub(crate) paused: bool,
    pub(crate) version: i64,
}

#[derive(Default)]
struct Seen {
    heard: Vec<Heard>,
    /// The last one of each SKU.
    shown: HashMap<String, Heard>,
    /// Calls, whatever became of them.
    calls: usize,
    /// Calls that have no answer yet, and whose caller still waits.
    open_calls: usize,
    /// What was wrong with calls: not signed well, or older than what it shows.
    doubts: Vec<String>,
    /// SKUs it does not know: a call with one of them is refused with 400, and nothing of it taken.
    unknown: Vec<String>,
}

impl Seen {
    /// A number must not be older than what was confirmed: neither when it comes, nor when it is taken.
    fn doubt_older(&mut self, heard: &[Heard]) {
        for one in heard {
            if let Some(shown) = self.shown.get(&one.sku).filter(|shown| shown.version > one.version) {
                self.doubts.push(format!("{one:?} after {shown:?}"));
            }
        }
    }

    fn take(&mut self, heard: Vec<Heard>) {
        self.doubt_older(&heard);
        self.shown.extend(heard.iter().map(|one| (one.sku.clone(), one.clone())));
        self.heard.extend(heard);
    }
}

/// A call without an answer; over when it is answered, and when its caller is gone.
struct OpenCall(Arc<Mutex<Seen>>);

impl OpenCall {
    fn begin(seen: &Arc<Mutex<Seen>>) -> Self {
        seen.lock().unwrap().open_calls += 1;
        Self(Arc::clone(seen))
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.lock().unwrap().open_calls -= 1;
    }
}

/// A running receiver.
pub(crate) struct Receiver {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::start_after(Duration::ZERO).await
    }

    /// One that refuses connections for a while: the port is taken, and nobody listens.
    pub(crate) async fn start_after(refuses_for: Duration) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Up);
        let seen = Arc::<Mutex<Seen>>::default();
        let router = Router::new().route("/stock", post(receive)).with_state((modes, Arc::clone(&seen)));
        let task = tokio::spawn(async move {
            tokio::time::sleep(refuses_for).await; // why: being down for so long is what it is for
            axum::serve(socket.listen(1024).unwrap(), router).await.unwrap();
        });
        Self { address, mode, seen, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/stock", self.address)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Refuses every call with this SKU in it, whatever the mode.
    pub(crate) fn knows_nothing_of(&self, sku: &str) {
        self.seen.lock().unwrap().unknown.push(sku.to_owned());
    }

    /// All numbers taken so far, in order.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.seen.lock().unwrap().heard.clone()
    }

    /// The versions of one SKU taken so far, in order.
    pub(crate) fn versions(&self, sku: &str) -> Vec<i64> {
        self.heard().iter().filter(|heard| heard.sku == sku).map(|heard| heard.version).collect()
    }

    /// The number of a SKU it shows: the last one taken.
    pub(crate) fn shows(&self, sku: &str) -> Option<Heard> {
        self.seen.lock().unwrap().shown.get(sku).cloned()
    }

    /// How many calls came, taken or not.
    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().unwrap().calls
    }

    /// How many calls wait for its answer.
    pub(crate) fn open_calls(&self) -> usize {
        self.seen.lock().unwrap().open_calls
    }

    /// Asserts that every call was signed well and no number went back in time.
    #[track_caller]
    pub(crate) fn check(&self) {
        let seen = self.seen.lock().unwrap();
        assert!(seen.doubts.is_empty(), "{:?}", seen.doubts);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Shared = (watch::Receiver<Mode>, Arc<Mutex<Seen>>);

async fn receive(
    State((mut modes, seen)): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let _open = OpenCall::begin(&seen);
    let (call, heard) = {
        let mut seen = seen.lock().unwrap();
        seen.calls += 1;
        match believed(&headers, &body) {
            Ok(heard) => {
                seen.doubt_older(&heard);
                (seen.calls, heard)
            }
            Err(doubt) => {
                seen.doubts.push(doubt);
                return (StatusCode::UNAUTHORIZED, "not believed");
            }
        }
    };
    let mode = *modes.borrow_and_update();
    match mode {
        Mode::Up => {}
        Mode::Flaky if !call.is_multiple_of(3) => {}
        Mode::Flaky | Mode::Unavailable => return (StatusCode::SERVICE_UNAVAILABLE, "down"),
        Mode::Slow(delay) => tokio::time::sleep(delay).await, // why: being slow is what it is for
        Mode::Mute => {
            let _ = modes.changed().await;
        }
    }
    let mut seen = seen.lock().unwrap();
    if heard.iter().any(|one| seen.unknown.contains(&one.sku)) {
        return (StatusCode::BAD_REQUEST, "no such thing here");
    }
    seen.take(heard);
    (StatusCode::OK, "")
}

/// Reads a call by the two specifications, with nothing of the gateway's own code.
fn believed(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Heard>, String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = BASE64_STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    for part in [header("webhook-id").as_bytes(), b".", header("webhook-timestamp").as_bytes(), b".", body] {
        mac.update(part);
    }
    let expected = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    if !header("webhook-signature").split(' ').any(|signature| signature == expected) {
        return Err(format!("bad signature: {headers:?}"));
    }
    let parsed: serde_json::Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let events = match parsed {
        serde_json::Value::Array(events) => events,
        one => vec![one],
    };
    events
        .iter()
        .map(|event| change(event).ok_or_else(|| format!("not a change of stock: {event}")))
        .collect()
}

fn change(event: &serde_json::Value) -> Option<Heard> {
    let is_ours = event["specversion"] == "1.0"
        && event["type"] == "stockgate.stock.changed.v1"
        && event["subject"] == event["data"]["sku"];
    let data = is_ours.then(|| &event["data"])?;
    Some(Heard {
        sku: data["sku"].as_str()?.to_owned(),
        quantity: data["quantity"].as_i64()?,
        paused: data["paused"].as_bool()?,
        version: data["version"].as_i64()?,
    })
}
