//! CarrierService: asks for prices, chooses a carrier, and keeps what became of the parcels.
//!
//! `asking` asks the sources side by side, `call` one of them; `knowledge` has what was measured, `trail` the audit trail. Redis is
//! needed for none of that: without it carriers count as equally reliable, and the answer says so.

mod asking;
mod cached;
mod call;
mod choosing;
mod knowledge;
mod listing;
mod lull;
mod meters;
mod trail;

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status};

use crate::{
    carriers::Carrier,
    domain::{
        ChannelTerms,
        carrier::{PolicyKind, Prior, SourceId},
    },
    proto::{self, carrier_service_server::CarrierService},
    store::{ForgettingTerms, RecordedDelivery, Store},
};

use super::{
    convert::{self, Problem},
    decide::{caller, with_deadline},
    token::{open_carrier_events, open_carriers, seal_carrier_events, seal_carriers},
};

use asking::Asker;
use knowledge::Knowledge;
use lull::Lull;
pub(super) use meters::CarrierLabels;
use meters::Meters;
use trail::Trail;

/// How carriers are chosen and measured.
#[derive(Debug, Clone)]
pub struct CarrierSettings {
    /// Where prices come from, at most 16.
    pub sources: Vec<CarrierSource>,
    /// How long the sources may take, all together.
    pub select_timeout: Duration,
    /// How long the answer of a server is used again for the same shipment; zero: never.
    pub cache_ttl: Duration,
    /// By what is chosen when the caller does not say.
    pub policy: PolicyKind,
    /// What is believed of a carrier nobody knows.
    pub prior: Prior,
    /// The share of deliveries, in percent, that arrives within the usual days of a quote without date.
    pub usual_percent: u8,
    /// Deliveries a lane needs for that.
    pub usual_sample_min: u32,
    /// Characters of postal codes that make a lane, 0 to 10.
    pub lane_postal_characters: usize,
    /// How soon what is known is forgotten.
    pub forgetting: ForgettingTerms,
}

/// A source of prices, as it is asked.
#[derive(Clone)]
pub struct CarrierSource {
    /// Its name.
    pub id: SourceId,
    /// Who is asked.
    pub carrier: Arc<dyn Carrier>,
    /// How.
    pub way: CarrierWay,
}

/// How a source is asked.
#[derive(Debug, Clone)]
pub enum CarrierWay {
    /// It answers at once and out of memory.
    Table {
        /// Whether it is asked only when no other source has a quote.
        fallback: bool,
    },
    /// Over a network, on these terms.
    Live(LiveSource),
}

/// On which terms a server is asked.
#[derive(Debug, Clone)]
pub struct LiveSource {
    /// When calls stop, how fast they may go, how long one may take.
    pub terms: ChannelTerms,
    /// One for each call of this process that may be on its way.
    pub places: Arc<Semaphore>,
    /// Differs when the settings differ that its answers depend on.
    pub settings_print: u64,
}

impl CarrierSource {
    fn live(&self) -> Option<&LiveSource> {
        match &self.way {
            CarrierWay::Live(live) => Some(live),
            CarrierWay::Table { .. } => None,
        }
    }

    fn is_fallback(&self) -> bool {
        matches!(self.way, CarrierWay::Table { fallback: true })
    }
}

impl fmt::Debug for CarrierSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, carrier, way } = self;
        f.debug_struct("CarrierSource")
            .field("id", id)
            .field("kind", &carrier.kind())
            .field("way", way)
            .finish()
    }
}

/// The service.
pub(super) struct CarrierServer {
    store: Store,
    settings: Arc<CarrierSettings>,
    asker: Asker,
    knowledge: Knowledge,
    trail: Trail,
    meters: Arc<Meters>,
    lull: Arc<Lull>,
}

impl CarrierServer {
    /// Calls that outlive their selection are tasks of `tasks`, and end at once when `over` falls.
    pub(super) fn new(
        store: Store,
        settings: CarrierSettings,
        labels: Arc<CarrierLabels>,
        tasks: TaskTracker,
        over: CancellationToken,
    ) -> Self {
        let settings = Arc::new(settings);
        let meters = Arc::new(Meters::new(&settings.sources, labels));
        let lull = Arc::<Lull>::default();
        Self {
            asker: Asker {
                store: store.clone(),
                settings: Arc::clone(&settings),
                meters: Arc::clone(&meters),
                lull: Arc::clone(&lull),
                tasks,
                over,
            },
            knowledge: Knowledge::default(),
            trail: Trail::new(store.clone(), settings.forgetting.audit_max),
            store,
            settings,
            meters,
            lull,
        }
    }
}

#[tonic::async_trait]
impl CarrierService for CarrierServer {
    async fn select_carrier(
        &self,
        request: Request<proto::SelectCarrierRequest>,
    ) -> Result<Response<proto::SelectCarrierResponse>, Status> {
        let (message, deadline) = with_deadline(request);
        let selected = self.select(message, deadline).await;
        if let Err(problem) = &selected {
            self.meters.refused(problem.reason());
        }
        Ok(Response::new(selected?))
    }

    async fn record_delivery(
        &self,
        request: Request<proto::RecordDeliveryRequest>,
    ) -> Result<Response<proto::RecordDeliveryResponse>, Status> {
        let delivery = {
            let retention = self.settings.forgetting.record_retention;
            convert::record_delivery(request.into_inner(), caller(), Timestamp::now(), retention)?
        };
        let recorded = self.store.record_delivery(&delivery, &self.settings.forgetting).await;
        let (event, of_lane, of_carrier, replayed) = match recorded.map_err(Problem::from)? {
            RecordedDelivery::Recorded { event, lane, carrier } => (event, lane, carrier, false),
            RecordedDelivery::Replayed { event, lane, carrier } => (event, lane, carrier, true),
            RecordedDelivery::Conflict { field } => return Err(convert::delivery_conflict(field).into()),
        };
        if !replayed {
            self.meters.delivered(&delivery.carrier, delivery.outcome);
            // Whoever records and then asks sees what he recorded, at least here.
            self.knowledge.forget(&delivery.lane);
        }
        let reliability = self.settings.prior.of_lane(&of_lane, &of_carrier);
        let lane = Some((&delivery.service, &delivery.lane));
        Ok(Response::new(proto::RecordDeliveryResponse {
            performance: Some(convert::performance(&delivery.carrier, lane, &of_lane, reliability)),
            event_id: event.to_string(),
            replayed,
        }))
    }

    async fn list_carriers(
        &self,
        request: Request<proto::ListCarriersRequest>,
    ) -> Result<Response<proto::ListCarriersResponse>, Status> {
        let request = request.into_inner();
        let (carrier, page_size) = convert::list_carriers(&request)?;
        let after = open_carriers("page_token", &request.page_token)?;
        let (store, forgetting) = (&self.store, &self.settings.forgetting);
        let page = store.list_deliveries(carrier.as_ref(), after.as_ref(), page_size, forgetting).await;
        let page = page.map_err(Problem::from)?;
        let sources = if after.is_none() { self.listed_sources().await? } else { Vec::new() };
        Ok(Response::new(proto::ListCarriersResponse {
            sources,
            performances: page
                .rows
                .iter()
                .map(|row| listing::performance(row, &self.settings.prior))
                .collect(),
            next_page_token: page.next.as_ref().map(seal_carriers).unwrap_or_default(),
        }))
    }

    async fn list_carrier_events(
        &self,
        request: Request<proto::ListCarrierEventsRequest>,
    ) -> Result<Response<proto::ListCarrierEventsResponse>, Status> {
        let request = request.into_inner();
        let (order_ref, page_size) = convert::list_carrier_events(&request)?;
        let before = open_carrier_events("page_token", &request.page_token)?;
        let order_ref = order_ref.as_ref().map(|order_ref| order_ref.as_str());
        let page = self.store.carrier_events(order_ref, before, page_size).await.map_err(Problem::from)?;
        Ok(Response::new(proto::ListCarrierEventsResponse {
            events: page.events.into_iter().filter_map(listing::event).collect(),
            next_page_token: page.next.map(seal_carrier_events).unwrap_or_default(),
        }))
    }
}
