//! Cluster: gateways and workers killed at random under load. At rest the books are right and every channel has the newest
//! number.

use std::time::Duration;

use crate::{
    cluster_nodes::Cluster,
    cluster_setup::setup_on,
    gateway_receiver::{Mode, Receiver, SECRET},
    shoppers::{Patience, Shoppers, UNITS, check_books},
};

const SKUS: usize = 24;
const KILLS: usize = 10;
const KILL_EVERY: Duration = Duration::from_millis(500);

#[tokio::test]
async fn gateways_and_workers_killed_under_load_leave_every_channel_with_the_truth() {
    let cluster = Cluster::shared();
    let mut setup = setup_on(cluster)
        .set(r#"propagation.lease = "2s""#)
        .set(r#"propagation.poll_interval = "100ms""#)
        .set(r#"propagation.backoff_first = "20ms""#)
        .set(r#"propagation.backoff_cap = "200ms""#);
    let mut receivers = Vec::new();
    for (channel, mode) in [("web", Mode::Up), ("app", Mode::Flaky)] {
        let receiver = Receiver::start().await;
        receiver.set(mode);
        setup =
            setup.channel(channel, &receiver.url(), SECRET, "batch = 5\nconcurrency = 4\ntimeout = \"1s\"");
        receivers.push((channel, receiver));
    }
    let roles = ["gateway", "gateway", "worker", "worker"];
    let mut processes = Vec::new();
    for role in roles {
        processes.push(setup.serve_as(role).await);
    }
    let skus: Vec<String> = (0..SKUS).map(|number| format!("sku-{number}")).collect();
    for sku in &skus {
        processes[0].put(&[(sku, UNITS)]).await;
    }
    let doors: Vec<_> = processes[..2].iter().map(|gateway| gateway.grpc).collect();
    let mut load = Shoppers::start(&doors, &skus, Patience::Roams);
    for _ in 0..KILLS {
        let pause = KILL_EVERY.mul_f64(0.5 + fastrand::f64());
        tokio::time::sleep(pause).await; // why: kills come at random moments, not at a state
        let victim = fastrand::usize(..processes.len());
        processes[victim].kill();
        let address = doors.get(victim).map_or("127.0.0.1:0".to_owned(), ToString::to_string);
        processes[victim] = setup.serve_at(roles[victim], &address).await;
        load.goes_on(&skus[0], 1).await;
    }
    let sales = load.stop().await;
    let gateway = &processes[0];
    let lost = check_books(gateway, &skus, &sales).await;
    assert!(lost.is_empty(), "{lost:?}");
    gateway.comes_to_rest().await;
    for (channel, receiver) in &receivers {
        receiver.check();
        for sku in &skus {
            let status = gateway.in_sync(channel, sku).await;
            assert_eq!(
                receiver.shows(sku).unwrap().quantity,
                gateway.level(sku).await.available,
                "{status:?}"
            );
        }
    }
    println!("{KILLS} kills, {} sales", sales.len());
}
