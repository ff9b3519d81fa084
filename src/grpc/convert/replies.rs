//! Answers to the mutating rpcs: the response, or the status of the refusal.

use crate::{
    domain::{Answer, Applied},
    proto,
};

use super::{durability::achieved, holds, problem::Problem, stock::line_result};

/// Answers a Decrement.
pub fn decrement_response(answer: Answer) -> Result<proto::DecrementResponse, Problem> {
    let durability = Some(achieved(answer.durability));
    let (applied, replayed) = applied(answer)?;
    Ok(proto::DecrementResponse { lines: lines(applied), replayed, durability })
}

/// Answers a Restock.
pub fn restock_response(answer: Answer) -> Result<proto::RestockResponse, Problem> {
    let durability = Some(achieved(answer.durability));
    let (applied, replayed) = applied(answer)?;
    Ok(proto::RestockResponse { lines: lines(applied), replayed, durability })
}

/// Answers a Reserve.
pub fn reserve_response(answer: Answer) -> Result<proto::ReserveResponse, Problem> {
    let durability = Some(achieved(answer.durability));
    let (mut applied, replayed) = applied(answer)?;
    Ok(proto::ReserveResponse { hold: hold(&mut applied), lines: lines(applied), replayed, durability })
}

/// Answers a Commit.
pub fn commit_response(answer: Answer) -> Result<proto::CommitResponse, Problem> {
    let durability = Some(achieved(answer.durability));
    let (mut applied, replayed) = applied(answer)?;
    Ok(proto::CommitResponse { hold: hold(&mut applied), lines: lines(applied), replayed, durability })
}

/// Answers a Release.
pub fn release_response(answer: Answer) -> Result<proto::ReleaseResponse, Problem> {
    let durability = Some(achieved(answer.durability));
    let (mut applied, replayed) = applied(answer)?;
    Ok(proto::ReleaseResponse { hold: hold(&mut applied), lines: lines(applied), replayed, durability })
}

/// Answers an ExtendHold.
pub fn extend_hold_response(answer: Answer) -> Result<proto::ExtendHoldResponse, Problem> {
    let durability = Some(achieved(answer.durability));
    let (mut applied, replayed) = applied(answer)?;
    Ok(proto::ExtendHoldResponse { hold: hold(&mut applied), replayed, durability })
}

/// Answers a SetStock.
pub fn set_stock_response(answer: Answer) -> Result<proto::SetStockResponse, Problem> {
    let durability = Some(achieved(answer.durability));
    let (applied, replayed) = applied(answer)?;
    Ok(proto::SetStockResponse { line: only_line(applied), replayed, durability })
}

/// Answers an AdjustStock.
pub fn adjust_stock_response(answer: Answer) -> Result<proto::AdjustStockResponse, Problem> {
    let durability = Some(achieved(answer.durability));
    let (applied, replayed) = applied(answer)?;
    Ok(proto::AdjustStockResponse { line: only_line(applied), replayed, durability })
}

/// What was carried out and whether it is the first answer again, or the status of the refusal.
pub(super) fn applied(answer: Answer) -> Result<(Applied, bool), Problem> {
    match answer.result {
        Ok(applied) => Ok((applied, answer.replayed)),
        Err(refusal) => Err(Problem::refused(&refusal, answer.replayed)),
    }
}

/// The line of a request that has one.
pub(super) fn only_line(applied: Applied) -> Option<proto::LineResult> {
    applied.lines.into_iter().next().map(line_result)
}

fn lines(applied: Applied) -> Vec<proto::LineResult> {
    applied.lines.into_iter().map(line_result).collect()
}

fn hold(applied: &mut Applied) -> Option<proto::Hold> {
    applied.hold.take().map(holds::hold)
}

#[cfg(test)]
mod tests {
    use crate::domain::{Achieved, Hold, HoldId, HoldLine, HoldState, Level, LineResult, Sku};

    use super::*;

    fn answer(state: HoldState, deadline_ms: i64) -> Answer {
        let sku = Sku::parse("a").expect("legal");
        let id: HoldId = format!("h-0-1-{:032}-{sku}", 7).parse().expect("legal");
        let line = HoldLine { sku: sku.clone(), reserved: 5, held: 3, committed: 2 };
        let hold =
            Hold { id, state, deadline_ms, lines: vec![line], order_ref: "o".to_owned(), channel: None };
        let level = Level { on_hand: 2, held: 3, version: 9, updated_ms: 1_500 };
        let line = LineResult { sku, quantity: 2, level, event_id: "0-7-8-1".parse().ok() };
        Answer {
            result: Ok(Applied { lines: vec![line], hold: Some(hold) }),
            replayed: true,
            durability: Achieved::default(),
        }
    }

    #[test]
    fn lines_carry_balances_and_their_event() {
        let response = decrement_response(answer(HoldState::Held, 1)).expect("applied");
        assert!(response.replayed);
        let line = &response.lines[0];
        assert_eq!((line.sku.as_str(), line.quantity, line.available), ("a", 2, -1));
        assert_eq!((line.on_hand, line.held, line.version, line.event_id.as_str()), (2, 3, 9, "0-7-8-1"));
    }

    #[test]
    fn only_a_live_hold_shows_units_held() {
        for (state, held) in [
            (HoldState::Held, 3),
            (HoldState::Committed, 0),
            (HoldState::Released, 0),
            (HoldState::Expired, 0),
        ] {
            let hold = commit_response(answer(state, 1_500)).expect("applied").hold.expect("a hold");
            assert_eq!(hold.lines[0].held, held, "{state:?}");
            assert_eq!((hold.lines[0].quantity, hold.lines[0].committed), (5, 2));
            assert_eq!(hold.expire_time, Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }));
        }
        let tombstone = release_response(answer(HoldState::Released, 0)).expect("applied");
        assert_eq!(tombstone.hold.expect("a hold").expire_time, None);
    }
}
