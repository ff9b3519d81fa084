//! A shop on a cluster: sixteen partitions over three masters, and which SKU lives where.

use stockgate::domain::{Partitions, Sku};

use crate::{cluster_nodes::Cluster, gateway::Setup};

pub(crate) const PARTITIONS: u16 = 16;

/// Settings of a gateway on a cluster of the test's own.
pub(crate) fn setup_on(cluster: &Cluster) -> Setup {
    Setup::at(&cluster.url()).set(&format!("redis.partitions = {PARTITIONS}")).set("grpc.threads = 2")
}

/// The key of the partition a SKU lives in that ends so.
pub(crate) fn key_of(setup: &Setup, sku: &str, rest: &str) -> String {
    let partition = Partitions::new(PARTITIONS).unwrap().of(&Sku::parse(sku).unwrap());
    format!("{}:{{p{partition}}}:{rest}", setup.namespace)
}

/// A SKU of each master, in the order of the nodes.
pub(crate) async fn sku_of_each(cluster: &Cluster, setup: &Setup) -> Vec<String> {
    let mut found = [None, None, None];
    for number in 0.. {
        let sku = format!("sku-{number}");
        let master = cluster.master_of(&key_of(setup, &sku, "stock")).await;
        found[master].get_or_insert(sku);
        if let [Some(first), Some(second), Some(third)] = found {
            return vec![first, second, third];
        }
    }
    unreachable!("every master has partitions")
}
