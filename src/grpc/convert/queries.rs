//! Requests that ask for something: one SKU, many, a page, a hold, a key.

use std::time::Duration;

use crate::{
    domain::{HoldId, IdempotencyKey, Sku},
    proto,
};

use super::{
    cause::idempotency_key, holds::hold_id, problem::Problem, time::ms_at_or_after, ttl::whole_ms,
    violations::Violations,
};

/// An hour: who may be later than that needs no gateway.
const MAX_STALENESS_MS: u64 = 3_600_000;
/// The most SKUs one request may name.
pub const SKUS_MAX: usize = 1_000;
const PAGE_SIZE_DEFAULT: usize = 100;
const PAGE_SIZE_MAX: usize = 1_000;

/// Which events are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsQuery {
    /// Only of this SKU.
    pub sku: Option<Sku>,
    /// Not before this ms of the Redis clock.
    pub start_ms: Option<i64>,
    /// Before this ms of the Redis clock.
    pub end_ms: Option<i64>,
    /// How many at most.
    pub page_size: usize,
    /// Where to go on, as an earlier answer said; not read yet.
    pub page_token: String,
    /// From the last event back.
    pub newest_first: bool,
}

/// Reads a GetStock: the SKU, and how old its count may be.
pub fn get_stock(request: &proto::GetStockRequest) -> Result<(Sku, Option<Duration>), Problem> {
    let mut bad = Violations::default();
    let sku = bad.take("sku", Sku::parse(&request.sku));
    let max_staleness = max_staleness(&mut bad, request.max_staleness);
    sku.zip(max_staleness).ok_or_else(|| bad.into_problem())
}

/// Reads a GetSyncStatus.
pub fn get_sync_status(request: &proto::GetSyncStatusRequest) -> Result<Sku, Problem> {
    one_sku(&request.sku)
}

/// Reads a BatchGetStock: 1 to 1,000 SKUs, and how old their counts may be.
pub fn batch_get_stock(
    request: &proto::BatchGetStockRequest,
) -> Result<(Vec<Sku>, Option<Duration>), Problem> {
    let mut bad = Violations::default();
    if request.skus.is_empty() {
        bad.add("skus", format_args!("must have 1 to {SKUS_MAX} skus, has none"));
    }
    let skus = skus_of(&mut bad, &request.skus);
    let max_staleness = max_staleness(&mut bad, request.max_staleness);
    skus.filter(|skus| !skus.is_empty()).zip(max_staleness).ok_or_else(|| bad.into_problem())
}

/// Reads the SKUs of a WatchStock: at most 1,000, none means all. The resume token is its reader's.
pub fn watch_stock(request: &proto::WatchStockRequest) -> Result<Vec<Sku>, Problem> {
    some_skus(&request.skus)
}

/// Reads the SKUs of a VerifyStock: at most 1,000, none means all.
pub fn verify_stock(request: &proto::VerifyStockRequest) -> Result<Vec<Sku>, Problem> {
    some_skus(&request.skus)
}

/// Reads a GetHold.
pub fn get_hold(request: &proto::GetHoldRequest) -> Result<HoldId, Problem> {
    let mut bad = Violations::default();
    hold_id(&mut bad, &request.hold_id).ok_or_else(|| bad.into_problem())
}

/// Reads a ResolveKey: the home SKU and the key.
pub fn resolve_key(request: &proto::ResolveKeyRequest) -> Result<(Sku, IdempotencyKey), Problem> {
    let mut bad = Violations::default();
    let sku = bad.take("sku", Sku::parse(&request.sku));
    let key = idempotency_key(&mut bad, &request.idempotency_key);
    sku.zip(key).ok_or_else(|| bad.into_problem())
}

/// Reads the page size of a ListStock; its token is its reader's.
pub fn list_stock_page_size(request: &proto::ListStockRequest) -> Result<usize, Problem> {
    let mut bad = Violations::default();
    page_size(&mut bad, request.page_size).ok_or_else(|| bad.into_problem())
}

/// Reads a ListEvents, except its token.
pub fn list_events(request: proto::ListEventsRequest) -> Result<EventsQuery, Problem> {
    let mut bad = Violations::default();
    let sku =
        if request.sku.is_empty() { Some(None) } else { bad.take("sku", Sku::parse(&request.sku)).map(Some) };
    let start_ms = ms_at_or_after(&mut bad, "start_time", request.start_time);
    let mut end_ms = ms_at_or_after(&mut bad, "end_time", request.end_time);
    if let (Some(Some(start)), Some(Some(end))) = (start_ms, end_ms)
        && start > end
    {
        bad.add("end_time", "must not be before start_time");
        end_ms = None;
    }
    let page_size = page_size(&mut bad, request.page_size);
    let newest_first = newest_first(&mut bad, request.order);
    match (sku, start_ms, end_ms, page_size, newest_first) {
        (Some(sku), Some(start_ms), Some(end_ms), Some(page_size), Some(newest_first)) => {
            Ok(EventsQuery { sku, start_ms, end_ms, page_size, page_token: request.page_token, newest_first })
        }
        _ => Err(bad.into_problem()),
    }
}

fn one_sku(text: &str) -> Result<Sku, Problem> {
    Sku::parse(text).map_err(|problem| Problem::invalid("sku", problem))
}

fn some_skus(texts: &[String]) -> Result<Vec<Sku>, Problem> {
    let mut bad = Violations::default();
    skus_of(&mut bad, texts).ok_or_else(|| bad.into_problem())
}

/// How old a count may be; None inside: not at all.
fn max_staleness(bad: &mut Violations, given: Option<prost_types::Duration>) -> Option<Option<Duration>> {
    let Some(given) = given else { return Some(None) };
    let given_ms = bad.take("max_staleness", whole_ms(given))?;
    match u64::try_from(given_ms) {
        Ok(ms) if (1..=MAX_STALENESS_MS).contains(&ms) => Some(Some(Duration::from_millis(ms))),
        _ => {
            bad.add(
                "max_staleness",
                format_args!(
                    "must be 1 ms to {MAX_STALENESS_MS} ms, is {given_ms} ms: leave it out for a count read now"
                ),
            );
            None
        }
    }
}

fn skus_of(bad: &mut Violations, texts: &[String]) -> Option<Vec<Sku>> {
    if texts.len() > SKUS_MAX {
        bad.add(
            "skus",
            format_args!("must have at most {SKUS_MAX} skus, has {}: split the request", texts.len()),
        );
    }
    let mut skus = Vec::with_capacity(texts.len().min(SKUS_MAX));
    for (index, text) in texts.iter().take(SKUS_MAX).enumerate() {
        skus.extend(bad.take_at(|| format!("skus[{index}]").into(), Sku::parse(text)));
    }
    (skus.len() == texts.len()).then_some(skus)
}

pub(super) fn page_size(bad: &mut Violations, given: i32) -> Option<usize> {
    match usize::try_from(given) {
        Ok(0) => Some(PAGE_SIZE_DEFAULT),
        Ok(size) => Some(size.min(PAGE_SIZE_MAX)),
        Err(_) => {
            bad.add("page_size", format_args!("must be 0 (for {PAGE_SIZE_DEFAULT}) or more, is {given}"));
            None
        }
    }
}

fn newest_first(bad: &mut Violations, number: i32) -> Option<bool> {
    use proto::EventOrder::{NewestFirst, OldestFirst, Unspecified};
    match proto::EventOrder::try_from(number) {
        Ok(Unspecified | OldestFirst) => Some(false),
        Ok(NewestFirst) => Some(true),
        Err(_) => {
            bad.add(
                "order",
                format_args!(
                    "must be EVENT_ORDER_OLDEST_FIRST (1), EVENT_ORDER_NEWEST_FIRST (2) or left out, is {number}"
                ),
            );
            None
        }
    }
}
