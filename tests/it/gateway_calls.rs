//! Requests as tests need them, and what is read out of answers.

use std::collections::BTreeMap;

use stockgate::proto::{
    DecrementRequest, Event, EventKind, EventOrder, Line, LineResult, ListEventsRequest, SetStockRequest,
    Stock, SyncStatus, VerifyFinding, VerifyStockRequest, set_stock_request::Condition,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::gateway::{Gateway, SOON, eventually};

/// Events per page: small, so that every test of more than a few events turns pages.
const PAGE_SIZE: i32 = 50;

/// One line.
pub(crate) fn line(sku: &str, quantity: i64) -> Line {
    Line { sku: sku.to_owned(), quantity, expected_version: None }
}

/// A sale of one SKU.
pub(crate) fn sale(key: &str, sku: &str, quantity: i64) -> DecrementRequest {
    DecrementRequest {
        idempotency_key: key.to_owned(),
        lines: vec![line(sku, quantity)],
        ..DecrementRequest::default()
    }
}

/// An absolute count, whatever was there.
pub(crate) fn count(key: &str, sku: &str, quantity: i64) -> SetStockRequest {
    SetStockRequest {
        idempotency_key: key.to_owned(),
        sku: sku.to_owned(),
        quantity,
        condition: Some(Condition::Force(())),
        ..SetStockRequest::default()
    }
}

/// `ErrorInfo.reason`.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap_or_else(|| panic!("no error info: {status:?}")).reason
}

/// Asserts code and reason.
#[track_caller]
pub(crate) fn check_status(status: &Status, code: Code, expected: &str) {
    assert_eq!((status.code(), reason(status)), (code, expected.to_owned()), "{status:?}");
}

impl Gateway {
    /// Sets counts.
    pub(crate) async fn put(&self, counts: &[(&str, i64)]) {
        for (sku, quantity) in counts {
            self.inventory()
                .set_stock(count(&format!("put {sku} {quantity}"), sku, *quantity))
                .await
                .unwrap();
        }
    }

    /// Sells what is there.
    pub(crate) async fn sell(&self, key: &str, sku: &str, quantity: i64) -> LineResult {
        let answer = self.stock().decrement(sale(key, sku, quantity)).await.unwrap().into_inner();
        answer.lines.into_iter().next().unwrap()
    }

    /// The count of one SKU.
    pub(crate) async fn level(&self, sku: &str) -> Stock {
        let request = stockgate::proto::GetStockRequest { sku: sku.to_owned(), max_staleness: None };
        self.stock().get_stock(request).await.unwrap().into_inner().stock.unwrap()
    }

    /// All events of a SKU, or of all, page by page.
    pub(crate) async fn events(&self, sku: &str, order: EventOrder) -> Vec<Event> {
        let mut events = Vec::new();
        let mut request = ListEventsRequest {
            sku: sku.to_owned(),
            page_size: PAGE_SIZE,
            order: order.into(),
            ..ListEventsRequest::default()
        };
        loop {
            let page = self.inventory().list_events(request.clone()).await.unwrap().into_inner();
            assert!(page.events.len() <= usize::try_from(PAGE_SIZE).unwrap());
            events.extend(page.events);
            if page.next_page_token.is_empty() {
                return events;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The event of every sale by its key; fails when a key has two.
    pub(crate) async fn sales(&self, sku: &str) -> BTreeMap<String, Event> {
        let mut sales = BTreeMap::new();
        for event in self.events(sku, EventOrder::OldestFirst).await {
            if event.kind() == EventKind::Decremented {
                let key = event.idempotency_key.clone();
                assert!(sales.insert(key, event.clone()).is_none(), "sold twice: {event:?}");
            }
        }
        sales
    }

    /// What VerifyStock finds in all SKUs.
    pub(crate) async fn findings(&self, repair: bool) -> Vec<VerifyFinding> {
        let request = VerifyStockRequest { skus: Vec::new(), repair };
        self.inventory().verify_stock(request).await.unwrap().into_inner().findings
    }

    /// What a channel was told about a SKU.
    pub(crate) async fn told(&self, channel: &str, sku: &str) -> SyncStatus {
        let request = stockgate::proto::GetSyncStatusRequest { sku: sku.to_owned() };
        let status = self.channels().get_sync_status(request).await.unwrap().into_inner();
        status.channels.into_iter().find(|one| one.channel == channel).unwrap()
    }

    /// Waits until a channel has confirmed the newest version of a SKU.
    pub(crate) async fn in_sync(&self, channel: &str, sku: &str) -> SyncStatus {
        eventually(&format!("{channel} shows {sku}"), SOON, async || {
            Some(self.told(channel, sku).await).filter(|status| status.in_sync)
        })
        .await
    }
}
