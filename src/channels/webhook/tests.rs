//! Real receivers on real sockets. Signatures are verified by HMAC as RFC 2104 defines it, not by the code that signed.

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::stream;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
    time::timeout,
};

use super::*;
use crate::{
    channels::SecretProblem,
    domain::{EventId, Partition, Sku},
    outbound::ErrorText,
};

const OLD_KEY: [u8; 32] = [1; 32];
const NEW_KEY: [u8; 32] = [2; 32];
/// Long enough for any answer on a loaded machine; nothing waits for it.
const PLENTY: Duration = Duration::from_secs(20);

struct Received {
    headers: HeaderMap,
    body: Bytes,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("a header of ASCII")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }

    /// What a receiver does, with one key.
    fn is_signed_by(&self, key: &[u8; 32]) -> bool {
        let signed =
            [self.header("webhook-id").as_bytes(), self.header("webhook-timestamp").as_bytes(), &self.body]
                .join(&b'.');
        let expected = hmac_sha256(key, &signed);
        self.header("webhook-signature").split(' ').any(|entry| {
            let (version, signature) = entry.split_once(',').expect("version,signature");
            version == "v1" && BASE64_STANDARD.decode(signature).expect("base64") == expected
        })
    }
}

/// RFC 2104, for keys of at most one block.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key_byte)| *byte ^= key_byte);
        Sha256::new().chain_update(block)
    };
    let inner = pad(0x36).chain_update(message).finalize();
    pad(0x5c).chain_update(inner).finalize().to_vec()
}

/// Serves every call with `answer`, and hands on what it received.
async fn receiver<F>(answer: F) -> (String, Receiver<Received>)
where
    F: Fn() -> Response<Body> + Clone + Send + Sync + 'static,
{
    let (received, calls) = channel(64);
    let app = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
        let response = answer();
        received.try_send(Received { headers, body }).expect("the test listens");
        async move { response }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/stock", listener.local_addr().expect("bound"));
    // Ends with the test's runtime.
    tokio::spawn(axum::serve(listener, app).into_future());
    (url, calls)
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).expect("a legal answer")
}

fn secret(key: &[u8]) -> String {
    format!("whsec_{}", BASE64_STANDARD.encode(key))
}

fn config(url: &str) -> WebhookConfig {
    WebhookConfig {
        channel: ChannelId::parse("web").expect("a legal channel"),
        url: url.to_owned(),
        secrets: vec![secret(&NEW_KEY).into(), secret(&OLD_KEY).into()],
        batch: 1,
        timeout: PLENTY,
    }
}

fn webhook(url: &str) -> Webhook {
    Webhook::new(config(url)).expect("legal settings")
}

fn state(sku: &str) -> DesiredState {
    DesiredState {
        sku: Sku::parse(sku).expect("a legal SKU"),
        published: 12,
        paused: false,
        version: 7,
        updated_ms: 1_700_000_000_000,
        unconfirmed_since_ms: 1_700_000_000_000,
        event_id: EventId { partition: Partition(0), entry_ms: 1_700_000_000_000, entry_seq: 0, index: 0 },
    }
}

async fn push_one(webhook: &Webhook) -> PushOutcome {
    let outcomes = timeout(PLENTY * 2, webhook.push(&[state("A.1")])).await.expect("a bounded push");
    <[PushOutcome; 1]>::try_from(outcomes).expect("one outcome per item")[0].clone()
}

#[tokio::test]
async fn a_receiver_verifies_the_call_with_either_key() {
    let (url, mut calls) = receiver(|| answer(204, &[], "")).await;
    assert_eq!(push_one(&webhook(&url)).await, PushOutcome::Applied);

    let call = calls.recv().await.expect("a call");
    assert!(call.is_signed_by(&NEW_KEY) && call.is_signed_by(&OLD_KEY));
    assert!(!call.is_signed_by(&[3; 32]));
    assert_eq!(call.header("content-type"), "application/cloudevents+json");
    assert_eq!(call.header("webhook-id"), "web:A%2E1:7:1700000000000");
    let event = call.json();
    assert_eq!(event["id"], "web:A%2E1:7:1700000000000");
    assert_eq!(event["data"]["quantity"], 12);
    let age_s =
        Timestamp::now().as_second() - call.header("webhook-timestamp").parse::<i64>().expect("seconds");
    assert!((0..60).contains(&age_s), "{age_s}");
}

#[tokio::test]
async fn a_repeat_keeps_its_id_and_signs_its_own_time() {
    let (url, mut calls) = receiver(|| answer(503, &[], "")).await;
    let webhook = webhook(&url);
    push_one(&webhook).await;
    push_one(&webhook).await;
    let (first, second) = (calls.recv().await.expect("a call"), calls.recv().await.expect("a call"));
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    assert!(first.is_signed_by(&NEW_KEY) && second.is_signed_by(&NEW_KEY));
}

#[tokio::test]
async fn a_batch_is_one_signed_array_and_its_status_counts_for_all() {
    let (url, mut calls) = receiver(|| answer(429, &[("retry-after", "7")], "slow down")).await;
    let webhook = Webhook::new(WebhookConfig { batch: 2, ..config(&url) }).expect("legal settings");
    assert_eq!(webhook.batch_max(), 2);
    let outcomes = webhook.push(&[state("A"), state("B"), state("C")]).await;
    let busy = PushOutcome::RetryAfter {
        after: Some(Duration::from_secs(7)),
        throttled: true,
        error: ErrorText::new("429 Too Many Requests: slow down"),
    };
    assert_eq!(outcomes, [busy.clone(), busy.clone(), busy]);

    let (first, second) = (calls.recv().await.expect("a call"), calls.recv().await.expect("a call"));
    let skus = |call: &Received| {
        let events = call.json();
        let events = events.as_array().expect("an array").iter();
        events.map(|event| event["subject"].as_str().expect("a subject").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((skus(&first), skus(&second)), (vec!["A".to_owned(), "B".to_owned()], vec!["C".to_owned()]));
    for call in [first, second] {
        assert_eq!(call.header("content-type"), "application/cloudevents-batch+json");
        assert!(call.is_signed_by(&NEW_KEY));
    }
    assert_eq!(webhook.push(&[]).await, []);
    assert!(calls.try_recv().is_err(), "nothing to say is no call");
}

#[tokio::test]
async fn every_status_has_its_class() {
    async fn check(status: u16, headers: &'static [(&str, &str)], expected: PushOutcome) {
        let (url, _calls) = receiver(move || answer(status, headers, "no\nway")).await;
        assert_eq!(push_one(&webhook(&url)).await, expected, "{status}");
    }
    let said = |status: &str| ErrorText::new(&format!("{status}: no way"));
    let failed =
        |status: &str| PushOutcome::RetryAfter { after: None, throttled: false, error: said(status) };
    let throttled = |seconds: Option<u64>, status: &str| PushOutcome::RetryAfter {
        after: seconds.map(Duration::from_secs),
        throttled: true,
        error: said(status),
    };
    let item = |status: &str| PushOutcome::PermanentItem { error: said(status) };
    let refused = |status: &str| PushOutcome::PermanentAuth { error: said(status) };

    const IN_A_WEEK: &[(&str, &str)] = &[("retry-after", "604800")];
    const FAR: &[(&str, &str)] = &[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")];
    const AT_ONCE: &[(&str, &str)] = &[("retry-after", "0")];

    check(200, &[], PushOutcome::Applied).await;
    check(202, &[("retry-after", "7")], PushOutcome::Applied).await;
    check(408, &[], failed("408 Request Timeout")).await;
    check(425, &[], failed("425 Too Early")).await;
    check(500, &[], failed("500 Internal Server Error")).await;
    check(503, AT_ONCE, failed("503 Service Unavailable")).await;
    check(599, &[], failed("599 <unknown status code>")).await;
    check(429, &[], throttled(None, "429 Too Many Requests")).await;
    check(429, AT_ONCE, throttled(None, "429 Too Many Requests")).await;
    check(429, IN_A_WEEK, throttled(Some(86_400), "429 Too Many Requests")).await;
    check(503, &[("retry-after", "120")], throttled(Some(120), "503 Service Unavailable")).await;
    check(503, FAR, throttled(Some(86_400), "503 Service Unavailable")).await;
    check(403, &[("retry-after", "60")], throttled(Some(60), "403 Forbidden")).await;
    check(413, &[("retry-after", "60")], throttled(Some(60), "413 Payload Too Large")).await;
    check(400, &[], item("400 Bad Request")).await;
    check(404, &[], item("404 Not Found")).await;
    check(405, &[], item("405 Method Not Allowed")).await;
    check(409, &[], item("409 Conflict")).await;
    check(413, &[], item("413 Payload Too Large")).await;
    check(415, &[], item("415 Unsupported Media Type")).await;
    check(422, &[], item("422 Unprocessable Entity")).await;
    check(401, &[], refused("401 Unauthorized")).await;
    check(402, &[], refused("402 Payment Required")).await;
    check(403, &[], refused("403 Forbidden")).await;
    check(407, &[], refused("407 Proxy Authentication Required")).await;
    check(410, &[], refused("410 Gone")).await;
    check(423, &[], refused("423 Locked")).await;
    let moved = ErrorText::new("302 Found: redirects are not followed: set the final url");
    check(302, &[("location", "/x"), ("retry-after", "7")], PushOutcome::PermanentAuth { error: moved })
        .await;
}

#[tokio::test]
async fn a_refused_call_of_several_blames_none_of_them() {
    async fn check(status: u16, expected: &[fn(ErrorText) -> PushOutcome]) {
        let (url, _calls) = receiver(move || answer(status, &[], "no\nway")).await;
        let webhook = Webhook::new(WebhookConfig { batch: 2, ..config(&url) }).expect("legal settings");
        let outcomes = webhook.push(&[state("A"), state("B"), state("C")]).await;
        let error = outcomes[0].error().expect("a failure");
        let expected: Vec<PushOutcome> = expected.iter().map(|outcome| outcome(error.clone())).collect();
        assert_eq!(outcomes, expected, "{status}");
    }
    let batch = |error| PushOutcome::BatchRejected { error };
    let item = |error| PushOutcome::PermanentItem { error };
    let refused = |error| PushOutcome::PermanentAuth { error };
    let failed = |error| PushOutcome::RetryAfter { after: None, throttled: false, error };

    // The third goes in a call of its own.
    check(400, &[batch, batch, item]).await;
    check(413, &[batch, batch, item]).await;
    check(422, &[batch, batch, item]).await;
    check(401, &[refused, refused, refused]).await;
    check(500, &[failed, failed, failed]).await;
}

#[tokio::test]
async fn a_silent_receiver_leaves_the_outcome_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let short = WebhookConfig { timeout: Duration::from_millis(200), ..config(&url) };
    let outcome = push_one(&Webhook::new(short).expect("legal settings")).await;
    assert_eq!(outcome, PushOutcome::Unknown { error: ErrorText::new("no answer within 200 ms") });
}

#[tokio::test]
async fn a_lost_answer_leaves_the_outcome_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let webhook = webhook(&format!("http://{}/", listener.local_addr().expect("bound")));
    let hang_up = async {
        let (mut socket, _) = listener.accept().await.expect("a call");
        assert!(socket.read(&mut [0; 1024]).await.expect("a request") > 0);
    };
    let (outcome, ()) = tokio::join!(push_one(&webhook), hang_up);
    assert!(matches!(outcome, PushOutcome::Unknown { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_refused_connection_may_be_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://user:hunter2@{}/", listener.local_addr().expect("bound"));
    drop(listener);
    let outcome = push_one(&webhook(&url)).await;
    let PushOutcome::RetryAfter { after: None, throttled: false, error } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(error.as_str().starts_with("cannot connect to the receiver: "), "{error}");
    assert!(!error.as_str().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn an_endless_or_stuck_body_changes_nothing() {
    let endless = || Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(1024))));
    let (url, _calls) = receiver(move || answer(500, &[], endless())).await;
    let outcome = push_one(&webhook(&url)).await;
    let error = outcome.error().expect("a failure");
    assert!(error.as_str().len() <= ErrorText::BYTES_MAX && error.as_str().ends_with("x…"), "{error}");

    let stuck = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let (url, _calls) = receiver(move || answer(200, &[], stuck())).await;
    let short = WebhookConfig { timeout: Duration::from_secs(2), ..config(&url) };
    assert_eq!(push_one(&Webhook::new(short).expect("legal settings")).await, PushOutcome::Applied);
}

#[test]
fn bad_settings_are_named_and_secrets_stay_secret() {
    let good = || config("https://user:hunter2@shop.example.com/stock");
    let check = |config: WebhookConfig, text: &str| {
        assert_eq!(Webhook::new(config).expect_err("refused").to_string(), text);
    };
    let urls = [
        ("shop.example.com", "url does not parse: write it as https://shop.example.com/stock"),
        ("ftp://shop.example.com", "url must begin with https:// or http://, begins with ftp:"),
        ("", "url does not parse: write it as https://shop.example.com/stock"),
    ];
    for (url, problem) in urls {
        check(config(url), &format!("channel web: {problem}"));
    }
    check(WebhookConfig { batch: 0, ..good() }, "channel web: batch must be 1 to 1000, is 0");
    check(WebhookConfig { batch: 1001, ..good() }, "channel web: batch must be 1 to 1000, is 1001");
    check(
        WebhookConfig { timeout: Duration::ZERO, ..good() },
        "channel web: timeout must be above zero, e.g. \"5s\"",
    );
    let missing = SecretProblem::Missing;
    check(WebhookConfig { secrets: Vec::new(), ..good() }, &format!("channel web: {missing}"));
    let refused = Webhook::new(WebhookConfig { secrets: vec!["whsec_hunter2".into()], ..good() });
    assert!(!format!("{refused:?}").contains("hunter2"));
    assert_eq!(format!("{:?}", webhook("http://user:hunter2@[::1]/")), "Webhook { channel: \"web\", .. }");
}
