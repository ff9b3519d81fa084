//! The HTTP side: metrics for Prometheus, liveness, readiness. Changes no stock.

mod connections;
mod health;
mod metrics;

use std::{io, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{StatusCode, Uri},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, sync::watch, time};
use tokio_util::sync::CancellationToken;

pub use health::Readiness;

use connections::BoundedListener;

/// How long one request may take; all are answered from memory.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest body read; none of these requests has one.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How long requests on their way may take to finish after the stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

const HOME: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>stockgate</title></head>
<body><h1>stockgate</h1>
<ul>
<li><a href=\"/metrics\">/metrics</a> for Prometheus</li>
<li><a href=\"/healthz\">/healthz</a> 200 while this process is alive</li>
<li><a href=\"/readyz\">/readyz</a> 200 while it can serve, else 503 with the reasons</li>
</ul>
<p>Stock is sold and held over gRPC, on another port.</p>
</body></html>
";

/// What the pages are made of.
#[derive(Debug, Clone)]
pub struct HttpState {
    /// The metrics of this process.
    pub metrics: PrometheusHandle,
    /// Whether this process can serve, as whoever watches Redis says.
    pub readiness: watch::Receiver<Readiness>,
}

/// Why the HTTP server ended.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The listener failed.
    #[error("the http server cannot go on")]
    Serve {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Serves until `stop`, then lets requests on their way finish.
pub async fn serve(
    listener: TcpListener,
    state: HttpState,
    stop: CancellationToken,
) -> Result<(), HttpError> {
    let server = axum::serve(BoundedListener::new(listener), router(state))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        time::sleep(DRAIN_TIMEOUT).await; // why: a hard end for requests that do not finish
    };
    tokio::select! {
        ended = server => ended.map_err(|source| HttpError::Serve { source }),
        () = overdue => Ok(()),
    }
}

fn router(state: HttpState) -> Router {
    Router::new()
        .route("/", get(async || Html(HOME)))
        .route("/metrics", get(metrics::page))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n"))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(in_time))
        .with_state(state)
}

async fn not_found(uri: Uri) -> impl IntoResponse {
    let help = format!("nothing at {}: there are /metrics, /healthz and /readyz\n", uri.path());
    (StatusCode::NOT_FOUND, help)
}

async fn in_time(request: Request, next: Next) -> Response {
    match time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not answered in time\n").into_response(),
    }
}

#[cfg(test)]
mod tests;
