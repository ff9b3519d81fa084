//! Where channels have something to be told: one look at all partitions, all at once.

use std::collections::BTreeMap;

use redis::{Cmd, Value};

use crate::domain::{ChannelId, Partition};

use super::{
    Store, StoreError,
    keys::ChannelKeys,
    link::{Layout, slot_of},
    propagation::LATER,
};

impl Store {
    /// The partitions where something of a channel is due, or leased to somebody; also those that cannot be asked now. One command
    /// per partition, all at once; none with a single partition, which is always worth a look.
    pub async fn partitions_with_work(&self, channel: &ChannelId) -> Vec<Partition> {
        let partitions: Vec<Partition> = self.partitions().all().collect();
        if partitions.len() == 1 {
            return partitions;
        }
        let asks = partitions.iter().map(|partition| {
            let of = self.inner.keys.channel(*partition, channel);
            let mut exists = redis::cmd("EXISTS");
            exists.arg(&of.due).arg(&of.lease);
            (of.due, exists)
        });
        let answers = self.query_each(&asks.collect::<Vec<_>>()).await;
        let is_none = |answer: &Result<Value, StoreError>| matches!(answer, Ok(Value::Int(0)));
        partitions
            .into_iter()
            .zip(answers)
            .filter(|(_, answer)| !is_none(answer))
            .map(|(one, _)| one)
            .collect()
    }

    /// Where a configured channel could be told something now: something is due, or a lease ran out. One command per partition while
    /// nothing waits anywhere, and three more per channel where something does; all at once. A partition that cannot be asked now is
    /// left out, unless none can.
    pub async fn work(&self) -> Result<Vec<(ChannelId, Partition)>, StoreError> {
        let some = self.partitions_holding(|of| [of.due, of.lease]).await?;
        if some.is_empty() {
            return Ok(Vec::new());
        }
        let now_ms = self.now_ms().await?;
        let mut counts: Vec<(String, Cmd)> = Vec::new();
        for partition in &some {
            for channel in self.channels() {
                let of = self.inner.keys.channel(*partition, channel);
                for (key, from, to) in [
                    (&of.due, "-inf".to_owned(), now_ms.to_string()),
                    (&of.due, LATER.to_string(), "+inf".to_owned()),
                    (&of.lease, "-inf".to_owned(), now_ms.to_string()),
                ] {
                    let mut count = redis::cmd("ZCOUNT");
                    count.arg(key).arg(from).arg(to);
                    counts.push((key.clone(), count));
                }
            }
        }
        let answers = self.query_each(&counts).await;
        let places = some
            .iter()
            .flat_map(|partition| self.channels().iter().map(|channel| (channel.clone(), *partition)));
        let is_some = |answer: &Result<Value, StoreError>| matches!(answer, Ok(Value::Int(1..)));
        Ok(places
            .zip(answers.chunks(3))
            .filter(|(_, three)| three.iter().any(is_some))
            .map(|(place, _)| place)
            .collect())
    }

    /// Partitions in which a configured channel has one of these keys. The fault of the first that cannot be asked, if none can.
    pub(super) async fn partitions_holding(
        &self,
        keys: impl Fn(ChannelKeys) -> [String; 2],
    ) -> Result<Vec<Partition>, StoreError> {
        if self.channels().is_empty() {
            return Ok(Vec::new());
        }
        let asks = self.partitions().all().map(|partition| {
            let mut exists = redis::cmd("EXISTS");
            for channel in self.channels() {
                exists.arg(&keys(self.inner.keys.channel(partition, channel)));
            }
            (self.inner.keys.events(partition), exists)
        });
        let answers = self.query_each(&asks.collect::<Vec<_>>()).await;
        let mut found = Vec::new();
        let (mut asked, mut fault) = (false, None);
        for (partition, answer) in self.partitions().all().zip(answers) {
            match answer {
                Ok(count) => {
                    asked = true;
                    found.extend((count != Value::Int(0)).then_some(partition));
                }
                Err(one) => fault = fault.or(Some(one)),
            }
        }
        match fault {
            Some(fault) if !asked => Err(fault),
            Some(_) | None => Ok(found),
        }
    }

    /// The partitions on the same server as this one, as far as that is known; itself included.
    pub async fn beside(&self, partition: Partition) -> Vec<Partition> {
        let all: Vec<_> = self.partitions().all().collect();
        let servers = self.by_server(&all).await;
        servers.into_iter().find(|beside| beside.contains(&partition)).unwrap_or_else(|| vec![partition])
    }

    /// Partitions by the server that has them, as far as that is known; those that nobody serves now are together. In order.
    pub async fn by_server(&self, partitions: &[Partition]) -> Vec<Vec<Partition>> {
        let Layout::Cluster(cluster) = self.inner.nodes.layout() else { return vec![partitions.to_vec()] };
        // Once at least it must have been asked who has what.
        let _ = cluster.masters().await;
        let mut servers: BTreeMap<_, Vec<Partition>> = BTreeMap::new();
        for partition in partitions {
            let server = cluster.known_owner(slot_of(&self.inner.keys.events(*partition)));
            servers.entry(server).or_default().push(*partition);
        }
        servers.into_values().collect()
    }
}
