//! Counting a delivery, once for each client and key: one run of `lua/record.lua`.

use crate::domain::{
    ClientId, IdempotencyKey, Text,
    carrier::{CarrierName, Deliveries, DeliveryFingerprint, Lane, ServiceName},
};

use super::{
    super::{EntryId, Store, StoreError, propagation::corrupt, scripts::RECORD_SCRIPT},
    ForgettingTerms, deliveries, whole_ms,
};

/// What became of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// It came by the promised date.
    OnTime {
        /// Days from dispatch to the door.
        transit_days: u16,
    },
    /// It came after it.
    Late {
        /// Days from dispatch to the door.
        transit_days: u16,
    },
    /// It never came.
    Failed,
}

impl DeliveryOutcome {
    /// Its word, as in metrics: `on_time`, `late` or `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnTime { .. } => "on_time",
            Self::Late { .. } => "late",
            Self::Failed => "failed",
        }
    }

    fn transit_days(self) -> u16 {
        match self {
            Self::OnTime { transit_days } | Self::Late { transit_days } => transit_days,
            Self::Failed => 0,
        }
    }
}

/// A delivery that is to be counted.
#[derive(Debug, Clone)]
pub struct DeliveryToRecord {
    /// Who says so.
    pub client: ClientId,
    /// Names the request among those of this client.
    pub key: IdempotencyKey,
    /// Of the whole request.
    pub fingerprint: DeliveryFingerprint,
    /// The carrier.
    pub carrier: CarrierName,
    /// Its service.
    pub service: ServiceName,
    /// The lane.
    pub lane: Lane,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// The order, for the audit trail.
    pub order_ref: Text<256>,
    /// Who says so, for the audit trail.
    pub actor: Text<128>,
    /// What the audit trail keeps of it: bytes of the caller's own.
    pub payload: Vec<u8>,
}

/// What recording came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedDelivery {
    /// It was counted.
    Recorded {
        /// Its entry in the audit trail.
        event: EntryId,
        /// The service on that lane, with it.
        lane: Deliveries,
        /// The carrier as a whole, with it.
        carrier: Deliveries,
    },
    /// It had been counted before; nothing was changed.
    Replayed {
        /// The entry of then.
        event: EntryId,
        /// The service on that lane, as it is now.
        lane: Deliveries,
        /// The carrier as a whole, as it is now.
        carrier: Deliveries,
    },
    /// The key was used for another delivery; nothing was changed.
    Conflict {
        /// The first field that differs.
        field: &'static str,
    },
}

impl Store {
    /// Counts a delivery, once for its client and key.
    pub async fn record_delivery(
        &self,
        delivery: &DeliveryToRecord,
        terms: &ForgettingTerms,
    ) -> Result<RecordedDelivery, StoreError> {
        let of = self.inner.keys.carriers();
        let keys = [&of.deliveries, &of.names, &of.records, &of.recorded, &of.events];
        let mut command = RECORD_SCRIPT.call(keys.into_iter().map(String::as_str));
        command.arg(self.clock_argument()).arg(terms.half_life_ms()).arg(whole_ms(terms.record_retention));
        command.arg(terms.audit_max.max(1));
        command.arg(format!("{} {}", delivery.client, delivery.key)).arg(delivery.fingerprint.as_str());
        command.arg(deliveries::lane_name(&delivery.carrier, &delivery.service, &delivery.lane));
        command.arg(delivery.carrier.as_str());
        command.arg(delivery.outcome.as_str()).arg(delivery.outcome.transit_days());
        command.arg(delivery.client.as_str()).arg(delivery.order_ref.as_str()).arg(delivery.actor.as_str());
        command.arg(&delivery.payload[..]);
        let reply = self.run_script(&RECORD_SCRIPT, &command).await?;
        let words: Vec<&str> = reply.iter().map(String::as_str).collect();
        let bad = || corrupt(&RECORD_SCRIPT, &reply);
        match words[..] {
            [word @ ("recorded" | "replayed"), event, lane, carrier] => {
                let event = EntryId::parse(event).ok_or_else(bad)?;
                let lane = deliveries::read(lane).ok_or_else(bad)?;
                let carrier = deliveries::read(carrier).ok_or_else(bad)?;
                Ok(match word {
                    "recorded" => RecordedDelivery::Recorded { event, lane, carrier },
                    _ => RecordedDelivery::Replayed { event, lane, carrier },
                })
            }
            ["conflict", stored] => {
                Ok(RecordedDelivery::Conflict { field: delivery.fingerprint.differing_field(stored) })
            }
            ["broken", what] => Err(StoreError::Broken { what: what.to_owned() }),
            _ => Err(bad()),
        }
    }
}
