//! A slot that moves from one master to another while it is used, as an operator moves it.

use crate::{
    cluster_nodes::{Cluster, MASTERS, command, id_of},
    gateway::eventually,
    guarded::WITHIN,
};

/// Keys moved at once: few, so that a slot is between two masters for a while.
const KEYS_AT_ONCE: &str = "2";

/// A slot on its way: both masters know, and each new key is made at the second.
pub(crate) struct Move<'a> {
    cluster: &'a Cluster,
    slot: String,
    from: usize,
    to: usize,
}

impl Cluster {
    /// Begins to move the slot of a key to another of the first masters; nothing is moved yet.
    pub(crate) async fn begin_move(&self, key: &str) -> Move<'_> {
        let (slot, from) = (self.slot_of(key).await.to_string(), self.master_of(key).await);
        let to = (from + 1) % MASTERS;
        let begun = Move { cluster: self, slot, from, to };
        begun.set_slot(to, &["IMPORTING", &id_of(from)]).await;
        begun.set_slot(from, &["MIGRATING", &id_of(to)]).await;
        begun
    }
}

impl Move<'_> {
    /// Moves some keys; how many.
    pub(crate) async fn some_keys(&self) -> usize {
        let cluster = self.cluster;
        let words = ["CLUSTER", "GETKEYSINSLOT", &self.slot, KEYS_AT_ONCE];
        let keys: Vec<String> = cluster.tell(self.from, &words).await;
        if keys.is_empty() {
            return 0;
        }
        let (address, port) = cluster.place(self.to);
        let mut words = vec!["MIGRATE", &address, &port, "", "0", "5000", "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        cluster.tell::<String>(self.from, &words).await;
        keys.len()
    }

    /// Moves all keys that are left and tells everybody who has the slot now; returns that node.
    pub(crate) async fn finish(self) -> usize {
        while self.some_keys().await > 0 {}
        // The new master first: it must not be without an owner in between.
        for node in [self.to, self.from] {
            self.set_slot(node, &["NODE", &id_of(self.to)]).await;
        }
        let other = (0..MASTERS).find(|node| ![self.from, self.to].contains(node)).unwrap();
        self.set_slot(other, &["NODE", &id_of(self.to)]).await;
        eventually("the old master has let go of the slot", WITHIN, async || {
            let count: usize =
                self.cluster.ask(self.from, &command(&["CLUSTER", "COUNTKEYSINSLOT", &self.slot])).await?;
            (count == 0).then_some(())
        })
        .await;
        self.to
    }

    async fn set_slot(&self, node: usize, what: &[&str]) {
        let words = [&["CLUSTER", "SETSLOT", &self.slot], what].concat();
        self.cluster.tell::<()>(node, &words).await;
    }
}
