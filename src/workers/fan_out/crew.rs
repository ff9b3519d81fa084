//! Shares the partitions among the workers of a cluster: each is read by one of those that are there, so all of them together hold
//! one connection for each. Who comes or goes is noticed within a second, and who is told to stop hands over at once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join;
use tokio::{sync::watch, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::domain::{Partition, partition_owner};

use super::{
    super::outage::{Outage, Outages},
    Carrier, Follower, Patrol, rest,
};

/// How often a worker says that it is there, and looks who else is.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

/// Reads as one of several workers until told to stop.
pub(super) async fn run(carrier: Arc<Carrier>, stop: CancellationToken) {
    let (ours, told) = watch::channel(HashSet::new());
    let patrol = Patrol::new(Arc::clone(&carrier), told);
    join(read(carrier, &ours, &stop), patrol.run(stop.clone())).await;
}

async fn read(carrier: Arc<Carrier>, ours: &watch::Sender<HashSet<Partition>>, stop: &CancellationToken) {
    let mut crew = Crew {
        outages: Arc::new(Outages::of("carry events of some partitions to channels")),
        carrier,
        readers: HashMap::new(),
        rest: Vec::new(),
        rest_stop: CancellationToken::new(),
        tasks: JoinSet::new(),
    };
    let mut outage = Outage::of("share the partitions with other workers", None);
    let mut is_known = false;
    while !stop.is_cancelled() {
        let (store, worker) = (&crew.carrier.store, &crew.carrier.settings.consumer);
        match store.announce(worker).await {
            Ok(workers) => {
                outage.is_over();
                let is_ours = |partition: &Partition| partition_owner(*partition, &workers) == Some(worker);
                let share: Vec<Partition> = store.partitions().all().filter(is_ours).collect();
                if !is_known {
                    is_known = true;
                    tell_others(&crew.carrier).await;
                }
                ours.send_replace(share.iter().copied().collect());
                crew.deal(share).await;
            }
            // Whoever read a partition goes on, and the patrol of each looks at all.
            Err(fault) => outage.is_felt(&fault),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = crew.carrier.wake.crew.notified() => {}
            () = sleep(ANNOUNCE_EVERY) => {} // why: the pace of saying that we are there
        }
    }
    // First of all, so that others read on while we finish what we have.
    if let Err(fault) = crew.carrier.store.retire(&crew.carrier.settings.consumer).await {
        debug!(
            error = &fault as &dyn std::error::Error,
            "cannot say that this worker goes; others notice soon"
        );
    }
    crew.end().await;
}

async fn tell_others(carrier: &Carrier) {
    if let Err(fault) = carrier.store.ring_crew().await {
        debug!(
            error = &fault as &dyn std::error::Error,
            "cannot ring for other workers; they look by themselves"
        );
    }
}

/// The readers of this worker.
struct Crew {
    carrier: Arc<Carrier>,
    outages: Arc<Outages>,
    /// Partitions with a connection of their own, and what ends their readers.
    readers: HashMap<Partition, CancellationToken>,
    /// The other partitions that are ours, by server.
    rest: Vec<Vec<Partition>>,
    rest_stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Crew {
    /// Reads these partitions and no others. Who read one of them goes on.
    async fn deal(&mut self, share: Vec<Partition>) {
        let ours: HashSet<Partition> = share.iter().copied().collect();
        self.readers.retain(|partition, stop| {
            let stays = ours.contains(partition);
            if !stays {
                stop.cancel();
            }
            stays
        });
        let readers_max = self.carrier.settings.blocking_readers_max;
        let mut rest = Vec::new();
        for partition in share {
            if self.readers.contains_key(&partition) {
                continue;
            }
            if self.readers.len() >= readers_max {
                rest.push(partition);
                continue;
            }
            let stop = CancellationToken::new();
            let follower = Follower::of_one(Arc::clone(&self.carrier), Arc::clone(&self.outages), partition);
            self.tasks.spawn(follower.run(stop.clone()));
            self.readers.insert(partition, stop);
        }
        let rest = self.carrier.store.by_server(&rest).await;
        if rest != self.rest {
            self.rest_stop.cancel();
            self.rest_stop = CancellationToken::new();
            for partitions in rest.iter().filter(|partitions| !partitions.is_empty()) {
                let (carrier, outages) = (Arc::clone(&self.carrier), Arc::clone(&self.outages));
                self.tasks.spawn(rest::read(carrier, outages, partitions.clone(), self.rest_stop.clone()));
            }
            self.rest = rest;
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Ends all readers, and waits for them.
    async fn end(mut self) {
        self.readers.values().for_each(CancellationToken::cancel);
        self.rest_stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}
