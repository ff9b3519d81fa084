//! Bad input over the wire: every kind of fault is INVALID_ARGUMENT naming the field, and nothing changes. The breadth of
//! it stands beside the conversions, in `src/grpc/convert/bad_input.rs`.

use prost_types::{Duration as Ttl, Timestamp};
use stockgate::proto::*;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::{
    gateway::Setup,
    gateway_calls::{count, line, reason, sale},
    gateway_redis::Redis,
};

/// What is not as it should be; said all at once.
#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    fn check<T>(&mut self, rpc: &str, field: &str, answer: Result<Response<T>, Status>) {
        let Err(status) = answer else {
            self.0.push(format!("{rpc} accepted a bad {field}"));
            return;
        };
        let named: Vec<String> = status
            .get_details_bad_request()
            .map(|request| request.field_violations.into_iter().map(|found| found.field).collect())
            .unwrap_or_default();
        if status.code() != Code::InvalidArgument
            || named != [field]
            || reason(&status) != "MALFORMED_REQUEST"
        {
            self.0.push(format!("{rpc}: {field}: {named:?} {status:?}"));
        }
    }
}

/// Each row: a good request with one thing wrong, and the field that must be named.
macro_rules! rows {
    ($complaints:ident, $client:expr, $rpc:ident, $good:expr; $($field:ident = $value:expr => $path:literal;)+) => {
        $({
            let mut request = $good.clone();
            request.$field = $value;
            $complaints.check(stringify!($rpc), $path, $client.$rpc(request).await);
        })+
    };
}

fn part(sku: &str, quantity: i64) -> Quantity {
    Quantity { sku: sku.to_owned(), quantity }
}

fn ttl(seconds: i64, nanos: i32) -> Option<Ttl> {
    Some(Ttl { seconds, nanos })
}

fn long(bytes: usize) -> String {
    "x".repeat(bytes)
}

fn many(lines: usize) -> Vec<Line> {
    (0..lines).map(|n| line(&format!("s{n}"), 1)).collect()
}

#[tokio::test]
async fn every_bad_field_is_named_and_nothing_changes() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 50), ("b", 50)]).await;
    let reserve = ReserveRequest {
        idempotency_key: "hold".to_owned(),
        lines: vec![line("a", 2)],
        ttl: ttl(60, 0),
        ..ReserveRequest::default()
    };
    let hold = gateway.stock().reserve(reserve.clone()).await.unwrap().into_inner().hold.unwrap();
    let (before, events) = (gateway.level("a").await, gateway.events("", EventOrder::OldestFirst).await);
    let (mut stock, mut inventory) = (gateway.stock(), gateway.inventory());
    let mut complaints = Complaints::default();

    let good = sale("new", "a", 1);
    rows! { complaints, stock, decrement, good;
        idempotency_key = String::new() => "idempotency_key";
        idempotency_key = long(129) => "idempotency_key";
        idempotency_key = "tab\t".to_owned() => "idempotency_key";
        lines = vec![] => "lines";
        lines = many(101) => "lines";
        lines = vec![line("", 1)] => "lines[0].sku";
        lines = vec![line("a", 1), line("a b", 1)] => "lines[1].sku";
        lines = vec![line(&long(129), 1)] => "lines[0].sku";
        lines = vec![line("ä", 1)] => "lines[0].sku";
        lines = vec![line("a", 1), line("b", 1), line("a", 1)] => "lines[2].sku";
        lines = vec![line("a", 0)] => "lines[0].quantity";
        lines = vec![line("a", -1)] => "lines[0].quantity";
        lines = vec![line("a", 1_000_000_001)] => "lines[0].quantity";
        lines = vec![line("a", i64::MIN)] => "lines[0].quantity";
        lines = vec![Line { expected_version: Some(-1), ..line("a", 1) }] => "lines[0].expected_version";
        channel = "my shop".to_owned() => "channel";
        order_ref = long(257) => "order_ref";
        reason = "a\nb".to_owned() => "reason";
        actor = long(129) => "actor";
    }
    let good = RestockRequest {
        idempotency_key: "new".to_owned(),
        lines: vec![line("a", 1)],
        ..RestockRequest::default()
    };
    rows! { complaints, stock, restock, good;
        idempotency_key = String::new() => "idempotency_key";
        lines = vec![line("a", 0)] => "lines[0].quantity";
    }
    let good = ReserveRequest { idempotency_key: "new".to_owned(), ..reserve };
    rows! { complaints, stock, reserve, good;
        idempotency_key = String::new() => "idempotency_key";
        lines = many(101) => "lines";
        ttl = ttl(0, 0) => "ttl";
        ttl = ttl(-1, 0) => "ttl";
        ttl = ttl(86_400, 1_000_000) => "ttl";
        ttl = ttl(i64::MAX, 0) => "ttl";
    }
    let good = CommitRequest {
        hold_id: hold.hold_id.clone(),
        idempotency_key: "new".to_owned(),
        ..CommitRequest::default()
    };
    rows! { complaints, stock, commit, good;
        hold_id = String::new() => "hold_id";
        hold_id = "hold-1".to_owned() => "hold_id";
        hold_id = long(1025) => "hold_id";
        idempotency_key = String::new() => "idempotency_key";
        lines = vec![part("a", -1)] => "lines[0].quantity";
        lines = vec![part("a", 1), part("a", 1)] => "lines[1].sku";
        expired_policy = 9 => "expired_policy";
    }
    let good = ReleaseRequest {
        hold_id: hold.hold_id.clone(),
        idempotency_key: "new".to_owned(),
        ..ReleaseRequest::default()
    };
    rows! { complaints, stock, release, good;
        hold_id = "h 1".to_owned() => "hold_id";
        lines = vec![part("", 1)] => "lines[0].sku";
    }
    let good = ExtendHoldRequest {
        hold_id: hold.hold_id.clone(),
        idempotency_key: "new".to_owned(),
        ttl: ttl(60, 0),
    };
    rows! { complaints, stock, extend_hold, good;
        hold_id = String::new() => "hold_id";
        ttl = ttl(0, -1) => "ttl";
    }
    let good = count("new", "a", 1);
    rows! { complaints, inventory, set_stock, good;
        sku = String::new() => "sku";
        quantity = -1 => "quantity";
        quantity = 1_000_000_001 => "quantity";
        condition = None => "condition";
        condition = Some(set_stock_request::Condition::ExpectedVersion(-1)) => "expected_version";
        as_of_event = "yesterday".to_owned() => "as_of_event";
        as_of_event = "0-1-1-0".to_owned() => "as_of_event";
    }
    let good = AdjustStockRequest {
        idempotency_key: "new".to_owned(),
        sku: "a".to_owned(),
        delta: 1,
        ..AdjustStockRequest::default()
    };
    rows! { complaints, inventory, adjust_stock, good;
        delta = 0 => "delta";
        delta = i64::MIN => "delta";
        expected_version = Some(-1) => "expected_version";
    }
    let good = ListEventsRequest::default();
    rows! { complaints, inventory, list_events, good;
        sku = "a b".to_owned() => "sku";
        page_size = -1 => "page_size";
        page_token = "not a token".to_owned() => "page_token";
        order = 7 => "order";
        start_time = Some(Timestamp { seconds: 0, nanos: -1 }) => "start_time";
    }
    let good = ListStockRequest::default();
    rows! { complaints, inventory, list_stock, good;
        page_size = -1 => "page_size";
        page_token = "not a token".to_owned() => "page_token";
    }
    let skus = || vec!["a".to_owned(); 1001];
    let batch = stock.batch_get_stock(BatchGetStockRequest { skus: skus(), max_staleness: None }).await;
    complaints.check("batch_get_stock", "skus", batch);
    let batch = stock.batch_get_stock(BatchGetStockRequest { skus: vec![], max_staleness: None }).await;
    complaints.check("batch_get_stock", "skus", batch);
    let verify = inventory.verify_stock(VerifyStockRequest { skus: skus(), repair: true }).await;
    complaints.check("verify_stock", "skus", verify);
    complaints.check("get_stock", "sku", stock.get_stock(GetStockRequest::default()).await);
    complaints.check("get_hold", "hold_id", stock.get_hold(GetHoldRequest::default()).await);
    let watch = WatchStockRequest { skus: vec![], resume_token: "not a token".to_owned() };
    complaints.check("watch_stock", "resume_token", stock.watch_stock(watch).await);
    let resolve = ResolveKeyRequest { sku: "a".to_owned(), idempotency_key: String::new() };
    complaints.check("resolve_key", "idempotency_key", stock.resolve_key(resolve).await);
    let status = gateway.channels().get_sync_status(GetSyncStatusRequest::default()).await;
    complaints.check("get_sync_status", "sku", status);

    assert!(complaints.0.is_empty(), "\n{}\n", complaints.0.join("\n"));
    assert_eq!(gateway.level("a").await, before);
    assert_eq!(gateway.events("", EventOrder::OldestFirst).await, events);
    let held = gateway.stock().get_hold(GetHoldRequest { hold_id: hold.hold_id.clone() }).await.unwrap();
    assert_eq!(held.into_inner().hold.unwrap(), hold);
    // A malformed request is not remembered: its key is still free.
    gateway.sell("new", "a", 1).await;
}
