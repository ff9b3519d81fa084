//! Events as the contract shows them.

use crate::{
    domain::{Event, EventKind},
    proto,
};

use super::{stock::event_id, time::timestamp};

/// Shows an event.
pub fn event(event: Event) -> proto::Event {
    proto::Event {
        event_id: event_id(event.id),
        kind: kind(event.kind).into(),
        sku: event.sku.as_str().to_owned(),
        on_hand_delta: event.on_hand_delta,
        held_delta: event.held_delta,
        on_hand: event.on_hand,
        held: event.held,
        available: event.on_hand - event.held,
        version: event.version,
        event_time: Some(timestamp(event.at_ms)),
        channel: event.channel.map_or_else(String::new, |channel| channel.as_str().to_owned()),
        idempotency_key: event.key,
        hold_id: event.hold.map_or_else(String::new, |hold| hold.to_string()),
        order_ref: event.order_ref,
        reason: event.reason,
        actor: event.actor,
        client: event.client,
    }
}

fn kind(kind: EventKind) -> proto::EventKind {
    match kind {
        EventKind::Decremented => proto::EventKind::Decremented,
        EventKind::Reserved => proto::EventKind::Reserved,
        EventKind::Committed => proto::EventKind::Committed,
        EventKind::Released => proto::EventKind::Released,
        EventKind::Expired => proto::EventKind::Expired,
        EventKind::Extended => proto::EventKind::Extended,
        EventKind::Restocked => proto::EventKind::Restocked,
        EventKind::Adjusted => proto::EventKind::Adjusted,
        EventKind::Set => proto::EventKind::Set,
        EventKind::Refused => proto::EventKind::Refused,
        EventKind::Repaired => proto::EventKind::Repaired,
        EventKind::Replayed => proto::EventKind::Replayed,
        EventKind::Discarded => proto::EventKind::Discarded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_keeps_its_name() {
        for (known, _) in EventKind::LETTERS {
            assert_eq!(kind(known).as_str_name(), format!("EVENT_KIND_{}", known.name().to_uppercase()));
        }
    }
}
