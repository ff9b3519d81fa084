//! Paging through everything that was measured, by name: a carrier, then its services and lanes.

use std::collections::HashMap;

use crate::domain::carrier::{CarrierName, Deliveries, Lane, ServiceName};

use super::{
    super::{Store, StoreError},
    ForgettingTerms,
};

/// Sorts before every byte of a name and after the space within one.
const AFTER_SPACE: char = '!';

/// Where a page of rows ended: the last name that was passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveriesPosition(String);

impl DeliveriesPosition {
    /// The place behind a name, which need not be there any more.
    pub fn after(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// That name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What was measured of a carrier, or of one of its services on a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveriesRow {
    /// The carrier.
    pub carrier: CarrierName,
    /// Its service and the lane; None: the carrier as a whole.
    pub lane: Option<(ServiceName, Lane)>,
    /// What counts now.
    pub deliveries: Deliveries,
    /// What counts now of the carrier as a whole: towards it the share of a lane shrinks.
    pub of_carrier: Deliveries,
}

/// A page of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveriesPage {
    /// The rows.
    pub rows: Vec<DeliveriesRow>,
    /// Where to go on; None at the end.
    pub next: Option<DeliveriesPosition>,
}

impl Store {
    /// Reads at most `count` (1 and up) rows, of one carrier or of all, after a position; O(log names + count). What comes
    /// meanwhile moves nothing: rows are in the order of their names.
    pub async fn list_deliveries(
        &self,
        carrier: Option<&CarrierName>,
        after: Option<&DeliveriesPosition>,
        count: usize,
        terms: &ForgettingTerms,
    ) -> Result<DeliveriesPage, StoreError> {
        let key = self.inner.keys.carriers().names;
        let first = match (after, carrier) {
            (Some(after), _) => format!("({}", after.as_str()),
            (None, Some(carrier)) => format!("[{carrier}"),
            (None, None) => "-".to_owned(),
        };
        let last = carrier.map_or_else(|| "+".to_owned(), |carrier| format!("({carrier}{AFTER_SPACE}"));
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg(first).arg(last).arg("BYLEX").arg("LIMIT").arg(0).arg(count.max(1));
        let names: Vec<String> = self.query_at(&key, &command).await?;
        let next =
            (names.len() >= count.max(1)).then(|| names.last().map(DeliveriesPosition::after)).flatten();
        Ok(DeliveriesPage { rows: self.rows(names, terms).await?, next })
    }

    async fn rows(
        &self,
        names: Vec<String>,
        terms: &ForgettingTerms,
    ) -> Result<Vec<DeliveriesRow>, StoreError> {
        let read: Vec<_> = names.iter().filter_map(|name| Some((name.clone(), parts(name)?))).collect();
        let mut asked: Vec<String> = read.iter().map(|(name, _)| name.clone()).collect();
        asked.extend(read.iter().map(|(_, (carrier, _))| carrier.as_str().to_owned()));
        asked.sort_unstable();
        asked.dedup();
        let known = self.deliveries_now(&asked, terms).await?;
        let known: HashMap<String, Deliveries> =
            asked.into_iter().zip(known).map(|(name, known)| (name, known.unwrap_or_default())).collect();
        let of = |name: &str| known.get(name).cloned().unwrap_or_default();
        let rows = read.into_iter().map(|(name, (carrier, lane))| DeliveriesRow {
            deliveries: of(&name),
            of_carrier: of(carrier.as_str()),
            carrier,
            lane,
        });
        Ok(rows.collect())
    }
}

/// The parts of a name; None when it is none of ours.
fn parts(name: &str) -> Option<(CarrierName, Option<(ServiceName, Lane)>)> {
    let words: Vec<&str> = name.split(' ').collect();
    let carrier = CarrierName::parse(words[0]).ok()?;
    match words[1..] {
        [] => Some((carrier, None)),
        [service, lane] => {
            Some((carrier, Some((ServiceName::parse(service).ok()?, Lane::parse(lane).ok()?))))
        }
        _ => None,
    }
}
