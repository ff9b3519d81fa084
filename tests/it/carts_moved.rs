//! Cluster: holds whose id names a home of an earlier number of partitions.

use std::time::Duration;

use nix::sys::signal::Signal;
use stockgate::{
    domain::HoldState,
    store::{Address, Clock},
};

use crate::{
    cluster_nodes::{Cluster, Extras},
    harness::{Shop, both},
    repartition_shop::partitions,
    requests::*,
};

/// The shop had so many partitions before.
const BEFORE: u16 = 4;

/// Where the id says it lay there is another server, with a clock of its own, and it may be away.
#[tokio::test]
async fn a_hold_is_read_by_the_clock_of_the_server_that_has_it() {
    let cluster = Cluster::start_with(Extras::patient()).await;
    let shop = Shop::open_with(both()[1], |settings| {
        settings.link.address = Address::parse(&cluster.url()).unwrap();
        settings.link.response_timeout = Duration::from_secs(1);
        settings.clock = Clock::Redis;
    })
    .await;
    let meta = format!("{}:meta", shop.settings.namespace);
    let node = cluster.master_of(&meta).await;
    cluster.tell::<i64>(node, &["HSET", &meta, "partitions_before", &BEFORE.to_string()]).await;
    let (mut name, mut named_node, mut node) = (String::new(), 0, 0);
    for n in 0.. {
        name = format!("sku-{n}");
        let named = partitions(BEFORE).of(&sku(&name));
        named_node = cluster.master_of(&format!("{}:{{p{named}}}:stock", shop.settings.namespace)).await;
        node = cluster.master_of(&shop.key(&name, "stock")).await;
        if named_node != node {
            break;
        }
    }
    let id = hold_of(&reserve("held", &[(&name, 1)], 1000), partitions(BEFORE));
    let text = format!("l 5 4 1 {} {name} 1 0 0 {{\"key\":\"held\"}}", shop.partitions().of(&sku(&name)));
    cluster.tell::<i64>(node, &["HSET", &shop.key(&name, "holds"), id.as_str(), &text]).await;
    let gateway = shop.another_gateway();
    gateway.store.prepare().await.unwrap();
    cluster.signal(named_node, Signal::SIGSTOP);
    assert_eq!(gateway.store.hold(&id).await.unwrap().unwrap().state, HoldState::Released);
    gateway.close().await;
    shop.close().await;
}
