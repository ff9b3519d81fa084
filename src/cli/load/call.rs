//! One call to the gateway, and what its answer means for the books.

use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use super::super::{explain::code_name, gateway::Gateway};
use crate::proto::{
    CommitRequest, CommitResponse, DecrementRequest, DecrementResponse, LineResult, ReleaseRequest,
    ReleaseResponse, ReserveRequest, ReserveResponse, stock_service_client::StockServiceClient,
};

/// The domain of the gateway's own `ErrorInfo`: without it, something between here and there answered.
const DOMAIN: &str = "stockgate";
/// `ErrorInfo.reason` of calls that may have been carried out.
const UNKNOWN_REASONS: [&str; 3] = ["OUTCOME_UNKNOWN", "CORRUPT_ANSWER", "REDIS_REFUSED"];

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ask {
    Decrement(DecrementRequest),
    Reserve(ReserveRequest),
    Commit(CommitRequest),
    Release(ReleaseRequest),
}

/// The answer to one that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    Decrement(DecrementResponse),
    Reserve(ReserveResponse),
    Commit(CommitResponse),
    Release(ReleaseResponse),
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Done(Reply),
    /// Decided, and the answer is no.
    Refused(Refusal),
    Failed(Fault),
}

/// A no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// `ErrorInfo.reason`.
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) replayed: bool,
}

/// No decision came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The code, and the reason where there is one.
    pub(super) name: String,
    pub(super) message: String,
    /// True when it may have been carried out all the same.
    pub(super) is_unknown: bool,
}

impl Reply {
    /// True when this is the first answer again.
    pub(super) fn replayed(&self) -> bool {
        match self {
            Self::Decrement(answer) => answer.replayed,
            Self::Reserve(answer) => answer.replayed,
            Self::Commit(answer) => answer.replayed,
            Self::Release(answer) => answer.replayed,
        }
    }

    /// What each line did.
    pub(super) fn lines(&self) -> &[LineResult] {
        match self {
            Self::Decrement(answer) => &answer.lines,
            Self::Reserve(answer) => &answer.lines,
            Self::Commit(answer) => &answer.lines,
            Self::Release(answer) => &answer.lines,
        }
    }

    /// The hold it made, when it made one.
    pub(super) fn hold_id(&self) -> Option<&str> {
        match self {
            Self::Reserve(answer) => answer.hold.as_ref().map(|hold| hold.hold_id.as_str()),
            Self::Decrement(_) | Self::Commit(_) | Self::Release(_) => None,
        }
    }

    /// True when the change is less durable than it was asked to be.
    pub(super) fn is_less_durable(&self) -> bool {
        let durability = match self {
            Self::Decrement(answer) => answer.durability,
            Self::Reserve(answer) => answer.durability,
            Self::Commit(answer) => answer.durability,
            Self::Release(answer) => answer.durability,
        };
        durability.is_some_and(|durability| !durability.reached)
    }

    /// Without what a repeat may say differently: that it is one, and how durable it is by now.
    fn as_first(&self) -> Self {
        let mut first = self.clone();
        let (replayed, durability) = match &mut first {
            Self::Decrement(answer) => (&mut answer.replayed, &mut answer.durability),
            Self::Reserve(answer) => (&mut answer.replayed, &mut answer.durability),
            Self::Commit(answer) => (&mut answer.replayed, &mut answer.durability),
            Self::Release(answer) => (&mut answer.replayed, &mut answer.durability),
        };
        (*replayed, *durability) = (false, None);
        first
    }
}

impl Outcome {
    fn read(answer: Result<Reply, Status>) -> Self {
        let status = match answer {
            Ok(reply) => return Self::Done(reply),
            Err(status) => status,
        };
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        let code = status.code();
        match info {
            Some(info) if is_decision(code) => {
                let replayed = info.metadata.get("replayed").is_some_and(|value| value == "true");
                Self::Refused(Refusal { reason: info.reason, message: status.message().to_owned(), replayed })
            }
            Some(info) => Self::Failed(Fault {
                name: format!("{} {}", code_name(code), info.reason),
                message: status.message().to_owned(),
                is_unknown: UNKNOWN_REASONS.contains(&info.reason.as_str()),
            }),
            None => Self::Failed(Fault {
                name: code_name(code).to_owned(),
                message: status.message().to_owned(),
                is_unknown: true,
            }),
        }
    }

    /// True when `self`, the answer to the same request sent again, is the first answer word for word and says so.
    pub(super) fn repeats(&self, first: &Self) -> bool {
        match (self, first) {
            (Self::Done(again), Self::Done(first)) => {
                again.replayed() && again.as_first() == first.as_first()
            }
            (Self::Refused(again), Self::Refused(first)) => {
                again.replayed && again.reason == first.reason && again.message == first.message
            }
            (Self::Done(_) | Self::Refused(_) | Self::Failed(_), _) => false,
        }
    }

    /// The outcome in a few words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Done(reply) => {
                let replayed = if reply.replayed() { "replayed" } else { "new" };
                let events: Vec<_> = reply.lines().iter().map(|line| line.event_id.as_str()).collect();
                format!("carried out by {} ({replayed})", events.join(", "))
            }
            Self::Refused(refusal) => {
                let replayed = if refusal.replayed { "replayed" } else { "new" };
                format!("{}: {} ({replayed})", refusal.reason, refusal.message)
            }
            Self::Failed(fault) => format!("{}: {}", fault.name, fault.message),
        }
    }
}

/// The codes of answers that are remembered: somebody looked at stock or holds and said no.
fn is_decision(code: Code) -> bool {
    matches!(code, Code::FailedPrecondition | Code::NotFound | Code::Aborted | Code::AlreadyExists)
}

/// Sends a request and waits for its answer, at most the time one call may take.
pub(super) async fn call(gateway: &Gateway, stock: &mut StockServiceClient<Channel>, ask: Ask) -> Outcome {
    Outcome::read(match ask {
        Ask::Decrement(message) => {
            let answer = stock.decrement(gateway.request(message)).await;
            answer.map(|answer| Reply::Decrement(answer.into_inner()))
        }
        Ask::Reserve(message) => {
            let answer = stock.reserve(gateway.request(message)).await;
            answer.map(|answer| Reply::Reserve(answer.into_inner()))
        }
        Ask::Commit(message) => {
            let answer = stock.commit(gateway.request(message)).await;
            answer.map(|answer| Reply::Commit(answer.into_inner()))
        }
        Ask::Release(message) => {
            let answer = stock.release(gateway.request(message)).await;
            answer.map(|answer| Reply::Release(answer.into_inner()))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn status(code: Code, reason: &str, replayed: bool) -> Status {
        let metadata: HashMap<_, _> =
            replayed.then(|| ("replayed".to_owned(), "true".to_owned())).into_iter().collect();
        Status::with_error_details(code, "said", ErrorDetails::with_error_info(reason, DOMAIN, metadata))
    }

    #[test]
    fn only_what_nobody_decided_may_have_happened() {
        let check = |status: Status, is_unknown| {
            let Outcome::Failed(fault) = Outcome::read(Err(status)) else { panic!("it failed") };
            assert_eq!(fault.is_unknown, is_unknown, "{fault:?}");
        };
        check(status(Code::Unavailable, "OUTCOME_UNKNOWN", false), true);
        check(status(Code::DeadlineExceeded, "OUTCOME_UNKNOWN", false), true);
        check(Status::cancelled("our own timer"), true);
        check(Status::unavailable("the connection broke"), true);
        check(status(Code::ResourceExhausted, "OVERLOADED", false), false);
        check(status(Code::Unavailable, "STORE_UNAVAILABLE", false), false);
        check(status(Code::DeadlineExceeded, "DEADLINE_EXPIRED", false), false);
        let refused = Outcome::read(Err(status(Code::FailedPrecondition, "INSUFFICIENT_STOCK", false)));
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    }

    #[test]
    fn repeat_is_the_first_answer_and_says_so() {
        let sold = |event_id: &str, replayed| {
            let line = LineResult { event_id: event_id.to_owned(), ..LineResult::default() };
            Outcome::Done(Reply::Decrement(DecrementResponse {
                lines: vec![line],
                replayed,
                durability: None,
            }))
        };
        let refused =
            |replayed| Outcome::read(Err(status(Code::FailedPrecondition, "INSUFFICIENT_STOCK", replayed)));
        assert!(sold("1", true).repeats(&sold("1", false)));
        assert!(sold("1", true).repeats(&sold("1", true)), "a resolved call may itself be a replay");
        assert!(refused(true).repeats(&refused(false)));
        assert!(!sold("1", false).repeats(&sold("1", false)), "not marked as replayed");
        assert!(!sold("2", true).repeats(&sold("1", false)), "sold a second time");
        assert!(!refused(true).repeats(&sold("1", false)), "the first answer is forgotten");
        assert!(!refused(false).repeats(&refused(false)), "decided anew");
    }
}
