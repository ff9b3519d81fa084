//! What ListCarriers and ListCarrierEvents show.

use prost::Message as _;

use crate::{
    domain::{BreakerState, carrier::Prior},
    proto::{self, carrier_event::What},
    store::{CarrierEventKind, DeliveriesRow, KeptCarrierEvent},
};

use super::{
    super::convert::{self, Problem},
    CarrierServer,
};

impl CarrierServer {
    /// The configured sources, and what steers the calls to them now.
    pub(super) async fn listed_sources(&self) -> Result<Vec<proto::CarrierSource>, Problem> {
        let mut listed = Vec::with_capacity(self.settings.sources.len());
        for source in &self.settings.sources {
            let control = match source.live() {
                Some(_) => self.store.source_control(&source.id).await?,
                None => Default::default(),
            };
            let breaker = match control.breaker {
                BreakerState::Closed => proto::BreakerState::Closed,
                BreakerState::Open => proto::BreakerState::Open,
                BreakerState::HalfOpen => proto::BreakerState::HalfOpen,
            };
            listed.push(proto::CarrierSource {
                source: source.id.to_string(),
                kind: source.carrier.kind().to_owned(),
                breaker: breaker.into(),
                breaker_probe_time: control.probe_ms.map(convert::timestamp),
                throttled_until_time: control.not_before_ms.map(convert::timestamp),
                fallback: source.is_fallback(),
            });
        }
        Ok(listed)
    }
}

/// A row of what was measured.
pub(super) fn performance(row: &DeliveriesRow, prior: &Prior) -> proto::CarrierPerformance {
    let DeliveriesRow { carrier, lane, deliveries, of_carrier } = row;
    let reliability = match lane {
        Some(_) => prior.of_lane(deliveries, of_carrier),
        None => prior.of_carrier(deliveries),
    };
    let lane = lane.as_ref().map(|(service, lane)| (service, lane));
    convert::performance(carrier, lane, deliveries, reliability)
}

/// An entry of the audit trail; None when its bytes do not parse.
pub(super) fn event(kept: KeptCarrierEvent) -> Option<proto::CarrierEvent> {
    let KeptCarrierEvent { id, entry } = kept;
    let payload = entry.payload.as_slice();
    let what = match entry.kind {
        CarrierEventKind::Selection => proto::CarrierSelection::decode(payload).map(What::Selection),
        CarrierEventKind::Delivery => proto::DeliveryRecord::decode(payload).map(What::Delivery),
    };
    match what {
        Ok(what) => Some(proto::CarrierEvent {
            event_id: id.to_string(),
            time: i64::try_from(id.ms).ok().map(convert::timestamp),
            client: entry.client.as_str().to_owned(),
            order_ref: entry.order_ref.as_str().to_owned(),
            actor: entry.actor.as_str().to_owned(),
            what: Some(what),
        }),
        Err(error) => {
            // One broken entry must not hide all others.
            tracing::error!(entry = %id, error = &error as &dyn std::error::Error, "an entry of the audit trail does not parse");
            None
        }
    }
}
