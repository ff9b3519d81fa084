//! `/healthz` and `/readyz`: alive is this process's own affair, ready depends on Redis.

use axum::{extract::State, http::StatusCode, response::IntoResponse};

use super::HttpState;

/// Whether this process can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot now.
    NotReady {
        /// Why, each in one line: what is wrong and what would mend it.
        reasons: Vec<String>,
    },
}

/// Answers 200 as long as this process answers at all: restarting it would not bring Redis back.
pub(super) async fn alive() -> impl IntoResponse {
    "alive\n"
}

/// Answers 200, or 503 with one line per reason.
pub(super) async fn ready(State(state): State<HttpState>) -> impl IntoResponse {
    let readiness = state.readiness.borrow().clone();
    match readiness {
        Readiness::Ready => (StatusCode::OK, "ready\n".to_owned()),
        Readiness::NotReady { reasons } if reasons.is_empty() => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned())
        }
        Readiness::NotReady { reasons } => {
            let lines = reasons.iter().map(|reason| format!("{reason}\n")).collect();
            (StatusCode::SERVICE_UNAVAILABLE, lines)
        }
    }
}
