//! Every Redis key, spelled here and nowhere else. Keys of one partition share a hash tag, so one script may touch them
//! all, on a cluster too.

use crate::domain::{ChannelId, Partition, carrier::SourceId};

/// Spells keys under one namespace; several shops may share a Redis.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    namespace: String,
}

/// Keys of one partition and one channel. Beside the design's four there are two sorted sets, so that counts and the oldest
/// unconfirmed change are read without walking the work: leases by their end, SKUs by their oldest unconfirmed change.
#[derive(Debug, Clone)]
pub(super) struct ChannelKeys {
    pub(super) due: String,
    pub(super) lease: String,
    pub(super) dirty: String,
    pub(super) work: String,
    pub(super) sync: String,
    pub(super) dead: String,
}

/// Keys of what is measured of carriers; of no partition, and together in one slot.
#[derive(Debug, Clone)]
pub(super) struct CarrierKeys {
    pub(super) deliveries: String,
    pub(super) names: String,
    pub(super) records: String,
    pub(super) recorded: String,
    pub(super) events: String,
}

impl Keys {
    pub(super) fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    fn of(&self, partition: Partition, rest: &str) -> String {
        format!("{}:{{p{partition}}}:{rest}", self.namespace)
    }

    /// Facts about the whole namespace: the number of partitions.
    pub(super) fn meta(&self) -> String {
        format!("{}:meta", self.namespace)
    }

    /// Written by every gateway again and again, to see whether Redis takes writes.
    pub(super) fn pulse(&self) -> String {
        format!("{}:pulse", self.namespace)
    }

    /// Which run changes the number of partitions.
    pub(super) fn repartition(&self) -> String {
        format!("{}:repartition", self.namespace)
    }

    /// Where a layout is made before it takes the names of another: each key in the slot of the one it will be.
    pub(super) fn staged_namespace(namespace: &str) -> String {
        format!("{namespace}:next")
    }

    /// When a worker last said that it serves a channel.
    pub(super) fn channels(&self) -> String {
        format!("{}:channels", self.namespace)
    }

    /// Under which policy a channel was told about all stock.
    pub(super) fn policies(&self) -> String {
        format!("{}:policies", self.namespace)
    }

    /// Rings for the workers of all processes.
    pub(super) fn bell(&self) -> String {
        format!("{}:bell", self.namespace)
    }

    /// The workers that read events, by when they were last heard of.
    pub(super) fn workers(&self) -> String {
        format!("{}:workers", self.namespace)
    }

    /// Which worker walks all stock for a channel.
    pub(super) fn walk(&self, channel: &ChannelId) -> String {
        format!("{}:{{c:{channel}}}:walk", self.namespace)
    }

    /// Since when SKUs are sold out, and how many channels still show units of them.
    pub(super) fn sold_out(&self, partition: Partition) -> String {
        self.of(partition, "soldout")
    }

    /// Entries of the stream that cannot be carried to channels.
    pub(super) fn poison(&self, partition: Partition) -> String {
        self.of(partition, "poison")
    }

    /// Written behind a batch that must be durable, so that there is a newest write to wait for.
    pub(super) fn nudge(&self, partition: Partition) -> String {
        self.of(partition, "nudge")
    }

    pub(super) fn stock(&self, partition: Partition) -> String {
        self.of(partition, "stock")
    }

    pub(super) fn records(&self, partition: Partition, window: i64) -> String {
        self.of(partition, &format!("rec:{window}"))
    }

    pub(super) fn holds(&self, partition: Partition) -> String {
        self.of(partition, "holds")
    }

    pub(super) fn ended(&self, partition: Partition, window: i64) -> String {
        self.of(partition, &format!("ended:{window}"))
    }

    pub(super) fn deadlines(&self, partition: Partition) -> String {
        self.of(partition, "hx")
    }

    pub(super) fn events(&self, partition: Partition) -> String {
        self.of(partition, "ev")
    }

    /// The eight keys `transact` takes per partition, in its order.
    pub(super) fn transact(&self, partition: Partition, window: i64) -> [String; 8] {
        [
            self.stock(partition),
            self.records(partition, window),
            self.records(partition, window - 1),
            self.holds(partition),
            self.ended(partition, window),
            self.ended(partition, window - 1),
            self.deadlines(partition),
            self.events(partition),
        ]
    }

    /// What steers one channel: operator's pause, breaker, rate. With a hash tag of its own, as it is no partition's.
    pub(super) fn control(&self, channel: &ChannelId) -> String {
        format!("{}:{{c:{channel}}}:ctl", self.namespace)
    }

    fn of_carriers(&self, rest: &str) -> String {
        format!("{}:{{carriers}}:{rest}", self.namespace)
    }

    pub(super) fn carriers(&self) -> CarrierKeys {
        CarrierKeys {
            deliveries: self.of_carriers("deliveries"),
            names: self.of_carriers("names"),
            records: self.of_carriers("rec"),
            recorded: self.of_carriers("recorded"),
            events: self.of_carriers("ev"),
        }
    }

    /// What a source answered when it was asked this.
    pub(super) fn quotes(&self, asked: u128, source: &SourceId) -> String {
        self.of_carriers(&format!("quotes:{asked:032x}:{source}"))
    }

    /// What steers the calls to one source of prices: breaker, rate.
    pub(super) fn source_control(&self, source: &SourceId) -> String {
        format!("{}:{{q:{source}}}:ctl", self.namespace)
    }

    pub(super) fn channel(&self, partition: Partition, channel: &ChannelId) -> ChannelKeys {
        ChannelKeys {
            due: self.of(partition, &format!("due:{channel}")),
            lease: self.of(partition, &format!("lease:{channel}")),
            dirty: self.of(partition, &format!("dirty:{channel}")),
            work: self.of(partition, &format!("work:{channel}")),
            sync: self.of(partition, &format!("sync:{channel}")),
            dead: self.of(partition, &format!("dead:{channel}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part of a key Redis Cluster hashes.
    fn hash_tag(key: &str) -> &str {
        let open = key.find('{').expect("has a tag");
        &key[open + 1..key.find('}').expect("tag ends")]
    }

    #[test]
    fn keys_are_pinned_and_share_one_slot() {
        let keys = Keys::new("sg");
        let seven = Partition(7);
        let channel = keys.channel(seven, &ChannelId::parse("web").expect("legal"));
        let transact = keys.transact(seven, 20_778);
        assert_eq!(keys.meta(), "sg:meta");
        assert_eq!(keys.control(&ChannelId::parse("web").expect("legal")), "sg:{c:web}:ctl");
        assert_eq!(
            [keys.channels(), keys.policies(), keys.workers()],
            ["sg:channels", "sg:policies", "sg:workers"]
        );
        assert_eq!(
            transact,
            [
                "sg:{p7}:stock",
                "sg:{p7}:rec:20778",
                "sg:{p7}:rec:20777",
                "sg:{p7}:holds",
                "sg:{p7}:ended:20778",
                "sg:{p7}:ended:20777",
                "sg:{p7}:hx",
                "sg:{p7}:ev",
            ]
        );
        assert_eq!([channel.due.as_str(), &keys.nudge(seven)], ["sg:{p7}:due:web", "sg:{p7}:nudge"]);
        let all = transact.iter().chain([
            &channel.due,
            &channel.lease,
            &channel.dirty,
            &channel.work,
            &channel.sync,
            &channel.dead,
        ]);
        for key in all {
            assert_eq!(hash_tag(key), "p7", "{key}");
        }
    }

    #[test]
    fn keys_of_carriers_share_one_slot_and_each_source_has_its_own() {
        let keys = Keys::new("sg");
        let source = SourceId::parse("easypost").expect("legal");
        let CarrierKeys { deliveries, names, records, recorded, events } = keys.carriers();
        let all = [deliveries, names, records, recorded, events, keys.quotes(0xab, &source)];
        let expected = [
            "sg:{carriers}:deliveries",
            "sg:{carriers}:names",
            "sg:{carriers}:rec",
            "sg:{carriers}:recorded",
            "sg:{carriers}:ev",
            "sg:{carriers}:quotes:000000000000000000000000000000ab:easypost",
        ];
        assert_eq!(all, expected);
        assert!(all.iter().all(|key| hash_tag(key) == "carriers"));
        assert_eq!(keys.source_control(&source), "sg:{q:easypost}:ctl");
    }
}
