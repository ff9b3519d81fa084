//! Cluster: answers that are lost, nodes that are not ready. One call is one change, and who waits is told in time.

use std::time::Duration;

use redis::InfoDict;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    cluster_nodes::{Cluster, Extras, MASTERS, command},
    cluster_proxy::Cut,
    cluster_setup::{key_of, setup_on, sku_of_each},
    gateway::{Gateway, Setup, eventually},
    gateway_calls::{check_status, reason, sale},
    guarded::WITHIN,
    shoppers::{self, Patience, Shoppers, UNITS, check_books},
};

/// The units that are left after a sale.
async fn sell(gateway: &Gateway, key: &str, sku: &str) -> Result<i64, Status> {
    Ok(gateway.stock().decrement(sale(key, sku, 1)).await?.into_inner().lines[0].on_hand)
}

/// A gateway that waits a moment, and one that waits until the end of it.
async fn hurried_and_patient(setup: Setup) -> (Gateway, Gateway) {
    let setup = setup.set(r#"grpc.default_deadline = "25s""#);
    let hurried = setup.clone().set(r#"redis.cluster_wait = "200ms""#).serve_as("gateway").await;
    (hurried, setup.set(r#"redis.cluster_wait = "25s""#).serve_as("gateway").await)
}

#[tokio::test]
async fn a_lost_answer_is_one_change_and_nothing_is_sent_again() {
    let cluster = Cluster::start_with(Extras { has_proxies: true, ..Extras::patient() }).await;
    let proxies = cluster.proxies();
    let setup = setup_on(&cluster).set("grpc.threads = 1").set(r#"redis.response_timeout = "300ms""#);
    let gateway = setup.serve_as("gateway").await;
    let skus = sku_of_each(&cluster, &setup).await;
    let mut on_hand = 100;
    gateway.put(&[(&skus[2], on_hand)]).await;
    for cut in [Cut::Answer, Cut::Silence, Cut::After, Cut::Before] {
        let (key, done) = (format!("{cut:?}"), proxies.done_count());
        proxies.plan(cut, 1);
        let status = sell(&gateway, &key, &skus[2]).await.unwrap_err();
        let code = if cut == Cut::Silence { Code::DeadlineExceeded } else { Code::Unavailable };
        check_status(&status, code, "OUTCOME_UNKNOWN");
        eventually("the plan has come true", WITHIN, async || (proxies.done_count() > done).then_some(()))
            .await;
        assert_eq!(proxies.script_count(), 1, "{cut:?}: what was sent is sent again");
        proxies.heal();
        let was_sold = cut != Cut::Before;
        on_hand -= 1;
        let again = eventually("the way is open again", WITHIN, async || {
            gateway.stock().decrement(sale(&key, &skus[2], 1)).await.ok()
        })
        .await
        .into_inner();
        assert_eq!((again.replayed, again.lines[0].on_hand), (was_sold, on_hand), "{cut:?}");
    }
    // One that never lost a connection.
    let gateway = setup.serve_as("gateway").await;
    assert_eq!(gateway.level(&skus[2]).await.on_hand, on_hand);
    assert_eq!(gateway.sales(&skus[2]).await.len(), 4);
    assert!(gateway.findings(false).await.is_empty());
}

/// Waits until a caller is told to come again, as nothing was sent. The first one may be told of a connection that broke.
async fn check_not_ready(gateway: &Gateway, key: &str, sku: &str) {
    let status = eventually("a caller is told that nothing was sent", WITHIN, async || {
        let status = sell(gateway, key, sku).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        Some(status).filter(|status| reason(status) != "OUTCOME_UNKNOWN")
    })
    .await;
    assert!(["STORE_NOT_READY", "STORE_UNAVAILABLE"].contains(&reason(&status).as_str()), "{status:?}");
    assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
}

#[tokio::test]
async fn a_slot_nobody_serves_is_waited_for_and_told_in_time() {
    let cluster = Cluster::start_with(Extras::patient()).await;
    let setup = setup_on(&cluster);
    let (hurried, gateway) = hurried_and_patient(setup.clone()).await;
    let skus = sku_of_each(&cluster, &setup).await;
    for sku in &skus {
        gateway.put(&[(sku, 100)]).await;
    }
    let slot = cluster.slot_of(&key_of(&setup, &skus[0], "stock")).await.to_string();
    // The other nodes go on saying that it is there; that one does not, and says that all of it is down.
    cluster.tell::<()>(0, &["CLUSTER", "DELSLOTS", &slot]).await;
    check_not_ready(&hurried, "hurry", &skus[0]).await;
    let patient = sell(&gateway, "patient", &skus[0]);
    let back = async {
        cluster.tell::<()>(0, &["CLUSTER", "ADDSLOTS", &slot]).await;
    };
    let (sold, ()) = tokio::join!(patient, back);
    assert_eq!(sold.unwrap(), 99);
    assert_eq!(gateway.sales(&skus[0]).await.len(), 1);
}

#[tokio::test]
async fn a_refusal_that_is_not_about_slots_is_told_at_once() {
    let cluster = Cluster::start_with(Extras::patient()).await;
    let setup = setup_on(&cluster);
    let gateway = setup.clone().set(r#"redis.cluster_wait = "2s""#).serve_as("gateway").await;
    let skus = sku_of_each(&cluster, &setup).await;
    for sku in &skus {
        gateway.put(&[(sku, 100)]).await;
    }
    // It has one.
    cluster.tell::<()>(0, &["CONFIG", "SET", "min-replicas-to-write", "2"]).await;
    cluster.tell::<()>(0, &["CONFIG", "RESETSTAT"]).await;
    let status = sell(&gateway, "k1", &skus[0]).await.unwrap_err();
    check_status(&status, Code::Unavailable, "STORE_NOT_READY");
    assert_eq!(status.get_details_error_info().unwrap().metadata["redisCode"], "NOREPLICAS");
    let stats: InfoDict = cluster.tell(0, &["INFO", "commandstats"]).await;
    let scripts: String = stats.get("cmdstat_evalsha").unwrap();
    assert!(scripts.contains("rejected_calls=1,"), "{scripts}");
    assert_eq!(sell(&gateway, "k2", &skus[1]).await.unwrap(), 99);
    cluster.tell::<()>(0, &["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    assert_eq!(sell(&gateway, "k1", &skus[0]).await.unwrap(), 99);
}

#[tokio::test]
async fn a_node_that_loads_its_data_is_waited_for_and_told_in_time() {
    // No replica takes over. Every key takes its time to load, and some calls are answered meanwhile.
    let lines = "cluster-replica-no-failover yes\nkey-load-delay 20000\n\
                 loading-process-events-interval-bytes 1024\nrdbcompression no\n"
        .to_owned();
    let mut cluster = Cluster::start_with(Extras { lines, ..Extras::patient() }).await;
    let setup = setup_on(&cluster);
    let (hurried, gateway) = hurried_and_patient(setup.clone()).await;
    let skus = sku_of_each(&cluster, &setup).await;
    for sku in &skus {
        gateway.put(&[(sku, 100)]).await;
    }
    let filling = "x".repeat(1024);
    for number in 0..400 {
        let key = format!("{}:{number}", key_of(&setup, &skus[0], "filling"));
        cluster.tell::<()>(0, &["SET", &key, &filling]).await;
    }
    cluster.tell::<()>(0, &["SAVE"]).await;
    cluster.kill(0).await;
    check_not_ready(&hurried, "while it is gone", &skus[0]).await;
    assert_eq!(sell(&hurried, "elsewhere", &skus[1]).await.unwrap(), 99);
    cluster.raise(0);
    let is_loading = async || {
        let mut connection = cluster.connection(0).await?;
        let answer = command(&["DBSIZE"]).query_async::<()>(&mut connection).await;
        answer.is_err_and(|fault| fault.code() == Some("LOADING")).then_some(())
    };
    eventually("it loads", WITHIN, is_loading).await;
    check_not_ready(&hurried, "while it loads", &skus[0]).await;
    let patient = shoppers::sell(&gateway.stock(), "patient", &skus[0]).await;
    assert_eq!(patient.lines[0].on_hand, 99);
    assert_eq!(gateway.sales(&skus[0]).await.len(), 1);
}

#[tokio::test]
async fn a_planned_failover_to_a_node_without_scripts_goes_unnoticed() {
    let cluster = Cluster::start_with(Extras::patient()).await;
    let setup = setup_on(&cluster);
    let gateway = setup.serve().await;
    let skus = sku_of_each(&cluster, &setup).await;
    for sku in &skus {
        gateway.put(&[(sku, UNITS)]).await;
    }
    let mut load = Shoppers::start(&[gateway.grpc], &skus, Patience::None);
    for (node, sku) in skus.iter().enumerate() {
        load.goes_on(sku, 10).await;
        cluster.tell::<()>(node + MASTERS, &["SCRIPT", "FLUSH"]).await;
        cluster.tell::<()>(node + MASTERS, &["CLUSTER", "FAILOVER"]).await;
        cluster.successor_of(node, &key_of(&setup, sku, "stock")).await;
        load.goes_on(sku, 10).await;
    }
    let sales = load.stop().await;
    let lost = check_books(&gateway, &skus, &sales).await;
    assert!(lost.is_empty(), "{lost:?}");
}
