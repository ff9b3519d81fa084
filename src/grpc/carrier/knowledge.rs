//! What was measured of services on lanes, kept for a moment, so that not each selection asks Redis.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;
use tokio::time::Instant;

use crate::{
    domain::carrier::{CarrierName, Deliveries, Evidence, Lane, PPM, Quote, ServiceName},
    store::{CarrierEvidence, Store},
};

use super::{CarrierSettings, lull::Lull, meters::Meters};

/// How old what is kept may be.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// Lanes kept; those asked for least lately leave.
const LANES_MAX: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

type Service = (CarrierName, ServiceName);
/// What is known of services, and since when.
type Services = HashMap<Service, (Instant, Evidence)>;

/// What is known of services, by lane.
pub(super) struct Knowledge(Mutex<LruCache<Lane, Services>>);

/// What is known of the quotes of one selection.
pub(super) struct Known {
    /// Of each quote, in their order.
    pub(super) evidence: Vec<Evidence>,
    /// Whether it could not be read, so that it is no more than a belief.
    pub(super) is_guess: bool,
}

impl Default for Knowledge {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(LANES_MAX)))
    }
}

impl Knowledge {
    /// What is known of these quotes on this lane, by then at the latest.
    pub(super) async fn of(
        &self,
        quotes: &[Quote],
        lane: &Lane,
        settings: &CarrierSettings,
        (store, lull, meters): (&Store, &Lull, &Meters),
        by: Instant,
    ) -> Known {
        if let Some(evidence) = self.kept(quotes, lane) {
            return Known { evidence, is_guess: false };
        }
        let services: HashSet<Service> = quotes.iter().map(service).collect();
        let services: Vec<Service> = services.into_iter().collect();
        let asked = Instant::now();
        let read = lull.look(by, store.carrier_deliveries(lane, &services, &settings.forgetting)).await;
        let is_guess = read.is_none();
        let measured = read.unwrap_or_default();
        let known: HashMap<Service, Evidence> = services
            .into_iter()
            .map(|service| {
                let evidence = evidence(&service, &measured, settings);
                (service, evidence)
            })
            .collect();
        let unknown = evidence_of(&Deliveries::default(), &Deliveries::default(), settings);
        let evidence =
            quotes.iter().map(|quote| known.get(&service(quote)).copied().unwrap_or(unknown)).collect();
        if !is_guess {
            for (carrier, deliveries) in &measured.carriers {
                meters.on_time(carrier, settings.prior.of_carrier(deliveries));
            }
            self.keep(lane, known, asked);
        }
        Known { evidence, is_guess }
    }

    /// Reads a lane anew the next time.
    pub(super) fn forget(&self, lane: &Lane) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(lane);
    }

    fn kept(&self, quotes: &[Quote], lane: &Lane) -> Option<Vec<Evidence>> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let services = lanes.get(lane)?;
        let fresh = |quote: &Quote| {
            let (asked, evidence) = services.get(&service(quote))?;
            (now.saturating_duration_since(*asked) < FRESH_FOR).then_some(*evidence)
        };
        quotes.iter().map(fresh).collect()
    }

    fn keep(&self, lane: &Lane, known: HashMap<Service, Evidence>, asked: Instant) {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let services = lanes.get_or_insert_mut(lane.clone(), HashMap::new);
        services.retain(|_, (before, _)| asked.saturating_duration_since(*before) < FRESH_FOR);
        services.extend(known.into_iter().map(|(service, evidence)| (service, (asked, evidence))));
    }
}

fn service(quote: &Quote) -> Service {
    (quote.carrier.clone(), quote.service.clone())
}

fn evidence(service: &Service, measured: &CarrierEvidence, settings: &CarrierSettings) -> Evidence {
    let none = Deliveries::default();
    let of_lane = measured.services.get(service).unwrap_or(&none);
    evidence_of(of_lane, measured.carriers.get(&service.0).unwrap_or(&none), settings)
}

fn evidence_of(of_lane: &Deliveries, of_carrier: &Deliveries, settings: &CarrierSettings) -> Evidence {
    let weight_min = u64::from(settings.usual_sample_min) * PPM;
    Evidence {
        reliability: settings.prior.of_lane(of_lane, of_carrier),
        usual_days: of_lane.days_within(settings.usual_percent, weight_min),
    }
}
