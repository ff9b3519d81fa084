//! The receiver, called over HTTP as a gateway would.

use serde_json::{Value, json};

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json; charset=utf-8";

fn event(sku: &str, version: i64, quantity: i64) -> Value {
    json!({
        "specversion": "1.0", "type": EVENT_TYPE, "source": "/stockgate", "subject": sku,
        "id": format!("web:{sku}:{version}"), "time": "2026-11-20T17:00:00Z",
        "datacontenttype": "application/json",
        "data": {"sku": sku, "quantity": quantity, "paused": false, "version": version, "event_id": "0-1-0"}
    })
}

fn client() -> reqwest::Client {
    // Already installed by another test: that one serves too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap()
}

async fn send(receiver: &Receiver, content_type: &str, body: &Value) -> u16 {
    let first = if body.is_array() { &body[0] } else { body };
    send_as(receiver, content_type, first["id"].as_str().unwrap_or("none"), body, SECRET).await
}

async fn send_as(receiver: &Receiver, content_type: &str, id: &str, body: &Value, secret: &str) -> u16 {
    let body = serde_json::to_vec(body).unwrap();
    let timestamp = Timestamp::now().as_second().to_string();
    let call = SignedCall { id, timestamp: &timestamp, signatures: "", body: &body };
    let signature = Secret::parse(secret).unwrap().sign(&call);
    let request = client()
        .post(receiver.url())
        .header("content-type", content_type)
        .header("webhook-id", id)
        .header("webhook-timestamp", &timestamp)
        .header("webhook-signature", signature)
        .body(body);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn single_and_batched_events_are_shown() {
    let receiver = Receiver::start("web", SECRET, Behaviour::Healthy).await.unwrap();
    assert_eq!(send(&receiver, ONE, &event("A", 1, 7)).await, 200);
    assert_eq!(send(&receiver, BATCH, &json!([event("A", 2, 6), event("B", 1, 3)])).await, 200);
    let seen = receiver.stop().await;
    assert_eq!(seen.shown["A"], Shown { version: 2, quantity: 6, paused: false });
    assert_eq!(seen.shown["B"], Shown { version: 1, quantity: 3, paused: false });
    assert_eq!((seen.call_count, seen.went_back_count), (2, 0));
}

#[tokio::test]
async fn older_version_is_counted_and_never_shown() {
    let receiver = Receiver::start("web", SECRET, Behaviour::Healthy).await.unwrap();
    for version in [5, 5, 4] {
        send(&receiver, ONE, &event("A", version, version)).await;
    }
    let seen = receiver.stop().await;
    assert_eq!(seen.went_back_count, 1, "the same version again is no step back");
    assert_eq!(seen.shown["A"].quantity, 5);
}

#[tokio::test]
async fn foreign_calls_change_nothing() {
    let receiver = Receiver::start("web", SECRET, Behaviour::Healthy).await.unwrap();
    let good = event("A", 1, 7);
    let id = "web:A:1";
    assert_eq!(send_as(&receiver, ONE, id, &good, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await, 401);
    let unsigned = client().post(receiver.url()).body("{}").send().await.unwrap();
    assert_eq!(unsigned.status(), 401);
    assert_eq!(send_as(&receiver, ONE, "web:A:2", &good, SECRET).await, 400, "the id must be the event's");
    assert_eq!(send(&receiver, "application/json", &good).await, 415);
    assert_eq!(send(&receiver, ONE, &json!({"specversion": "1.0"})).await, 400);
    let mut other_type = good.clone();
    other_type["type"] = json!("somebody.else.v1");
    assert_eq!(send(&receiver, ONE, &other_type).await, 400);
    let seen = receiver.stop().await;
    assert_eq!((seen.unsigned_count, seen.malformed_count, seen.shown.len()), (2, 4, 0));
}

#[tokio::test]
async fn sick_channel_fails_from_the_signal_until_its_time_is_over() {
    let behaviour = Behaviour::FailsFor { duration: Duration::from_millis(300) };
    let receiver = Receiver::start("web", SECRET, behaviour).await.unwrap();
    assert_eq!(send(&receiver, ONE, &event("A", 1, 7)).await, 200, "healthy before the signal");
    receiver.start_failing();
    assert_eq!(send(&receiver, ONE, &event("A", 2, 6)).await, 503);
    let deadline = Instant::now() + Duration::from_secs(10);
    while send(&receiver, ONE, &event("A", 2, 6)).await != 200 {
        assert!(Instant::now() < deadline, "it must get well again");
    }
    let seen = receiver.stop().await;
    assert!(seen.unavailable_count >= 1);
    assert_eq!(seen.shown["A"].version, 2);
}

#[tokio::test]
async fn slow_channel_takes_its_time() {
    let delay = Duration::from_millis(50);
    let receiver = Receiver::start("web", SECRET, Behaviour::Slow { delay }).await.unwrap();
    let started = Instant::now();
    assert_eq!(send(&receiver, ONE, &event("A", 1, 7)).await, 200);
    assert!(started.elapsed() >= delay);
}

#[tokio::test]
async fn secret_of_another_form_is_refused() {
    let refused = Receiver::start("web", "hush", Behaviour::Healthy).await;
    assert!(matches!(refused.err(), Some(ReceiverError::BadSecret { .. })));
}
