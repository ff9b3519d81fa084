//! `/metrics`: the text format of Prometheus.

use axum::{extract::State, http::header, response::IntoResponse};

use super::HttpState;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders all metrics of this process.
pub(super) async fn page(State(state): State<HttpState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], state.metrics.render())
}
