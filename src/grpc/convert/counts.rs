//! Requests that set or correct a count: SetStock, AdjustStock and the rows of ImportStock.

use std::fmt::Display;

use crate::{
    domain::{
        Action, Cause, ClientId, Durability, EventId, Mutation, QUANTITY_MAX, QuantityProblem, SetCondition,
        Sku,
    },
    proto,
};

use super::{cause::CauseFields, problem::Problem, violations::Violations};

/// The most rows one ImportStock may send.
pub const IMPORT_ROWS_MAX: usize = 10_000;

/// Reads a SetStock. The event the count was taken at comes beside it: the caller looks up `on_hand_then`.
pub fn set_stock(
    request: proto::SetStockRequest,
    client: ClientId,
) -> Result<(Mutation, Option<EventId>), Problem> {
    use proto::set_stock_request::Condition;
    let mut bad = Violations::default();
    let condition = match request.condition {
        Some(Condition::ExpectedVersion(version)) => at_version(&mut bad, version),
        Some(Condition::Force(())) => Some(SetCondition::Force),
        None => missing_condition(&mut bad),
    };
    let as_of = if request.as_of_event.is_empty() {
        Some(None)
    } else {
        bad.take("as_of_event", request.as_of_event.parse::<EventId>()).map(Some)
    };
    let count = Count { sku: request.sku, quantity: request.quantity }.parse(&mut bad);
    let fields = CauseFields {
        idempotency_key: request.idempotency_key,
        channel: request.channel,
        reason: request.reason,
        actor: request.actor,
        durability: request.durability,
        ..CauseFields::default()
    };
    match (fields.parse(&mut bad, client), count, condition, as_of) {
        (Some(asked), Some(count), Some(condition), Some(as_of)) => {
            Ok((count.set(asked, condition, request.as_of_event), as_of))
        }
        _ => Err(bad.into_problem()),
    }
}

/// Reads one row of an ImportStock.
pub fn import_row(row: proto::ImportStockRequest, client: ClientId) -> Result<Mutation, Problem> {
    use proto::import_stock_request::Condition;
    let mut bad = Violations::default();
    let condition = match row.condition {
        Some(Condition::ExpectedVersion(version)) => at_version(&mut bad, version),
        Some(Condition::Force(())) => Some(SetCondition::Force),
        None => missing_condition(&mut bad),
    };
    let count = Count { sku: row.sku, quantity: row.quantity }.parse(&mut bad);
    let fields = CauseFields {
        idempotency_key: row.idempotency_key,
        reason: row.reason,
        actor: row.actor,
        durability: row.durability,
        ..CauseFields::default()
    };
    match (fields.parse(&mut bad, client), count, condition) {
        (Some(asked), Some(count), Some(condition)) => Ok(count.set(asked, condition, String::new())),
        _ => Err(bad.into_problem()),
    }
}

/// Reads an AdjustStock.
pub fn adjust_stock(request: proto::AdjustStockRequest, client: ClientId) -> Result<Mutation, Problem> {
    let mut bad = Violations::default();
    let sku = bad.take("sku", Sku::parse(&request.sku));
    let delta = bad.take("delta", delta(request.delta));
    let expected_version = match request.expected_version {
        Some(version) => bad.take_version(|| "expected_version".into(), version).map(Some),
        None => Some(None),
    };
    let fields = CauseFields {
        idempotency_key: request.idempotency_key,
        channel: request.channel,
        reason: request.reason,
        actor: request.actor,
        durability: request.durability,
        ..CauseFields::default()
    };
    match (fields.parse(&mut bad, client), sku, delta, expected_version) {
        (Some((cause, durability)), Some(sku), Some(delta), Some(expected_version)) => {
            let action = Action::AdjustStock { sku, delta, expected_version };
            Ok(Mutation { cause, action, durability })
        }
        _ => Err(bad.into_problem()),
    }
}

struct Count<Name> {
    sku: Name,
    quantity: i64,
}

impl Count<String> {
    fn parse(self, bad: &mut Violations) -> Option<Count<Sku>> {
        let sku = bad.take("sku", Sku::parse(&self.sku));
        let in_range = (0..=QUANTITY_MAX).contains(&self.quantity);
        let range = QuantityProblem { min: 0, given: self.quantity };
        let quantity = bad.take("quantity", if in_range { Ok(self.quantity) } else { Err(range) });
        Some(Count { sku: sku?, quantity: quantity? })
    }
}

impl Count<Sku> {
    fn set(
        self,
        (cause, durability): (Cause, Option<Durability>),
        condition: SetCondition,
        as_of_event: String,
    ) -> Mutation {
        let Self { sku, quantity } = self;
        Mutation {
            cause,
            action: Action::SetStock { sku, quantity, condition, on_hand_then: None, as_of_event },
            durability,
        }
    }
}

fn at_version(bad: &mut Violations, version: i64) -> Option<SetCondition> {
    bad.take_version(|| "expected_version".into(), version).map(SetCondition::Version)
}

fn missing_condition(bad: &mut Violations) -> Option<SetCondition> {
    bad.add(
        "condition",
        "must be given: expected_version (0 for a new sku), or force to set it at any version",
    );
    None
}

fn delta(units: i64) -> Result<i64, impl Display> {
    if units != 0 && (-QUANTITY_MAX..=QUANTITY_MAX).contains(&units) {
        return Ok(units);
    }
    Err(format!("must be -{QUANTITY_MAX} to {QUANTITY_MAX} and not 0, is {units}"))
}
