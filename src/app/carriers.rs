//! The sources of carriers' prices, built from the settings: tables are read, and what does not load stops the start.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    carriers::{Carrier, EasyPost, HttpSource, RateTable, ShipEngine, Shippo},
    config::{self, Config, HttpKind, HttpOrigin, PriceOrigin},
    domain::{BreakerTerms, ChannelTerms, RateTerms, carrier::SourceId},
    grpc::{CarrierSettings, CarrierSource, CarrierWay, LiveSource},
    store::ForgettingTerms,
};

/// How carriers are chosen, with every source ready to be asked. Reads the tables.
pub(super) fn settings(config: &Config) -> Result<CarrierSettings> {
    let carriers = &config.carriers;
    Ok(CarrierSettings {
        sources: carriers.sources.iter().map(source).collect::<Result<_>>()?,
        select_timeout: carriers.select_timeout,
        cache_ttl: carriers.cache_ttl,
        policy: carriers.policy,
        prior: carriers.prior,
        usual_percent: carriers.usual_percent,
        usual_sample_min: carriers.usual_sample_min,
        lane_postal_characters: carriers.lane_postal_characters,
        forgetting: ForgettingTerms {
            half_life: carriers.half_life,
            record_retention: carriers.record_retention,
            audit_max: u64::try_from(carriers.audit_max).unwrap_or(u64::MAX),
        },
    })
}

/// Builds every source as a start would, and forgets them.
pub fn check(config: &Config) -> Result<()> {
    settings(config).map(drop)
}

fn source(configured: &config::CarrierSource) -> Result<CarrierSource> {
    let config::CarrierSource { id, origin } = configured;
    let (carrier, way): (Arc<dyn Carrier>, CarrierWay) = match origin {
        PriceOrigin::RateTable { file, fallback } => {
            let table = RateTable::load(id.clone(), file)
                .with_context(|| format!("cannot use the rate table of carriers.sources.{id}"))?;
            (Arc::new(table), CarrierWay::Table { fallback: *fallback })
        }
        PriceOrigin::Http(origin) => {
            let carrier = server(id, origin)
                .with_context(|| format!("cannot use the server of carriers.sources.{id}"))?;
            (carrier, CarrierWay::Live(live(origin)))
        }
    };
    Ok(CarrierSource { id: id.clone(), carrier, way })
}

fn server(id: &SourceId, origin: &HttpOrigin) -> Result<Arc<dyn Carrier>> {
    let settings = HttpSource {
        source: id.clone(),
        url: origin.url.expose().to_owned(),
        key: origin.key.clone(),
        accounts: origin.accounts.clone(),
        timeout: origin.timeout,
    };
    Ok(match origin.kind {
        HttpKind::EasyPost => Arc::new(EasyPost::new(settings)?),
        HttpKind::Shippo => Arc::new(Shippo::new(settings)?),
        HttpKind::ShipEngine => Arc::new(ShipEngine::new(settings)?),
    })
}

fn live(origin: &HttpOrigin) -> LiveSource {
    // The key too: without accounts it says whose prices these are, and a key for tests has others. Only the print leaves here.
    let key = xxh3_64(origin.key.expose_secret().as_bytes());
    let asked = format!("{:?} {} {:?} {key}", origin.kind, origin.url.expose(), origin.accounts);
    LiveSource {
        terms: ChannelTerms {
            breaker: BreakerTerms::default(),
            rate: RateTerms { per_second: origin.rate, burst: origin.burst },
            call_timeout: origin.timeout,
        },
        places: Arc::new(Semaphore::new(origin.concurrency)),
        settings_print: xxh3_64(asked.as_bytes()),
    }
}
