//! One server, or the masters of a cluster: how they are found, and what is kept for each of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;

use super::{
    super::address::Place,
    Cluster, LinkSettings, NodeAddress, Route, StoreError,
    route::{check_client, tcp},
    slot_of,
};

/// How the servers are found.
#[derive(Clone)]
pub(in super::super) enum Layout {
    /// One has all keys.
    One(Arc<Route>),
    /// Each has some slots.
    Cluster(Arc<Cluster>),
}

impl Layout {
    /// As the address says. Nothing is sent yet; what cannot be a client is found here.
    pub(in super::super) fn open(settings: &LinkSettings) -> Result<Self, StoreError> {
        Ok(match &settings.address.place {
            Place::Single(address) => {
                check_client(settings, address.clone())?;
                Self::One(Arc::new(Route::to_one(settings.clone(), address.clone())))
            }
            Place::Sentinels { hosts, master, is_tls } => {
                Self::One(Arc::new(Route::by_sentinels(settings.clone(), hosts, master, *is_tls)?))
            }
            Place::Cluster { hosts, is_tls } => {
                for (host, port) in hosts {
                    check_client(settings, tcp(host.clone(), *port, *is_tls))?;
                }
                Self::Cluster(Arc::new(Cluster::new(settings.clone(), hosts.clone(), *is_tls)))
            }
        })
    }

    /// Looks again and again where the servers are, until told to stop.
    pub(in super::super) async fn watch(self, stop: CancellationToken) {
        match self {
            Self::One(route) => route.watch(stop).await,
            Self::Cluster(cluster) => cluster.watch(stop).await,
        }
    }
}

/// Something for each server, made when it is first needed.
pub(in super::super) struct PerServer<T> {
    make: Box<dyn Fn(Arc<Route>) -> T + Send + Sync>,
    kept: Kept<T>,
}

enum Kept<T> {
    One(Arc<T>),
    /// By address.
    Each(Arc<Cluster>, Mutex<HashMap<NodeAddress, Arc<T>>>),
}

impl<T> PerServer<T> {
    /// Makes it from the way to the server.
    pub(in super::super) fn new(
        layout: &Layout,
        make: impl Fn(Arc<Route>) -> T + Send + Sync + 'static,
    ) -> Self {
        let kept = match layout {
            Layout::One(route) => Kept::One(Arc::new(make(Arc::clone(route)))),
            Layout::Cluster(cluster) => Kept::Each(Arc::clone(cluster), Mutex::default()),
        };
        Self { make: Box::new(make), kept }
    }

    /// That of the server that has a key.
    pub(in super::super) async fn of(&self, key: &str) -> Result<Arc<T>, StoreError> {
        Ok(match &self.kept {
            Kept::One(one) => Arc::clone(one),
            Kept::Each(cluster, kept) => self.at(cluster, kept, cluster.owner(slot_of(key)).await?),
        })
    }

    /// That of every master; without cluster of the only one.
    pub(in super::super) async fn all(&self) -> Result<Vec<Arc<T>>, StoreError> {
        Ok(match &self.kept {
            Kept::One(one) => vec![Arc::clone(one)],
            Kept::Each(cluster, kept) => {
                let masters = cluster.masters().await?.into_iter();
                masters.map(|node| self.at(cluster, kept, node)).collect()
            }
        })
    }

    fn at(&self, cluster: &Cluster, kept: &Mutex<HashMap<NodeAddress, Arc<T>>>, node: NodeAddress) -> Arc<T> {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.contains_key(&node) {
            // Servers come and go for as long as a gateway runs: those that left go when another comes.
            let masters = cluster.known_masters();
            kept.retain(|other, _| masters.contains(other));
        }
        let made = kept.entry(node).or_insert_with_key(|node| Arc::new((self.make)(cluster.route(node))));
        Arc::clone(made)
    }
}
