//! What `stockgate load` finds in a gateway that is wrong: a real one behind a door that answers some calls itself.

use std::{collections::HashMap, net::SocketAddr, process::Stdio, sync::Mutex};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
};
use serde_json::Value;
use tonic::{Code, Status, service::Routes, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::ServiceExt as _;

use crate::{
    gateway::{Gateway, Setup},
    gateway_redis::Redis,
};

/// A call as the door sees it: the method, and how often the very same request came before.
struct Call<'a> {
    method: &'a str,
    times_before: u32,
}

/// A gateway with a flaw.
struct Flawed {
    setup: Setup,
    /// Behind the door; it runs as long as this lives.
    _gateway: Gateway,
    door: SocketAddr,
}

impl Flawed {
    /// The door answers a call itself where `flaw` has an answer.
    async fn open(flaw: fn(&Call<'_>) -> Option<Status>) -> Self {
        let setup = Setup::on(Redis::shared().await);
        let gateway = setup.serve().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = listener.local_addr().unwrap();
        let seen: &Mutex<HashMap<Bytes, u32>> = Box::leak(Box::default());
        let transport = gateway.transport.clone();
        let pass = move |request: Request| {
            let transport = transport.clone();
            async move {
                let (head, body) = request.into_parts();
                let message = to_bytes(body, usize::MAX).await.unwrap();
                let times = {
                    let mut seen = seen.lock().unwrap();
                    let times = seen.entry(message.clone()).or_default();
                    *times += 1;
                    *times - 1
                };
                let method = head.uri.path().rsplit('/').next().unwrap();
                if let Some(status) = flaw(&Call { method, times_before: times }) {
                    return status.into_http::<Body>();
                }
                let request = Request::from_parts(head, tonic::body::Body::new(Body::from(message)));
                match transport.oneshot(request).await {
                    Ok(answer) => answer.map(Body::new),
                    Err(error) => Status::unavailable(error.to_string()).into_http(),
                }
            }
        };
        let routes = Routes::from(Router::<()>::new().fallback(pass));
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(incoming));
        Self { setup, _gateway: gateway, door }
    }

    /// The exit code of a load, and its JSON.
    async fn load(&self, line: &str) -> (Option<i32>, Value) {
        let mut command = self.setup.command();
        command.arg("load").args(line.split(' ')).args(["--rate", "50", "--duration", "1s", "-o", "json"]);
        command.env("STOCKGATE_GATEWAY", format!("http://{}", self.door));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let ran = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let report = serde_json::from_slice(&ran.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&ran.stderr)));
        (ran.status.code(), report)
    }

    /// Runs a load whose books must be wrong, for this reason.
    async fn wrong(&self, line: &str, why: &str) -> Value {
        let (code, report) = self.load(line).await;
        assert_eq!((code, &report["books"]["right"]), (Some(1), &false.into()), "{report}");
        let findings = report["books"]["findings"].as_array().unwrap();
        assert!(
            findings.iter().any(|finding| finding.as_str().unwrap().contains(why)),
            "{why}: {findings:?}"
        );
        report
    }
}

/// An answer as the gateway words it.
fn answer(code: Code, reason: &str) -> Status {
    Status::with_error_details(
        code,
        "said",
        ErrorDetails::with_error_info(reason, "stockgate", HashMap::new()),
    )
}

#[tokio::test]
async fn repeats_that_are_never_answered_make_the_books_wrong() {
    let flawed = Flawed::open(|call| {
        let is_repeat = call.method == "Decrement" && call.times_before > 0;
        is_repeat.then(|| answer(Code::Internal, "INTERNAL"))
    })
    .await;
    let report = flawed.wrong("--repeats 20 --skus 5", "repeats were not answered").await;
    assert_eq!(report["books"]["repeats"], 0, "{report}");
}

#[tokio::test]
async fn repeats_that_are_answered_late_are_asked_for_until_they_are() {
    let flawed = Flawed::open(|call| {
        let is_repeat = call.method == "Decrement" && (1..=2).contains(&call.times_before);
        is_repeat.then(|| answer(Code::ResourceExhausted, "OVERLOADED"))
    })
    .await;
    let (code, report) = flawed.load("--repeats 20 --skus 5").await;
    let books = &report["books"];
    assert_eq!((code, &books["repeats_unanswered"]), (Some(0), &0.into()), "{report}");
    let repeated = report["following"][0]["calls"].as_u64().unwrap();
    assert_eq!(books["repeats"], 2 * repeated, "each that failed at once, and each kept: {report}");
}

#[tokio::test]
async fn refused_end_of_a_live_hold_makes_the_books_wrong() {
    let flawed = Flawed::open(|call| match call.method {
        "Commit" => Some(answer(Code::FailedPrecondition, "HOLD_EXPIRED")),
        "Release" => Some(answer(Code::NotFound, "UNKNOWN_HOLD")),
        _ => None,
    })
    .await;
    let holds = "--profile holds --hold-ttl 3s --skus 5 --repeats 0";
    let committed = flawed.wrong(&format!("{holds} --commits 100"), "its Commit was refused").await;
    assert_eq!(committed["books"]["wrong_sku_count"], 0, "what was not sold is left: {committed}");
    flawed.wrong(&format!("{holds} --releases 100"), "its Release was refused").await;
}

#[tokio::test]
async fn refused_reserve_of_what_was_never_held_makes_the_books_wrong() {
    let flawed = Flawed::open(|call| {
        (call.method == "Reserve").then(|| answer(Code::FailedPrecondition, "INSUFFICIENT_STOCK"))
    })
    .await;
    flawed.wrong("--profile holds --hold-ttl 300ms --skus 5 --repeats 0", "was refused, and so much").await;
}
