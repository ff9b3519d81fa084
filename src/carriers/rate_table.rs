//! Prices from files of the shop's own: services, zones and calendars in TOML, prices by weight in CSV beside it (docs/rates.md).
//!
//! Read once, at the start; every mistake in it is told then. Asking it never fails, waits for nothing and writes nothing.

mod calendar;
mod exact;
mod load;
mod mistakes;
mod read_prices;
mod read_service;
mod read_zones;
mod section;
mod service;
mod value;
mod zone_map;

use std::path::Path;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{
    domain::{
        Text,
        carrier::{Currency, Money, Quote, Shipment, SourceId},
    },
    outbound::ErrorText,
};

use super::{Carrier, QUOTES_MAX, QuoteFuture, Quoted, SilentCarrier};

use calendar::Calendar;
use service::{Refusal, Service};
use zone_map::ZoneMap;

pub use mistakes::{Mistake, RateTableError};

/// Carriers that say why they have no quote, when no service has one.
const SILENT_MAX: usize = 20;

/// Services, zones, calendars and prices, ready to be looked up.
#[derive(Debug)]
pub struct RateTable {
    source: SourceId,
    currency: Currency,
    time_zone: TimeZone,
    zone_maps: Vec<ZoneMap>,
    /// Each with the most working days a service of it takes.
    calendars: Vec<(Calendar, usize)>,
    /// In the order of the file.
    services: Vec<Service>,
}

/// A service that carries a shipment; names are only cloned for those that are told.
struct Offer<'a> {
    service: &'a Service,
    price: Money,
    delivers: Date,
}

impl RateTable {
    /// Reads the table at `path` and the price files beside it. Blocks on the disk; an error names every mistake.
    pub fn load(source: SourceId, path: &Path) -> Result<Self, RateTableError> {
        load::load(source, path)
    }

    /// What a shipment costs that is ready at `now`. Carriers are silent only when none has a quote.
    ///
    /// Cost: a zone for each carrier with zones of its own, the working days of each calendar, and then for each service the logarithm of
    /// its zones and, for each parcel, of its weight steps.
    pub fn quoted(&self, shipment: &Shipment, now: Timestamp) -> Quoted {
        let zone_of = |map: &ZoneMap| map.zone(&shipment.origin, &shipment.destination);
        let zones: Vec<Option<u16>> = self.zone_maps.iter().map(zone_of).collect();
        let days_of =
            |(calendar, days_max): &(Calendar, usize)| calendar.working_days(now, &self.time_zone, *days_max);
        let days: Vec<Vec<Date>> = self.calendars.iter().map(days_of).collect();
        let mut offers = Vec::new();
        for service in &self.services {
            let offer = self.offer(service, shipment, (zones[service.zone_map], &days[service.calendar]));
            offers.extend(offer);
        }
        if offers.is_empty() {
            let silent = self.silent(shipment, &zones, &days);
            return Quoted { quotes: Vec::new(), silent };
        }
        if offers.len() > QUOTES_MAX {
            offers.sort_by_key(|offer| offer.price.minor());
            offers.truncate(QUOTES_MAX);
        }
        Quoted { quotes: offers.into_iter().map(|offer| self.quote_of(&offer)).collect(), silent: Vec::new() }
    }

    fn offer<'a>(
        &self,
        service: &'a Service,
        shipment: &Shipment,
        (zone, days): (Option<u16>, &[Date]),
    ) -> Result<Offer<'a>, Refusal> {
        let (minor, transit_days) = service.price(zone, shipment)?;
        let price = Money::new(minor, self.currency).map_err(|_| Refusal::TooDear)?;
        let delivers = days.get(transit_days).copied().ok_or(Refusal::NeverWorks)?;
        Ok(Offer { service, price, delivers })
    }

    fn quote_of(&self, offer: &Offer<'_>) -> Quote {
        let service = offer.service;
        Quote {
            source: self.source.clone(),
            carrier: service.carrier.clone(),
            service: service.service.clone(),
            price: offer.price,
            delivers: Some(offer.delivers),
            is_guaranteed: service.is_guaranteed,
            collects: service.charges.collect_fee_minor.is_some(),
            reference: Text::default(),
        }
    }

    /// Why each carrier has nothing, by its first service.
    fn silent(&self, shipment: &Shipment, zones: &[Option<u16>], days: &[Vec<Date>]) -> Vec<SilentCarrier> {
        let mut told: Vec<(&Service, Refusal)> = Vec::new();
        for service in &self.services {
            if told.len() == SILENT_MAX {
                break;
            }
            let is_told = told.iter().any(|(other, _)| other.carrier == service.carrier);
            let offer = self.offer(service, shipment, (zones[service.zone_map], &days[service.calendar]));
            if let Some(refusal) = offer.err().filter(|_| !is_told) {
                told.push((service, refusal));
            }
        }
        let silent = told.into_iter().map(|(service, refusal)| SilentCarrier {
            carrier: ErrorText::new(service.carrier.as_str()),
            is_transient: false,
            message: ErrorText::new(&format!("{}: {refusal}", service.service)),
        });
        silent.collect()
    }
}

impl Carrier for RateTable {
    fn kind(&self) -> &'static str {
        "rate_table"
    }

    fn quote<'a>(&'a self, shipment: &'a Shipment, now: Timestamp) -> QuoteFuture<'a> {
        Box::pin(async move { Ok(self.quoted(shipment, now)) })
    }
}

#[cfg(test)]
mod load_tests;
#[cfg(test)]
mod tests;
