//! Counts and lines as the contract shows them.

use std::fmt::Write as _;

use crate::{
    domain::{Event, EventId, Level, LineResult, Sku},
    proto,
};

use super::time::timestamp;

/// Bytes of nearly every event id, so that its text grows once.
const EVENT_ID_BYTES: usize = 32;

/// Shows a count.
pub fn stock(sku: &Sku, level: &Level) -> proto::Stock {
    proto::Stock {
        sku: sku.as_str().to_owned(),
        on_hand: level.on_hand,
        held: level.held,
        available: level.available(),
        version: level.version,
        update_time: Some(timestamp(level.updated_ms)),
        oversold: level.available() < 0,
    }
}

/// Shows the count right after an event.
pub fn stock_after(event: &Event) -> proto::Stock {
    let level =
        Level { on_hand: event.on_hand, held: event.held, version: event.version, updated_ms: event.at_ms };
    stock(&event.sku, &level)
}

/// Shows what one line did.
pub(super) fn line_result(line: LineResult) -> proto::LineResult {
    proto::LineResult {
        sku: line.sku.as_str().to_owned(),
        quantity: line.quantity,
        available: line.level.available(),
        on_hand: line.level.on_hand,
        held: line.level.held,
        version: line.level.version,
        event_id: line.event_id.map_or_else(String::new, event_id),
    }
}

pub(super) fn event_id(id: EventId) -> String {
    let mut text = String::with_capacity(EVENT_ID_BYTES);
    // Writing into a string cannot fail.
    let _ = write!(text, "{id}");
    text
}
