//! Holds: the requests that touch one, and how one is shown.

use crate::{
    domain::{Action, ClientId, Hold, HoldId, HoldState, Mutation, WhenExpired},
    proto,
};

use super::{
    cause::CauseFields, lines::hold_lines, problem::Problem, time::timestamp, ttl, ttl::ContractLimits,
    violations::Violations,
};

/// Reads a Commit.
pub fn commit(request: proto::CommitRequest, client: ClientId) -> Result<Mutation, Problem> {
    let mut bad = Violations::default();
    let hold = hold_id(&mut bad, &request.hold_id);
    let lines = hold_lines(&mut bad, &request.lines);
    let when_expired = when_expired(&mut bad, request.expired_policy);
    let fields = CauseFields {
        idempotency_key: request.idempotency_key,
        reason: request.reason,
        actor: request.actor,
        durability: request.durability,
        ..CauseFields::default()
    };
    match (fields.parse(&mut bad, client), hold, lines, when_expired) {
        (Some((cause, durability)), Some(hold), Some(lines), Some(when_expired)) => {
            let action = Action::Commit { hold, lines, keep_open: request.keep_open, when_expired };
            Ok(Mutation { cause, action, durability })
        }
        _ => Err(bad.into_problem()),
    }
}

/// Reads a Release.
pub fn release(request: proto::ReleaseRequest, client: ClientId) -> Result<Mutation, Problem> {
    let mut bad = Violations::default();
    let hold = hold_id(&mut bad, &request.hold_id);
    let lines = hold_lines(&mut bad, &request.lines);
    let fields = CauseFields {
        idempotency_key: request.idempotency_key,
        reason: request.reason,
        actor: request.actor,
        durability: request.durability,
        ..CauseFields::default()
    };
    match (fields.parse(&mut bad, client), hold, lines) {
        (Some((cause, durability)), Some(hold), Some(lines)) => {
            Ok(Mutation { cause, action: Action::Release { hold, lines }, durability })
        }
        _ => Err(bad.into_problem()),
    }
}

/// Reads an ExtendHold.
pub fn extend_hold(
    request: proto::ExtendHoldRequest,
    client: ClientId,
    limits: &ContractLimits,
) -> Result<Mutation, Problem> {
    let mut bad = Violations::default();
    let hold = hold_id(&mut bad, &request.hold_id);
    let ttl = ttl::ttl(&mut bad, request.ttl, limits);
    let fields = CauseFields {
        idempotency_key: request.idempotency_key,
        durability: request.durability,
        ..CauseFields::default()
    };
    match (fields.parse(&mut bad, client), hold, ttl) {
        (Some((cause, durability)), Some(hold), Some(ttl)) => {
            Ok(Mutation { cause, action: Action::ExtendHold { hold, ttl }, durability })
        }
        _ => Err(bad.into_problem()),
    }
}

/// Reads a hold id.
pub(super) fn hold_id(bad: &mut Violations, text: &str) -> Option<HoldId> {
    bad.take("hold_id", text.parse::<HoldId>())
}

fn when_expired(bad: &mut Violations, number: i32) -> Option<WhenExpired> {
    use proto::ExpiredPolicy::{Reacquire, Strict, Unspecified};
    match proto::ExpiredPolicy::try_from(number) {
        Ok(Unspecified | Strict) => Some(WhenExpired::Strict),
        Ok(Reacquire) => Some(WhenExpired::Reacquire),
        Err(_) => {
            bad.add(
                "expired_policy",
                format_args!(
                    "must be EXPIRED_POLICY_STRICT (1), EXPIRED_POLICY_REACQUIRE (2) or left out, is {number}"
                ),
            );
            None
        }
    }
}

/// Shows a hold's state.
pub fn hold_state(state: HoldState) -> proto::HoldState {
    match state {
        HoldState::Held => proto::HoldState::Held,
        HoldState::Committed => proto::HoldState::Committed,
        HoldState::Released => proto::HoldState::Released,
        HoldState::Expired => proto::HoldState::Expired,
    }
}

/// Shows a hold; an ended one promises nothing any more, whatever went back at its end.
pub fn hold(hold: Hold) -> proto::Hold {
    let is_live = hold.state == HoldState::Held;
    let lines = hold.lines.into_iter().map(|line| proto::HoldLine {
        sku: line.sku.as_str().to_owned(),
        quantity: line.reserved,
        held: if is_live { line.held } else { 0 },
        committed: line.committed,
    });
    proto::Hold {
        hold_id: hold.id.to_string(),
        state: hold_state(hold.state).into(),
        lines: lines.collect(),
        // A tombstone never had a deadline.
        expire_time: (hold.deadline_ms != 0).then(|| timestamp(hold.deadline_ms)),
        order_ref: hold.order_ref,
        channel: hold.channel.map_or_else(String::new, |channel| channel.as_str().to_owned()),
    }
}
