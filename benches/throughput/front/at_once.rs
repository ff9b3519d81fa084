//! The ceiling: answers at once, with an answer as long as a real one.

use stockgate::proto::{DecrementRequest, DecrementResponse, LineResult};
use tonic::Status;

use super::Engine;

/// Decides nothing.
pub(super) struct AtOnce;

impl Engine for AtOnce {
    async fn decrement(&self, request: DecrementRequest) -> Result<DecrementResponse, Status> {
        let sold = |line: stockgate::proto::Line| LineResult {
            sku: line.sku,
            quantity: line.quantity,
            available: 999_999_999,
            on_hand: 999_999_999,
            held: 0,
            version: 2,
            event_id: "0-1700000000000-0-0".to_owned(),
        };
        Ok(DecrementResponse { lines: request.lines.into_iter().map(sold).collect(), ..Default::default() })
    }

    async fn count(&self, _: Vec<String>) -> Result<Vec<i64>, Status> {
        Err(Status::unimplemented("who answers at once keeps no count"))
    }
}
