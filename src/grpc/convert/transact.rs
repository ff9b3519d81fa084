//! Operations of a Transact stream: each is the request of another rpc, and is answered like it.

use crate::{
    domain::{Answer, ClientId, Mutation},
    proto::{self, transact_request::Operation, transact_response::Result as Outcome},
};

use super::{holds, problem::Problem, replies, sales, ttl::ContractLimits};

/// Makes the result of an answer.
pub type Respond = fn(Answer) -> Result<Outcome, Problem>;

/// Reads an operation; also returns what answers it.
pub fn operation(
    asked: Option<Operation>,
    client: ClientId,
    limits: &ContractLimits,
) -> Result<(Mutation, Respond), Problem> {
    match asked {
        Some(Operation::Decrement(request)) => Ok((sales::decrement(request, client)?, |answer| {
            replies::decrement_response(answer).map(Outcome::Decrement)
        })),
        Some(Operation::Reserve(request)) => Ok((sales::reserve(request, client, limits)?, |answer| {
            replies::reserve_response(answer).map(Outcome::Reserve)
        })),
        Some(Operation::Commit(request)) => Ok((holds::commit(request, client)?, |answer| {
            replies::commit_response(answer).map(Outcome::Commit)
        })),
        Some(Operation::Release(request)) => Ok((holds::release(request, client)?, |answer| {
            replies::release_response(answer).map(Outcome::Release)
        })),
        Some(Operation::ExtendHold(request)) => {
            Ok((holds::extend_hold(request, client, limits)?, |answer| {
                replies::extend_hold_response(answer).map(Outcome::ExtendHold)
            }))
        }
        Some(Operation::Restock(request)) => Ok((sales::restock(request, client)?, |answer| {
            replies::restock_response(answer).map(Outcome::Restock)
        })),
        None => Err(Problem::invalid(
            "operation",
            "must be set: decrement, reserve, commit, release, extend_hold or restock",
        )),
    }
}

/// Answers the operation of a tag.
pub fn transact_response(tag: u64, outcome: Result<Outcome, Problem>) -> proto::TransactResponse {
    let result = outcome.unwrap_or_else(|problem| Outcome::Problem(problem.into()));
    proto::TransactResponse { tag, result: Some(result) }
}

impl From<Problem> for proto::Problem {
    fn from(problem: Problem) -> Self {
        let details = problem.details.messages();
        Self { code: problem.code.into(), message: problem.message, details }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tonic::Status;

    use crate::{
        domain::{Refusal, Shortage, Sku},
        store::StoreError,
    };

    use super::*;

    #[test]
    fn a_problem_says_what_the_status_says() {
        let sku = Sku::parse("a").expect("legal");
        let short = Refusal::Insufficient(vec![Shortage { sku, requested: 5, available: 3 }]);
        for problem in [
            Problem::refused(&short, true),
            Problem::from(StoreError::Overloaded { queued: 7 }),
            Problem::invalid("tag", "is bad"),
        ] {
            let status = Status::from(problem.clone());
            let shown = proto::Problem::from(problem);
            assert_eq!((shown.code, shown.message.as_str()), (status.code().into(), status.message()));
            assert_eq!(shown.encode_to_vec(), status.details(), "{shown:?}");
            assert!(shown.details[0].type_url.starts_with("type.googleapis.com/google.rpc."));
        }
    }

    #[test]
    fn no_operation_is_malformed() {
        let limits = ContractLimits {
            ttl_default: std::time::Duration::from_secs(1),
            ttl_max: std::time::Duration::from_secs(1),
        };
        let problem = operation(None, ClientId::anonymous(), &limits).expect_err("nothing to do");
        assert_eq!(problem.reason(), "MALFORMED_REQUEST");
    }
}
