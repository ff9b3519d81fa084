//! A key of the wrong type: a fault that names the key, nothing half-written, and all well again once it is mended.

use stockgate::{
    domain::{Action, Mutation},
    store::StoreError,
};

use crate::{
    harness::{RETENTION_MS, START_MS, Shop, both},
    requests::*,
};

/// Until the hold of these tests is over, and still in its window.
const OVERDUE_MS: i64 = 60_000;

/// Puts a text where another type belongs, and keeps what was there.
async fn spoil(shop: &Shop, key: &str) {
    let kept = format!("{key}-kept");
    if shop.redis::<bool>(redis::cmd("EXISTS").arg(key)).await {
        shop.redis::<()>(redis::cmd("RENAME").arg(key).arg(&kept)).await;
    }
    shop.redis::<()>(redis::cmd("SET").arg(key).arg("not what it must be")).await;
}

async fn mend(shop: &Shop, key: &str) {
    let kept = format!("{key}-kept");
    shop.redis::<()>(redis::cmd("DEL").arg(key)).await;
    if shop.redis::<bool>(redis::cmd("EXISTS").arg(&kept)).await {
        shop.redis::<()>(redis::cmd("RENAME").arg(&kept).arg(key)).await;
    }
}

#[track_caller]
fn assert_names(fault: &StoreError, key: &str) {
    let StoreError::WrongType { detail } = fault else { panic!("{key}: {fault:?}") };
    assert!(detail.contains(key), "{detail:?} does not name {key}");
}

/// One of each verb, on one SKU, so that all touch the same partition.
async fn verbs(shop: &Shop) -> Vec<Mutation> {
    shop.stock(&[("A", 100)]).await;
    let made = reserve("made", &[("A", 10)], 50_000);
    shop.applied(&made).await;
    let hold = hold_of(&made, shop.partitions());
    vec![
        decrement("d", &[("A", 1)]),
        reserve("r", &[("A", 1)], 1000),
        restock("i", &[("A", 1)]),
        adjust("a", "A", 1),
        set("s", "A", 50),
        commit("c all", &hold),
        release("l all", &hold),
        extend("e", &hold, 60_000),
    ]
}

/// Whether the verb has to look into the key.
fn needs(verb: &Mutation, rest: &str, window: i64) -> bool {
    let is_on_hold = verb.hold().is_some();
    let is_reserve = matches!(verb.action, Action::Reserve { .. });
    match rest {
        "holds" | "hx" => is_on_hold || is_reserve,
        // A live hold is not looked for among those that ended long ago.
        _ if rest == format!("ended:{}", window - 1) => is_reserve,
        _ if rest.starts_with("ended") => is_on_hold || is_reserve,
        _ => true,
    }
}

#[tokio::test]
async fn no_verb_writes_half_of_it() {
    let window = START_MS / RETENTION_MS;
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        let verbs = verbs(&shop).await;
        let rests = ["stock".to_owned(), "holds".to_owned(), "hx".to_owned(), "ev".to_owned()];
        let windows = [window, window - 1].map(|window| [format!("rec:{window}"), format!("ended:{window}")]);
        for rest in rests.iter().chain(windows.iter().flatten()) {
            let key = shop.key("A", rest);
            spoil(&shop, &key).await;
            let before = shop.dump().await;
            for verb in verbs.iter().filter(|verb| needs(verb, rest, window)) {
                assert_names(&shop.fault(verb).await, &key);
                assert_eq!(shop.dump().await, before, "{verb:?} with {key} spoilt");
            }
            if ["stock", "holds", "hx", "ev"].contains(&rest.as_str()) || *rest == format!("ended:{window}") {
                shop.pass(OVERDUE_MS);
                let fault = shop.store.sweep(partitions.of(&sku("A")), 10).await.expect_err("must notice");
                assert_names(&fault, &key);
                assert_eq!(shop.dump().await, before, "sweep with {key} spoilt");
                shop.pass(-OVERDUE_MS);
            }
            mend(&shop, &key).await;
        }
        for verb in &verbs {
            assert!(!shop.answer(verb).await.replayed, "{verb:?}");
        }
        assert_eq!(shop.store.verify(&[], false).await.unwrap().findings, []);
        shop.close().await;
    }
}
