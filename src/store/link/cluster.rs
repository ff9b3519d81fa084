//! A cluster: who has which slot, asked again and again and whenever a server says otherwise. When a master has no slot any more,
//! connections to it are of no more use: what it answers is not what the cluster knows.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::{AsyncConnectionConfig, RedisResult, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::StoreError,
    LinkSettings, Route,
    route::{client, redis_info, tcp, unavailable},
    slots::{NodeAddress, SlotMap, View},
};

/// How often the cluster is asked who has what.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a look that somebody wanted, so long until the next.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Servers asked at once: one that was cut off may not know of a failover yet.
const ASKED: usize = 3;
/// When one has answered, so long for the others.
const OTHERS_WAIT: Duration = Duration::from_millis(100);
/// Rounds of asking others when nobody answered.
const ROUNDS_MAX: usize = 8;

/// The way to the servers of a cluster.
pub(in super::super) struct Cluster {
    settings: LinkSettings,
    seeds: Vec<NodeAddress>,
    is_tls: bool,
    map: RwLock<Arc<SlotMap>>,
    /// Counts the times that slots changed hands.
    moves: AtomicU64,
    /// Never forgotten: another route to the same server would have terms of its own, and who holds a connection of the first would
    /// not be told when that is of no more use.
    routes: Mutex<HashMap<NodeAddress, Arc<Route>>>,
    /// Those that were asked last, by address.
    asking: Mutex<HashMap<NodeAddress, MultiplexedConnection>>,
    turn: AtomicUsize,
    wanted: Notify,
}

impl Cluster {
    /// That of which `seeds` are some servers.
    pub(super) fn new(settings: LinkSettings, seeds: Vec<NodeAddress>, is_tls: bool) -> Self {
        Self {
            settings,
            seeds,
            is_tls,
            map: RwLock::default(),
            moves: AtomicU64::new(0),
            routes: Mutex::default(),
            asking: Mutex::default(),
            turn: AtomicUsize::new(0),
            wanted: Notify::new(),
        }
    }

    fn map(&self) -> Arc<SlotMap> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts the times that slots changed hands.
    pub(in super::super) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// Who has a slot.
    pub(in super::super) async fn owner(&self, slot: u16) -> Result<NodeAddress, StoreError> {
        if self.map().is_empty() {
            self.look().await?;
        }
        let unserved = || StoreError::NotReady { code: format!("slot {slot} is served by nobody") };
        self.map().owner(slot).cloned().ok_or_else(unserved)
    }

    /// Who has a slot, as far as is known.
    pub(in super::super) fn known_owner(&self, slot: u16) -> Option<NodeAddress> {
        self.map().owner(slot).cloned()
    }

    /// Everybody who has a slot.
    pub(in super::super) async fn masters(&self) -> Result<Vec<NodeAddress>, StoreError> {
        if self.map().is_empty() {
            self.look().await?;
        }
        Ok(self.known_masters())
    }

    /// The same, as far as is known.
    pub(super) fn known_masters(&self) -> Vec<NodeAddress> {
        self.map().masters()
    }

    /// The way to one server, shared by everything that connects to it.
    pub(in super::super) fn route(&self, node: &NodeAddress) -> Arc<Route> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let made = routes.entry(node.clone()).or_insert_with(|| {
            let address = tcp(node.0.clone(), node.1, self.is_tls);
            Arc::new(Route::to_one(self.settings.clone(), address))
        });
        Arc::clone(made)
    }

    /// A server said that another one has a slot: `host:port`, or `:port` for its own host.
    pub(in super::super) fn moved(&self, slot: u16, to: &str) {
        let address =
            to.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
        if let Some(address) = address.filter(|(host, _)| !host.is_empty()) {
            let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
            // One that is not known may be a known one by another name.
            if map.owner(slot) != Some(&address) && map.knows(&address) {
                let mut changed = SlotMap::clone(&map);
                changed.give(slot, &address);
                *map = Arc::new(changed);
                self.moves.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.look_soon();
    }

    /// Somebody was told something else than what is known here.
    pub(in super::super) fn look_soon(&self) {
        self.wanted.notify_one();
    }

    /// Looks again and again who has what, until told to stop.
    pub(in super::super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let watching = async {
            loop {
                let _ = timeout(LOOK_EVERY, self.wanted.notified()).await;
                // Nobody there to say so changes nothing.
                let _ = self.look().await;
                sleep(LOOK_PAUSE).await; // why: a thousand callers who are sent elsewhere are one reason to look
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = watching => {}
        }
    }

    /// Asks some servers, and goes by the newest that any of them knows.
    async fn look(&self) -> Result<(), StoreError> {
        let known = self.map();
        let mut all = known.masters();
        for other in known.replicas.iter().chain(&self.seeds) {
            if !all.contains(other) {
                all.push(other.clone());
            }
        }
        // In turns: the newest that three know, and soon after the newest of all.
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = all.len().max(1);
        all.rotate_left(first % count);
        let mut fault = None;
        for some in all.chunks(ASKED).take(ROUNDS_MAX) {
            let mut views = Vec::new();
            let mut answers: FuturesUnordered<_> = some.iter().map(|node| self.ask(node)).collect();
            let mut patience = self.settings.connect_timeout;
            // One that is frozen must not be waited for once another has answered.
            while let Ok(Some(answer)) = timeout(patience, answers.next()).await {
                match answer {
                    Ok(view) if !view.masters.is_empty() => {
                        views.push(view);
                        patience = patience.min(OTHERS_WAIT);
                    }
                    Ok(_) => {}
                    Err(error) => fault = Some(error),
                }
            }
            let map = SlotMap::of(views);
            if !map.is_empty() {
                self.take(map);
                return Ok(());
            }
        }
        Err(fault.unwrap_or_else(|| StoreError::NotReady {
            code: "nobody serves a slot of this cluster".to_owned(),
        }))
    }

    fn take(&self, map: SlotMap) {
        let now = Arc::new(map);
        let (before, is_same) = {
            let mut current = self.map.write().unwrap_or_else(PoisonError::into_inner);
            let is_same = current.is_same(&now);
            if is_same && current.replicas == now.replicas {
                return;
            }
            (std::mem::replace(&mut *current, Arc::clone(&now)), is_same)
        };
        if is_same {
            return;
        }
        self.moves.fetch_add(1, Ordering::Relaxed);
        let masters = now.masters();
        if before.is_empty() {
            tracing::info!(masters = masters.len(), "redis is a cluster");
        } else {
            tracing::info!(masters = masters.len(), "slots of the redis cluster changed hands");
        }
        let asked = |node: &NodeAddress| now.knows(node) || self.seeds.contains(node);
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).retain(|node, _| asked(node));
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, route) in routes.iter().filter(|(node, _)| !masters.contains(node)) {
            route.end_term(route.term());
        }
    }

    async fn ask(&self, node: &NodeAddress) -> Result<View, StoreError> {
        let patience = self.settings.connect_timeout;
        // Taken out, so that one that does not answer in time is not asked again.
        let kept = self.asking.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
        let asking = async {
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect(node).await?,
            };
            let mut question = redis::cmd("CLUSTER");
            let text: RedisResult<String> = question.arg("NODES").query_async(&mut connection).await;
            text.map(|text| (text, connection))
        };
        let silent = || StoreError::Unavailable { source: None };
        let (text, connection) =
            timeout(patience, asking).await.map_err(|_| silent())?.map_err(unavailable)?;
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone(), connection);
        Ok(View::read(&text, node))
    }

    async fn connect(&self, node: &NodeAddress) -> RedisResult<MultiplexedConnection> {
        let address = tcp(node.0.clone(), node.1, self.is_tls);
        let patience = Some(self.settings.connect_timeout);
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(patience).set_response_timeout(patience);
        let client = client(&self.settings, address, redis_info(&self.settings))?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{super::Address, Layout, PerServer},
        *,
    };

    /// Each of these has a slot.
    fn map(ports: [u16; 2]) -> SlotMap {
        let line = |port| format!("a{port} 10.0.0.1:{port}@1 master - 0 0 1 connected {port}\n");
        SlotMap::of(vec![View::read(&ports.map(line).concat(), &NodeAddress::default())])
    }

    #[tokio::test]
    async fn what_is_kept_for_a_server_that_left_goes_when_another_comes() {
        let address = Address::parse("redis+cluster://10.0.0.1:1").expect("is an address");
        let layout = Layout::open(&LinkSettings::new(address)).expect("can be opened");
        let kept = PerServer::new(&layout, |_| ());
        let Layout::Cluster(cluster) = layout else { panic!("it is a cluster") };
        cluster.take(map([1, 2]));
        let all = kept.all().await.expect("are known");
        let [stays, leaves] = [0, 1].map(|index| Arc::downgrade(&all[index]));
        drop(all);
        cluster.take(map([1, 3]));
        assert_eq!(kept.all().await.expect("are known").len(), 2);
        assert!(stays.upgrade().is_some() && leaves.upgrade().is_none());
    }
}
