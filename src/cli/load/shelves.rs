//! The SKUs of a run: made before it, counted after it, by calls of bounded size.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    super::{failure::CliError, gateway::Gateway},
    plan::Plan,
};
use crate::proto::{
    BatchGetStockRequest, GetStockRequest, ImportStockRequest, Stock, import_stock_request::Condition,
};

/// SKUs in one call: what fits a deadline easily, and one BatchGetStock.
const SKUS_PER_CALL: u32 = 1_000;
/// Calls under way at once.
const CALLS_AT_ONCE: usize = 4;

/// Makes every SKU, with its units. None of them may exist: what others sell is not touched.
pub(super) async fn fill(gateway: &Gateway, plan: &Plan) -> Result<(), CliError> {
    let import = |first| import(gateway, plan, first);
    stream::iter(chunks(plan)).map(import).buffer_unordered(CALLS_AT_ONCE).try_collect::<()>().await
}

/// Reads every SKU, in order; None where the gateway does not know it.
pub(super) async fn count(gateway: &Gateway, plan: &Plan) -> Result<Vec<Option<Stock>>, CliError> {
    let read = |first| read(gateway, plan, first);
    let chunks: Vec<_> = stream::iter(chunks(plan)).map(read).buffered(CALLS_AT_ONCE).try_collect().await?;
    Ok(chunks.into_iter().flatten().collect())
}

/// One call over a connection, so that its first measured call is like the others.
pub(super) async fn warm_up(gateway: &Gateway, plan: &Plan) -> Result<(), CliError> {
    let request = gateway.request(GetStockRequest { sku: plan.sku(0), max_staleness: None });
    gateway.stock().get_stock(request).await?;
    Ok(())
}

fn chunks(plan: &Plan) -> impl Iterator<Item = u32> + use<> {
    (0..plan.skus).step_by(SKUS_PER_CALL as usize)
}

fn skus(plan: &Plan, first: u32) -> impl Iterator<Item = String> + use<'_> {
    (first..plan.skus.min(first.saturating_add(SKUS_PER_CALL))).map(|shelf| plan.sku(shelf))
}

async fn import(gateway: &Gateway, plan: &Plan, first: u32) -> Result<(), CliError> {
    let rows: Vec<_> = skus(plan, first)
        .map(|sku| ImportStockRequest {
            // Names are unique to the run, so the SKU names its row too.
            idempotency_key: sku.clone(),
            sku,
            quantity: plan.units,
            condition: Some(Condition::ExpectedVersion(0)),
            reason: "load".to_owned(),
            ..ImportStockRequest::default()
        })
        .collect();
    let request = gateway.request(tokio_stream::iter(rows));
    let results = gateway.inventory().import_stock(request).await?.into_inner().results;
    match results.into_iter().find(|result| result.code != 0) {
        None => Ok(()),
        Some(bad) => {
            let said = format!("{} cannot be made: {}", bad.sku, bad.message);
            Err(tonic::Status::new(tonic::Code::from_i32(bad.code), said).into())
        }
    }
}

async fn read(gateway: &Gateway, plan: &Plan, first: u32) -> Result<Vec<Option<Stock>>, CliError> {
    let wanted: Vec<String> = skus(plan, first).collect();
    let request = gateway.request(BatchGetStockRequest { skus: wanted.clone(), max_staleness: None });
    let answer = gateway.stock().batch_get_stock(request).await?.into_inner();
    // In the order of the request, those that are unknown left out.
    let mut found = answer.stocks.into_iter().peekable();
    Ok(wanted.iter().map(|sku| found.next_if(|stock| stock.sku == *sku)).collect())
}
