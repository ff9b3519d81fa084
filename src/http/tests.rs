//! Tests of the folder beside.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::telemetry;

use super::*;

struct Server {
    address: std::net::SocketAddr,
    readiness: watch::Sender<Readiness>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), HttpError>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, seen) = watch::channel(Readiness::Ready);
        let state = HttpState { metrics: telemetry::init_metrics().unwrap(), readiness: seen };
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, state, stop.clone()));
        Self { address, readiness, stop, task }
    }

    async fn send(&self, method: &str, path: &str) -> String {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        time::timeout(Duration::from_secs(5), exchange).await.expect("an answer in time")
    }

    async fn check(&self, request: &str, status: u16, content: &str, part: &str) {
        let (method, path) = request.split_once(' ').unwrap();
        let answer = self.send(method, path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains(&format!("content-type: {content}")), "{request}: {answer}");
        assert!(answer.contains(part), "{request}: {answer}");
    }
}

#[tokio::test]
async fn every_page_answers_and_others_say_where_the_pages_are() {
    let server = Server::start().await;
    let text = "text/plain";
    server.check("GET /", 200, "text/html", "/readyz").await;
    server.check("GET /healthz", 200, text, "alive\n").await;
    server.check("GET /readyz", 200, text, "ready\n").await;
    server.check("GET /metric", 404, text, "nothing at /metric: there are /metrics, /healthz").await;
    server.check("POST /metrics", 405, text, "only GET").await;
    let version = "text/plain; version=0.0.4; charset=utf-8";
    server.check("GET /metrics", 200, version, "# HELP stockgate_replays_total Repeats").await;
}

#[tokio::test]
async fn ready_flips_with_what_it_is_told_and_alive_does_not() {
    let server = Server::start().await;
    let reasons = vec!["redis does not answer".to_owned(), "draining".to_owned()];
    server.readiness.send_replace(Readiness::NotReady { reasons });
    server.check("GET /readyz", 503, "text/plain", "\r\n\r\nredis does not answer\ndraining\n").await;
    server.check("GET /healthz", 200, "text/plain", "alive\n").await;
    server.readiness.send_replace(Readiness::NotReady { reasons: Vec::new() });
    server.check("GET /readyz", 503, "text/plain", "not ready\n").await;
    server.readiness.send_replace(Readiness::Ready);
    server.check("GET /readyz", 200, "text/plain", "ready\n").await;
}

#[tokio::test]
async fn stopping_ends_the_server_though_a_client_says_nothing() {
    let server = Server::start().await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    silent.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    server.check("GET /healthz", 200, "text/plain", "alive\n").await;
    server.stop.cancel();
    let ended = time::timeout(Duration::from_secs(10), server.task).await.expect("ends in time");
    ended.expect("does not panic").expect("ends well");
    assert!(TcpStream::connect(server.address).await.is_err());
}
