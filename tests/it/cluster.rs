//! Cluster: a master that dies or freezes under load. The gateway goes on with its replica without a restart, nothing that a
//! replica has confirmed is lost, and what is lost is counted, never silent.

use nix::sys::signal::Signal;

use crate::{
    cluster_nodes::{Cluster, MASTERS},
    cluster_setup::{key_of, setup_on, sku_of_each},
    gateway::{Gateway, Setup, eventually},
    gateway_receiver::{Receiver, SECRET},
    guarded::WITHIN,
    shoppers::{CLIENTS, Patience, Sale, Shoppers, UNITS, check_books, sell, shows_a_sale, shows_the_truth},
};

/// Sales of a SKU before its master is taken away, and after the next one answers, at least.
const SALES: usize = 40;

/// Puts units of one SKU of each master on the shelf, with the replicas too.
async fn stocked(cluster: &Cluster, setup: &Setup, gateway: &Gateway) -> Vec<String> {
    let skus = sku_of_each(cluster, setup).await;
    for (node, sku) in skus.iter().enumerate() {
        gateway.put(&[(sku, UNITS)]).await;
        cluster.replicate(node).await;
    }
    skus
}

#[tokio::test]
async fn at_the_memory_level_what_a_killed_master_takes_with_it_is_counted() {
    let (cluster, web) = (Cluster::start().await, Receiver::start().await);
    let setup = setup_on(&cluster).channel("web", &web.url(), SECRET, "");
    let gateway = setup.serve().await;
    let skus = stocked(&cluster, &setup, &gateway).await;
    let doomed_sku = &skus[0];
    let mut load = Shoppers::start(&[gateway.grpc], &skus, Patience::Repeats);
    load.goes_on(doomed_sku, SALES).await;
    shows_a_sale(&web, doomed_sku).await;
    // What is answered from now on is only in the master.
    cluster.cut_off(0).await;
    let answered = load.count(doomed_sku);
    load.goes_on(doomed_sku, SALES).await;
    cluster.kill(0).await;
    let doomed = load.count(doomed_sku) - answered;
    cluster.signal(MASTERS, Signal::SIGCONT);
    assert_eq!(cluster.successor_of(0, &key_of(&setup, doomed_sku, "stock")).await, MASTERS);
    for sku in &skus {
        load.goes_on(sku, SALES).await;
    }
    let sales = load.stop().await;
    gateway.readiness(200).await;
    let lost = check_books(&gateway, &skus, &sales).await;
    assert!(lost.iter().all(|sale| sale.sku == *doomed_sku), "the other masters lost nothing: {lost:?}");
    assert!(lost.len() >= doomed - CLIENTS, "{doomed} were answered by a master without a replica: {lost:?}");
    println!("memory level: {} sales answered, {} of them lost with the master", sales.len(), lost.len());
    shows_the_truth(&gateway, &web, &skus).await;
}

#[tokio::test]
async fn what_a_replica_has_confirmed_outlives_the_master() {
    let (mut cluster, web) = (Cluster::start().await, Receiver::start().await);
    let setup = setup_on(&cluster)
        .channel("web", &web.url(), SECRET, "")
        .set(r#"durability.level = "replicated""#)
        .set(r#"durability.wait_timeout = "300ms""#);
    let gateway = setup.serve().await;
    let skus = stocked(&cluster, &setup, &gateway).await;
    let sku = &skus[1];
    let mut load = Shoppers::start(&[gateway.grpc], &skus, Patience::Repeats);
    load.goes_on(sku, SALES).await;
    assert!(load.durable_count(sku) > 0, "no replica ever confirmed a sale");
    // What is answered from now on is only in the master, and the answers say so.
    cluster.cut_off(1).await;
    load.goes_on(sku, 2 * CLIENTS).await;
    cluster.kill(1).await;
    cluster.signal(1 + MASTERS, Signal::SIGCONT);
    assert_eq!(cluster.successor_of(1, &key_of(&setup, sku, "stock")).await, 1 + MASTERS);
    // The next one has no replica either, until the old one comes back as one.
    load.goes_on(sku, CLIENTS).await;
    cluster.raise(1);
    let durable = load.durable_count(sku);
    eventually("sales have a replica again", WITHIN, async || {
        (load.durable_count(sku) >= durable + SALES).then_some(())
    })
    .await;
    let sales = load.stop().await;
    let lost = check_books(&gateway, &skus, &sales).await;
    assert!(lost.len() >= CLIENTS, "the master took nothing with it, and nothing is shown: {lost:?}");
    let broken: Vec<&Sale> = lost.iter().filter(|sale| sale.is_durable).collect();
    assert!(broken.is_empty(), "confirmed by a replica, and lost: {broken:?}");
    let durable = sales.iter().filter(|sale| sale.is_durable).count();
    println!(
        "replicated level: {} sales answered, {durable} of them confirmed, {} lost",
        sales.len(),
        lost.len()
    );
    shows_the_truth(&gateway, &web, &skus).await;
}

#[tokio::test]
async fn a_master_that_freezes_and_comes_back_demoted_sells_nothing() {
    let (cluster, web) = (Cluster::start().await, Receiver::start().await);
    // Longer than all of this takes: nobody is freed by giving up.
    let setup = setup_on(&cluster)
        .channel("web", &web.url(), SECRET, "")
        .set(r#"grpc.default_deadline = "50s""#)
        .set(r#"redis.response_timeout = "50s""#);
    let gateway = setup.serve().await;
    let skus = stocked(&cluster, &setup, &gateway).await;
    let sku = &skus[0];
    sell(&gateway.stock(), "before", sku).await;
    cluster.replicate(0).await;
    shows_a_sale(&web, sku).await;
    cluster.signal(0, Signal::SIGSTOP);
    let mut load = Shoppers::start(&[gateway.grpc], &skus, Patience::Repeats);
    cluster.successor_of(0, &key_of(&setup, sku, "stock")).await;
    load.goes_on(sku, SALES).await;
    // Now it reads and answers what it was sent before, and says for a moment that it is the master.
    cluster.signal(0, Signal::SIGCONT);
    for sku in &skus {
        load.goes_on(sku, SALES).await;
    }
    let sales = load.stop().await;
    let lost = check_books(&gateway, &skus, &sales).await;
    assert!(lost.is_empty(), "answered after the freeze and unknown to the new master: {lost:?}");
    assert!(gateway.sales(sku).await.contains_key("before"));
    shows_the_truth(&gateway, &web, &skus).await;
}
