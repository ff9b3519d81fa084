//! The Redis all tests of a run share, each in a namespace of its own: one server, or what STOCKGATE_IT_ON names.

use std::sync::OnceLock;

use crate::{
    cluster_client::{Follower, Raw},
    cluster_nodes::Cluster,
    sentinel_trio::Trio,
};

/// What stands for one server when the environment says so.
#[derive(Clone, Copy)]
pub(crate) enum StandIn {
    /// STOCKGATE_IT_ON=sentinel.
    Trio(&'static Trio),
    /// STOCKGATE_IT_ON=cluster.
    Cluster(&'static Cluster),
}

/// Tests of what a cluster does not have, with the reason. They end at once there.
const NOT_ON_A_CLUSTER: [(&str, &str); 3] = [
    ("a_cart_over_partitions_writes_into_each", "no script writes into two partitions of a cluster"),
    (
        "redis_and_the_model_agree_over_sixteen_partitions",
        "the model counts versions of one script; carts.rs compares a cart of several with it",
    ),
    (
        "what_has_lost_its_old_layout_can_only_be_finished",
        "servers answer side by side, so that killing a run by the count of answers misses its short phases",
    ),
];

impl StandIn {
    /// None: one server.
    pub(crate) fn shared() -> Option<Self> {
        static ON: OnceLock<Option<String>> = OnceLock::new();
        match ON.get_or_init(|| std::env::var("STOCKGATE_IT_ON").ok()).as_deref() {
            None => None,
            Some("sentinel") => Some(Self::Trio(Trio::shared())),
            Some("cluster") => Some(Self::Cluster(Cluster::shared())),
            Some(other) => panic!("STOCKGATE_IT_ON is {other:?}: leave it out, or say sentinel or cluster"),
        }
    }

    /// Where it is, for gateways.
    pub(crate) fn url(self) -> String {
        match self {
            Self::Trio(trio) => trio.url(""),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// A connection of the test's own.
    pub(crate) async fn connection(self) -> Raw {
        match self {
            Self::Trio(trio) => Raw::One(trio.connection(0).await.unwrap()),
            Self::Cluster(cluster) => Raw::Cluster(Follower::new(cluster)),
        }
    }
}

/// Whether the test that asks is of no use here. Only those in the table may ask.
pub(crate) fn is_left_out() -> bool {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default().rsplit("::").next().unwrap_or_default();
    let listed = NOT_ON_A_CLUSTER.iter().find(|(test, _)| *test == name);
    let (_, reason) = listed.unwrap_or_else(|| panic!("{name} is in no table of tests to leave out"));
    let is_cluster = matches!(StandIn::shared(), Some(StandIn::Cluster(_)));
    if is_cluster {
        println!("left out on a cluster: {reason}");
    }
    is_cluster
}
