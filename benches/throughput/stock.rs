//! Fills the shelves before a case and counts them after it.

use anyhow::{Result, ensure};
use stockgate::proto::{
    BatchGetStockRequest, ImportStockRequest, import_stock_request::Condition,
    inventory_service_client::InventoryServiceClient, stock_service_client::StockServiceClient,
};
use tonic::transport::Endpoint;

use crate::case::Case;

/// What the gateway says is left, against what its callers were sold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Books {
    pub(crate) start: i64,
    pub(crate) sold: i64,
    pub(crate) left: i64,
}

impl Books {
    pub(crate) fn are_right(self) -> bool {
        self.sold + self.left == self.start
    }
}

/// The name of a SKU of the bench.
pub(crate) fn sku(number: usize) -> String {
    format!("SKU-{number:06}")
}

/// Gives every SKU its units.
pub(crate) async fn fill(url: &str, case: &Case) -> Result<()> {
    let rows: Vec<_> = (0..case.skus)
        .map(|number| ImportStockRequest {
            idempotency_key: format!("fill-{number}"),
            sku: sku(number),
            quantity: case.units,
            condition: Some(Condition::ExpectedVersion(0)),
            ..Default::default()
        })
        .collect();
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    let response = InventoryServiceClient::new(channel).import_stock(tokio_stream::iter(rows)).await?;
    let results = response.into_inner().results;
    ensure!(results.iter().all(|result| result.code == 0), "the shelves cannot be filled: {results:?}");
    Ok(())
}

/// Counts what is left of all SKUs.
pub(crate) async fn count(url: &str, case: &Case, sold: u64) -> Result<Books> {
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    let request = BatchGetStockRequest { skus: (0..case.skus).map(sku).collect() };
    let stocks = StockServiceClient::new(channel).batch_get_stock(request).await?.into_inner().stocks;
    let left = stocks.iter().map(|stock| stock.on_hand).sum();
    let start = case.units * i64::try_from(case.skus)?;
    Ok(Books { start, sold: i64::try_from(sold)?, left })
}
