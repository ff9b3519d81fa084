//! Requests with lines of their own: Decrement, Restock, Reserve.

use crate::{
    domain::{Action, ClientId, Mutation},
    proto,
};

use super::{
    cause::CauseFields, lines::lines, problem::Problem, ttl, ttl::ContractLimits, violations::Violations,
};

macro_rules! cause_fields {
    ($request:ident) => {
        CauseFields {
            idempotency_key: $request.idempotency_key,
            channel: $request.channel,
            order_ref: $request.order_ref,
            reason: $request.reason,
            actor: $request.actor,
            durability: $request.durability,
        }
    };
}

/// Reads a Decrement.
pub fn decrement(request: proto::DecrementRequest, client: ClientId) -> Result<Mutation, Problem> {
    let mut bad = Violations::default();
    let lines = lines(&mut bad, &request.lines);
    match (cause_fields!(request).parse(&mut bad, client), lines) {
        (Some((cause, durability)), Some(lines)) => {
            Ok(Mutation { cause, action: Action::Decrement(lines), durability })
        }
        _ => Err(bad.into_problem()),
    }
}

/// Reads a Restock.
pub fn restock(request: proto::RestockRequest, client: ClientId) -> Result<Mutation, Problem> {
    let mut bad = Violations::default();
    let lines = lines(&mut bad, &request.lines);
    match (cause_fields!(request).parse(&mut bad, client), lines) {
        (Some((cause, durability)), Some(lines)) => {
            Ok(Mutation { cause, action: Action::Restock(lines), durability })
        }
        _ => Err(bad.into_problem()),
    }
}

/// Reads a Reserve.
pub fn reserve(
    request: proto::ReserveRequest,
    client: ClientId,
    limits: &ContractLimits,
) -> Result<Mutation, Problem> {
    let mut bad = Violations::default();
    let lines = lines(&mut bad, &request.lines);
    let ttl = ttl::ttl(&mut bad, request.ttl, limits);
    match (cause_fields!(request).parse(&mut bad, client), lines, ttl) {
        (Some((cause, durability)), Some(lines), Some(ttl)) => {
            Ok(Mutation { cause, action: Action::Reserve { lines, ttl }, durability })
        }
        _ => Err(bad.into_problem()),
    }
}
