//! What the demo sells: a few SKUs, filled before the sale and counted after it.

use std::time::Duration;

use tonic::{Request, Status, transport::Channel};
use uuid::Uuid;

use crate::proto::{
    BatchGetStockRequest, SetStockRequest, Stock, inventory_service_client::InventoryServiceClient,
    set_stock_request::Condition, stock_service_client::StockServiceClient,
};

/// One SKU and the units the sale begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// The SKU.
    pub sku: String,
    /// Units on hand before the sale.
    pub units: i64,
}

/// Five SKUs with 500 units in all; the first is the one everybody wants.
pub fn standard() -> Vec<Shelf> {
    [("SNEAKER-42", 200), ("SNEAKER-43", 120), ("HOODIE-M", 90), ("HOODIE-L", 60), ("CAP-RED", 30)]
        .map(|(sku, units)| Shelf { sku: sku.to_owned(), units })
        .into()
}

/// Sets every shelf to its units, whatever was there.
pub async fn fill(gateway: Channel, shelves: &[Shelf], timeout: Duration) -> Result<(), Status> {
    let mut inventory = InventoryServiceClient::new(gateway);
    for shelf in shelves {
        let mut request = Request::new(SetStockRequest {
            idempotency_key: Uuid::now_v7().to_string(),
            sku: shelf.sku.clone(),
            quantity: shelf.units,
            condition: Some(Condition::Force(())),
            reason: "demo".to_owned(),
            ..SetStockRequest::default()
        });
        request.set_timeout(timeout);
        inventory.set_stock(request).await?;
    }
    Ok(())
}

/// Reads what is left on every shelf: the truth the channels are measured against.
pub async fn count(gateway: Channel, shelves: &[Shelf], timeout: Duration) -> Result<Vec<Stock>, Status> {
    let skus = shelves.iter().map(|shelf| shelf.sku.clone()).collect();
    let mut request = Request::new(BatchGetStockRequest { skus, max_staleness: None });
    request.set_timeout(timeout);
    Ok(StockServiceClient::new(gateway).batch_get_stock(request).await?.into_inner().stocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_shelves_hold_500_units() {
        assert_eq!(standard().iter().map(|shelf| shelf.units).sum::<i64>(), 500);
    }
}
