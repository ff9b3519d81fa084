//! Keeping the counts right over gRPC: imports, stock-takes, walks, repairs, and the keys of answers.

use std::collections::BTreeSet;

use stockgate::proto::{
    BatchGetStockRequest, DecrementRequest, ImportStockRequest, ImportStockResult, KeyOutcome,
    ListStockRequest, ResolveKeyRequest, ResolveKeyResponse, SetStockRequest, VerifyOutcome,
    import_stock_request::Condition,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    gateway::{Gateway, Setup},
    gateway_calls::{check_status, count, line, sale},
    gateway_redis::Redis,
};

fn row(key: &str, sku: &str, quantity: i64) -> ImportStockRequest {
    ImportStockRequest {
        idempotency_key: key.to_owned(),
        sku: sku.to_owned(),
        quantity,
        condition: Some(Condition::Force(())),
        ..ImportStockRequest::default()
    }
}

async fn import(gateway: &Gateway, rows: Vec<ImportStockRequest>) -> Vec<ImportStockResult> {
    gateway.inventory().import_stock(tokio_stream::iter(rows)).await.unwrap().into_inner().results
}

#[tokio::test]
async fn every_row_of_an_import_has_its_own_result() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("known", 3)]).await;
    let stale =
        ImportStockRequest { condition: Some(Condition::ExpectedVersion(7)), ..row("k4", "known", 9) };
    let rows = vec![row("k1", "a", 10), row("k2", "a b", 5), stale, row("k3", "b", -1), row("k5", "c", 30)];
    let results = import(&gateway, rows.clone()).await;
    let skus: Vec<_> = results.iter().map(|result| result.sku.as_str()).collect();
    assert_eq!(skus, ["a", "a b", "known", "b", "c"]);
    let codes: Vec<_> = results.iter().map(|result| Code::from_i32(result.code)).collect();
    let (ok, invalid) = (Code::Ok, Code::InvalidArgument);
    assert_eq!(codes, [ok, invalid, Code::Aborted, invalid, ok]);
    assert_eq!(results[2].reason, "VERSION_MISMATCH");
    assert!(
        results[1].message.starts_with("sku ") && results[3].message.starts_with("quantity "),
        "{results:?}"
    );
    let counts = [("a", 10), ("known", 3), ("c", 30)];
    for (sku, on_hand) in counts {
        assert_eq!(gateway.level(sku).await.on_hand, on_hand, "{sku}");
    }
    gateway.sell("sale", "a", 4).await;
    let again = import(&gateway, rows).await;
    assert!(again[0].replayed && again[0].line == results[0].line, "{again:?}");
    assert_eq!(gateway.level("a").await.on_hand, 6, "a repeated import undoes no sale");
}

#[tokio::test]
async fn an_import_has_an_end_and_a_walk_shows_all_of_it_once() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    let rows: Vec<_> = (0..=10_000).map(|n| row(&format!("k{n}"), &format!("sku-{n}"), n)).collect();
    let refused = gateway.inventory().import_stock(tokio_stream::iter(rows)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "rows");
    let rest = import(&gateway, vec![row("k10000", "sku-10000", 10_000)]).await;
    assert!(!rest[0].replayed, "one row too many was carried out");

    let (mut seen, mut request) =
        (BTreeSet::new(), ListStockRequest { page_size: 900, ..Default::default() });
    loop {
        let page = gateway.inventory().list_stock(request.clone()).await.unwrap().into_inner();
        assert!(page.stocks.len() <= 900);
        for stock in page.stocks {
            assert_eq!(stock.sku, format!("sku-{}", stock.on_hand));
            assert!(seen.insert(stock.on_hand), "{} came twice", stock.sku);
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(seen.into_iter().eq(0..=10_000), "some are missing");
}

/// The hash of 1,000 SKUs has 1,024 buckets; what comes in makes it grow, so that the steps of a walk are others than before.
#[tokio::test]
async fn a_walk_passes_over_no_sku_while_others_come_in() {
    let gateway = Setup::on_one_partition(Redis::shared().await).serve().await;
    let put = async |name: &str, count| {
        let rows = (0..count).map(|n| row(&format!("{name}{n}"), &format!("{name}-{n}"), n));
        import(&gateway, rows.collect()).await;
    };
    let walk = async |mut page_token: String| {
        let mut pages = Vec::new();
        loop {
            let request = ListStockRequest { page_size: 20, page_token };
            let page = gateway.inventory().list_stock(request).await.unwrap().into_inner();
            assert!(page.stocks.len() <= 20);
            let skus: BTreeSet<_> = page.stocks.into_iter().map(|stock| stock.sku).collect();
            page_token = page.next_page_token;
            pages.push((skus, page_token.clone()));
            if page_token.is_empty() {
                return pages;
            }
        }
    };
    put("there", 1_000).await;
    let before = walk(String::new()).await;
    put("new", 30).await;
    let mut seen = BTreeSet::new();
    for (skus, token) in before.into_iter().filter(|(_, token)| !token.is_empty()) {
        seen.extend(skus);
        let rest: Vec<_> = walk(token).await.into_iter().flat_map(|(skus, _)| skus).collect();
        let missing =
            (0..1_000).map(|n| format!("there-{n}")).filter(|sku| !seen.contains(sku) && !rest.contains(sku));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<String>::new(), "after {} were shown", seen.len());
    }
}

#[tokio::test]
async fn a_stock_take_keeps_what_was_sold_since() {
    let gateway = Setup::on_one_partition(Redis::shared().await).serve().await;
    gateway.put(&[("a", 10), ("b", 5)]).await;
    let counted_at = gateway.sell("k1", "a", 1).await.event_id;
    gateway.sell("k2", "a", 2).await;
    gateway.sell("k3", "b", 1).await;
    let take = SetStockRequest { as_of_event: counted_at, ..count("take", "a", 20) };
    let line = gateway.inventory().set_stock(take.clone()).await.unwrap().into_inner().line.unwrap();
    assert_eq!(line.on_hand, 18, "20 were counted, then 2 were sold");
    gateway.sell("k4", "a", 1).await;
    let again = gateway.inventory().set_stock(take.clone()).await.unwrap().into_inner();
    assert!(again.replayed && again.line == Some(line), "{again:?}");
    assert_eq!(gateway.level("a").await.on_hand, 17);

    // The event of another SKU names a moment too.
    let of_b = SetStockRequest { idempotency_key: "take b".to_owned(), sku: "b".to_owned(), ..take };
    let line = gateway.inventory().set_stock(of_b).await.unwrap().into_inner().line.unwrap();
    assert_eq!(line.on_hand, 19, "20 were counted, then 1 was sold");
    assert!(gateway.findings(false).await.is_empty());
}

#[tokio::test]
async fn wrong_and_broken_records_are_found_and_repaired() {
    let redis = Redis::shared().await;
    let setup = Setup::on_one_partition(redis);
    let gateway = setup.serve().await;
    gateway.put(&[("good", 5), ("wrong", 5), ("broken", 5)]).await;
    gateway.sell("k1", "wrong", 1).await;
    gateway.sell("k2", "broken", 2).await;
    let key = format!("{}:{{p0}}:stock", setup.namespace);
    let mut connection = redis.connection().await;
    let text: String = redis::cmd("HGET").arg(&key).arg("wrong").query_async(&mut connection).await.unwrap();
    let wrong = text.replacen("4 ", "400 ", 1);
    let mut write = redis::cmd("HSET");
    write.arg(&key).arg("wrong").arg(wrong).arg("broken").arg("x y z");
    write.query_async::<()>(&mut connection).await.unwrap();

    // A broken record harms nobody but itself.
    let refused = gateway.stock().decrement(sale("k3", "broken", 1)).await.unwrap_err();
    check_status(&refused, Code::DataLoss, "BROKEN_RECORD");
    assert!(refused.message().contains("broken"), "{refused:?}");
    let cart = DecrementRequest { lines: vec![line("good", 1), line("broken", 1)], ..sale("k4", "good", 1) };
    check_status(&gateway.stock().decrement(cart).await.unwrap_err(), Code::DataLoss, "BROKEN_RECORD");
    gateway.sell("k5", "good", 1).await;
    assert_eq!(gateway.level("good").await.on_hand, 4);
    let skus = vec!["good".to_owned(), "wrong".to_owned()];
    let batch = gateway
        .stock()
        .batch_get_stock(BatchGetStockRequest { skus, max_staleness: None })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(batch.stocks.iter().map(|stock| stock.on_hand).collect::<Vec<_>>(), [4, 400]);

    let outcomes = async |repair| {
        let mut found = gateway.findings(repair).await;
        found.sort_by(|one, other| one.sku.cmp(&other.sku));
        found.into_iter().map(|one| (one.sku.clone(), one.outcome())).collect::<Vec<_>>()
    };
    let expected = |broken, wrong| vec![("broken".to_owned(), broken), ("wrong".to_owned(), wrong)];
    assert_eq!(outcomes(false).await, expected(VerifyOutcome::Broken, VerifyOutcome::Mismatch));
    let repaired = VerifyOutcome::Repaired;
    assert_eq!(outcomes(true).await, expected(repaired, repaired));
    assert!(outcomes(false).await.is_empty());
    assert_eq!(gateway.level("wrong").await.on_hand, 4);
    assert_eq!(gateway.level("broken").await.on_hand, 3);
    gateway.sell("k6", "broken", 3).await;
}

#[tokio::test]
async fn a_key_tells_what_became_of_it_and_an_unused_one_is_burnt() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    gateway.put(&[("a", 5)]).await;
    let line = gateway.sell("sold", "a", 1).await;
    gateway.stock().decrement(sale("refused", "a", 100)).await.unwrap_err();
    let resolve = async |key: &str| -> ResolveKeyResponse {
        let request =
            ResolveKeyRequest { sku: "a".to_owned(), idempotency_key: key.to_owned(), durability: None };
        gateway.stock().resolve_key(request).await.unwrap().into_inner()
    };
    let sold = resolve("sold").await;
    assert_eq!((sold.outcome(), sold.rpc.as_str()), (KeyOutcome::Applied, "Decrement"));
    assert_eq!(sold.event_ids, [line.event_id]);
    let refused = resolve("refused").await;
    assert_eq!((refused.outcome(), refused.reason.as_str()), (KeyOutcome::Refused, "INSUFFICIENT_STOCK"));
    for _ in 0..2 {
        assert_eq!(resolve("late").await.outcome(), KeyOutcome::Burnt);
    }
    let late = gateway.stock().decrement(sale("late", "a", 1)).await.unwrap_err();
    check_status(&late, Code::FailedPrecondition, "KEY_BURNT");
    assert_eq!(gateway.level("a").await.on_hand, 4);
}
