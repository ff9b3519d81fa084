//! Shops that ask: the gateway decides every order.

use anyhow::{Context as _, Result};
use stockgate::proto::{DecrementRequest, Line, stock_service_client::StockServiceClient};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tonic::{Code, transport::Endpoint};

use super::{ANSWER_TIMEOUT, Order, SKUS};
use crate::{
    plan::Load,
    rig::gateway::Gateway,
    shelves::{self, Books, sku},
};

/// Each shop asks the gateway for every order; what was sold and is left.
pub(super) async fn run(gateway: &Gateway, orders: &[Order], load: Load) -> Result<Books> {
    let channel = Endpoint::from_shared(gateway.url.clone())?.connect().await?;
    let started = Instant::now();
    let mut sales = JoinSet::new();
    for (number, order) in orders.iter().enumerate() {
        sleep_until(started + order.at).await;
        let mut client = StockServiceClient::new(channel.clone());
        let request = sale(number, order);
        let sku = order.sku;
        sales.spawn(async move {
            match client.decrement(request).await {
                Ok(_) => Ok(Some(sku)),
                Err(status) if status.code() == Code::FailedPrecondition => Ok(None),
                Err(status) => Err(status),
            }
        });
    }
    let mut sold = vec![0; SKUS];
    let all_answered = async {
        while let Some(answered) = sales.join_next().await {
            if let Some(sku) = answered?? {
                sold[sku] += 1;
            }
        }
        anyhow::Ok(())
    };
    timeout(ANSWER_TIMEOUT, all_answered).await.context("a shop is not answered")??;
    shelves::count(&gateway.url, load, &sold).await
}

/// Sells one unit, once.
pub(super) fn sale(number: usize, order: &Order) -> DecrementRequest {
    DecrementRequest {
        idempotency_key: format!("order-{number}"),
        lines: vec![Line { sku: sku(order.sku), quantity: 1, expected_version: None }],
        ..Default::default()
    }
}
