//! Carries stream entries to the due sets of all channels. Reads as one consumer of the group `fanout`; what a dead consumer
//! left unacknowledged is adopted. An entry that does not parse is set aside, and one a script fails at keeps no other waiting.
//!
//! Without cluster one reader waits for entries of all partitions. On a cluster a read can wait for those of one partition only:
//! there the workers share the partitions (`crew`).

mod carrier;
mod crew;
mod follower;
mod patrol;
mod rest;

use std::sync::Arc;

use futures_util::future::join;
use tokio_util::sync::CancellationToken;

use crate::store::{AtomicDomain, Store};

use super::{Wake, WorkerSettings, outage::Outages};

use carrier::Carrier;
use follower::Follower;
use patrol::Patrol;

pub(super) use carrier::CHANNELS_REFRESH;

pub(super) async fn run(store: Store, settings: WorkerSettings, wake: Wake, stop: CancellationToken) {
    let carrier = Arc::new(Carrier::new(store, settings, wake, stop.clone()));
    match carrier.store.atomic_domain() {
        AtomicDomain::Node => {
            let outages = Arc::new(Outages::of("carry events to channels"));
            let follower = Follower::of_all(Arc::clone(&carrier), outages);
            let patrol = Patrol::of_all(Arc::clone(&carrier));
            join(follower.run(stop.clone()), patrol.run(stop)).await;
        }
        AtomicDomain::Partition => crew::run(Arc::clone(&carrier), stop).await,
    }
    carrier.store.leave_group(&carrier.settings.consumer).await;
}
