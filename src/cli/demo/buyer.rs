//! Places one order over gRPC, as a checkout should: with a deadline, and again with the same key while the outcome is
//! unknown.

use std::time::Duration;

use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_types::StatusExt as _;

use super::order::{Order, Way};
use crate::proto::{
    CommitRequest, DecrementRequest, LineResult, ReserveRequest, stock_service_client::StockServiceClient,
};

/// How often one call is tried while its outcome is unknown.
const ATTEMPTS_MAX: u32 = 6;
/// The wait before the second try; it doubles from try to try.
const RETRY_WAIT: Duration = Duration::from_millis(50);
/// `ErrorInfo.reason` of the one refusal a flash sale expects.
const SOLD_OUT: &str = "INSUFFICIENT_STOCK";

/// What an order came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Sold {
        units: Vec<(String, i64)>,
        event_ids: Vec<String>,
    },
    /// Refused for lack of stock, with the shortages as they were said.
    SoldOut {
        shortages: Vec<String>,
    },
}

/// The outcome, and how it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// Per call of the order: was it the first answer again.
    pub(super) replayed: Vec<bool>,
    /// True when a call was tried more than once: then nobody knows which try was the first.
    pub(super) retried: bool,
}

/// Places orders.
#[derive(Debug, Clone)]
pub(super) struct Buyer {
    stock: StockServiceClient<Channel>,
    timeout: Duration,
}

struct Reply<T> {
    /// The message, or the refusal for lack of stock.
    result: Result<T, Shortages>,
    replayed_refusal: bool,
    retried: bool,
}

type Shortages = Vec<String>;

impl Buyer {
    pub(super) fn new(gateway: Channel, timeout: Duration) -> Self {
        Self { stock: StockServiceClient::new(gateway), timeout }
    }

    /// Places the order, or says what kept it from being decided.
    pub(super) async fn buy(&self, order: &Order) -> Result<Answer, Status> {
        match order.way {
            Way::AtOnce => self.decrement(order).await,
            Way::ByHold => self.reserve_and_commit(order).await,
        }
    }

    // The orders name no channel: a sale's own channel is not told about it, and here every channel shall be.
    async fn decrement(&self, order: &Order) -> Result<Answer, Status> {
        let message = DecrementRequest {
            idempotency_key: order.key.clone(),
            lines: order.lines.clone(),
            order_ref: order.key.clone(),
            ..DecrementRequest::default()
        };
        let reply = self
            .until_known(|| {
                let request = self.request(message.clone());
                let mut stock = self.stock.clone();
                async move { stock.decrement(request).await }
            })
            .await?;
        let retried = reply.retried;
        match reply.result {
            Ok(sold) => {
                Ok(Answer { outcome: Outcome::sold([sold.lines]), replayed: vec![sold.replayed], retried })
            }
            Err(shortages) => Ok(Answer::sold_out(shortages, reply.replayed_refusal, retried)),
        }
    }

    async fn reserve_and_commit(&self, order: &Order) -> Result<Answer, Status> {
        let message = ReserveRequest {
            idempotency_key: format!("{}-reserve", order.key),
            lines: order.lines.clone(),
            order_ref: order.key.clone(),
            ..ReserveRequest::default()
        };
        let reply = self
            .until_known(|| {
                let request = self.request(message.clone());
                let mut stock = self.stock.clone();
                async move { stock.reserve(request).await }
            })
            .await?;
        let reserved = match reply.result {
            Ok(reserved) => reserved,
            Err(shortages) => return Ok(Answer::sold_out(shortages, reply.replayed_refusal, reply.retried)),
        };
        let hold = reserved.hold.ok_or_else(|| Status::internal("the answer to Reserve has no hold"))?;
        let message = CommitRequest {
            hold_id: hold.hold_id,
            idempotency_key: format!("{}-commit", order.key),
            ..CommitRequest::default()
        };
        let commit_reply = self
            .until_known(|| {
                let request = self.request(message.clone());
                let mut stock = self.stock.clone();
                async move { stock.commit(request).await }
            })
            .await?;
        // A strict commit of a live hold cannot lack stock: the hold has it.
        let committed =
            commit_reply.result.map_err(|_| Status::internal("a held order was refused as sold out"))?;
        Ok(Answer {
            outcome: Outcome::sold([committed.lines, reserved.lines]),
            replayed: vec![reserved.replayed, committed.replayed],
            retried: reply.retried || commit_reply.retried,
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    /// Calls until the outcome is known; always with the same key, so it cannot happen twice.
    async fn until_known<T, F>(&self, mut call: impl FnMut() -> F) -> Result<Reply<T>, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut attempt = 1;
        loop {
            let retried = attempt > 1;
            let status = match call().await {
                Ok(response) => {
                    return Ok(Reply { result: Ok(response.into_inner()), replayed_refusal: false, retried });
                }
                Err(status) => status,
            };
            if let Some((shortages, replayed_refusal)) = shortages_of(&status) {
                return Ok(Reply { result: Err(shortages), replayed_refusal, retried });
            }
            if attempt == ATTEMPTS_MAX || !may_be_asked_again(status.code()) {
                return Err(status);
            }
            tokio::time::sleep(RETRY_WAIT * 2_u32.pow(attempt - 1)).await; // why: a caller's own backoff, at most a few
            attempt += 1;
        }
    }
}

impl Answer {
    fn sold_out(shortages: Shortages, replayed: bool, retried: bool) -> Self {
        Self { outcome: Outcome::SoldOut { shortages }, replayed: vec![replayed], retried }
    }
}

impl Outcome {
    /// From the answers' lines: the first says what was sold, all say by which events.
    fn sold<const N: usize>(answers: [Vec<LineResult>; N]) -> Self {
        let units =
            answers.first().into_iter().flatten().map(|line| (line.sku.clone(), line.quantity)).collect();
        let event_ids = answers.into_iter().flatten().map(|line| line.event_id).collect();
        Self::Sold { units, event_ids }
    }
}

fn may_be_asked_again(code: Code) -> bool {
    // CANCELLED is what tonic says when our own deadline passed.
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted)
}

/// The shortages of a refusal for lack of stock, and whether it was the first answer again.
fn shortages_of(status: &Status) -> Option<(Shortages, bool)> {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.reason == SOLD_OUT)?;
    let is_replayed = info.metadata.get("replayed").is_some_and(|value| value == "true");
    let found =
        details.precondition_failure().map(|failure| failure.violations.as_slice()).unwrap_or_default();
    Some((
        found.iter().map(|short| format!("{}: {}", short.subject, short.description)).collect(),
        is_replayed,
    ))
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn only_lack_of_stock_is_sold_out() {
        let mut details = ErrorDetails::with_error_info(
            SOLD_OUT,
            "stockgate",
            [("replayed".to_owned(), "true".to_owned())],
        );
        details.add_precondition_failure_violation(SOLD_OUT, "A", "requested 3, available 1");
        let status = Status::with_error_details(Code::FailedPrecondition, "x", details);
        assert_eq!(shortages_of(&status), Some((vec!["A: requested 3, available 1".to_owned()], true)));
        assert_eq!(shortages_of(&Status::failed_precondition("not enough stock")), None);
    }

    #[test]
    fn hold_sells_what_its_commit_says_by_the_events_of_both() {
        let line = |event_id: &str| LineResult {
            sku: "A".to_owned(),
            quantity: 2,
            event_id: event_id.to_owned(),
            ..LineResult::default()
        };
        let outcome = Outcome::sold([vec![line("2")], vec![line("1")]]);
        let event_ids = vec!["2".to_owned(), "1".to_owned()];
        assert_eq!(outcome, Outcome::Sold { units: vec![("A".to_owned(), 2)], event_ids });
    }
}
