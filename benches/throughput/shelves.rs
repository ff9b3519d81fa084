//! Fills the gateway's shelves before a case and counts anybody's after it.

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use stockgate::proto::{
    BatchGetStockRequest, ImportStockRequest, import_stock_request::Condition,
    inventory_service_client::InventoryServiceClient, stock_service_client::StockServiceClient,
};
use tonic::transport::Endpoint;

use crate::plan::Load;

/// Rows in one ImportStock, and as many of them at the same time.
const IMPORT_ROWS: usize = 2_000;
const IMPORTS_AT_ONCE: usize = 4;
/// The most one BatchGetStock may ask for.
const COUNTED_AT_ONCE: usize = 1_000;

/// What is left, against what the callers were sold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Books {
    pub(crate) start: i64,
    pub(crate) sold: i64,
    pub(crate) left: i64,
    /// SKUs with fewer than none.
    pub(crate) negative: usize,
    /// SKUs whose own books are wrong: two of them may be right together.
    pub(crate) wrong: usize,
}

impl Books {
    pub(crate) fn are_right(self) -> bool {
        self.sold + self.left == self.start && self.negative == 0 && self.wrong == 0
    }
}

/// The name of a SKU of the bench.
pub(crate) fn sku(number: usize) -> String {
    format!("SKU-{number:06}")
}

/// Its number again.
pub(crate) fn number(sku: &str) -> Option<usize> {
    sku.strip_prefix("SKU-")?.parse().ok()
}

/// Gives every SKU its units.
pub(crate) async fn fill(url: &str, load: Load) -> Result<()> {
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    let firsts = (0..load.skus).step_by(IMPORT_ROWS);
    let imports = firsts.map(|first| {
        let mut client = InventoryServiceClient::new(channel.clone());
        let row = move |number| ImportStockRequest {
            idempotency_key: format!("fill-{number}"),
            sku: sku(number),
            quantity: load.units,
            condition: Some(Condition::ExpectedVersion(0)),
            ..Default::default()
        };
        let rows = (first..load.skus.min(first + IMPORT_ROWS)).map(row);
        async move {
            let results = client.import_stock(stream::iter(rows)).await?.into_inner().results;
            let bad = results.iter().find(|result| result.code != 0);
            ensure!(bad.is_none(), "the shelves cannot be filled: {bad:?}");
            Ok(())
        }
    });
    stream::iter(imports).buffer_unordered(IMPORTS_AT_ONCE).try_collect().await
}

/// Counts what is left of all SKUs; `sold` is what the callers were sold of each, by its number.
pub(crate) async fn count(url: &str, load: Load, sold: &[i64]) -> Result<Books> {
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    let mut client = StockServiceClient::new(channel);
    let mut left: Vec<i64> = Vec::with_capacity(load.skus);
    for first in (0..load.skus).step_by(COUNTED_AT_ONCE) {
        let skus: Vec<_> = (first..load.skus.min(first + COUNTED_AT_ONCE)).map(sku).collect();
        let asked = skus.len();
        let stocks = client
            .batch_get_stock(BatchGetStockRequest { skus, max_staleness: None })
            .await?
            .into_inner()
            .stocks;
        ensure!(stocks.len() == asked, "{asked} SKUs were asked for, {} are known", stocks.len());
        let in_order = stocks.iter().zip(first..).all(|(stock, number)| stock.sku == sku(number));
        ensure!(in_order, "other SKUs are answered than were asked for");
        left.extend(stocks.iter().map(|stock| stock.on_hand));
    }
    let start = i64::try_from(load.skus)?.checked_mul(load.units).context("too many units")?;
    let negative = left.iter().filter(|left| **left < 0).count();
    ensure!(sold.len() == left.len(), "{} SKUs were sold of {}", sold.len(), left.len());
    let wrong = left.iter().zip(sold).filter(|(left, sold)| *left + *sold != load.units).count();
    Ok(Books { start, sold: sold.iter().sum(), left: left.iter().sum(), negative, wrong })
}
