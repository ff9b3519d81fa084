//! Which server of a cluster has which of its 16,384 slots, as `CLUSTER NODES` tells it.

use crc::{CRC_16_XMODEM, Crc};

const SLOTS: u16 = 16_384;
const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// Where a server is: host and port.
pub(in super::super) type NodeAddress = (String, u16);

/// The slot of a key: of what stands between its first braces, else of all of it.
pub(in super::super) fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    CRC.checksum(hashed.as_bytes()) % SLOTS
}

/// What one server says of the cluster.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) masters: Vec<Master>,
    /// Others that can be asked.
    pub(super) replicas: Vec<NodeAddress>,
}

/// A master and its slots.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Master {
    pub(super) address: NodeAddress,
    /// Of two who claim a slot, the greater one has it.
    epoch: u64,
    ranges: Vec<(u16, u16)>,
}

impl View {
    /// Reads the answer of `asked` to CLUSTER NODES; a line that is none is left out. A server that does not know its own address is
    /// where it was asked.
    pub(super) fn read(text: &str, asked: &NodeAddress) -> Self {
        let mut view = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, place, flags, _, _, _, epoch, _, slots @ ..] = &words[..] else { continue };
            let flags: Vec<&str> = flags.split(',').collect();
            if flags.contains(&"noaddr") || flags.contains(&"handshake") {
                continue;
            }
            let Some(address) = address(place, asked, flags.contains(&"myself")) else { continue };
            if flags.contains(&"master") {
                let epoch = epoch.parse().unwrap_or_default();
                // What stands in brackets is on its way, and still here.
                let ranges = slots.iter().filter_map(|range| slot_range(range)).collect();
                view.masters.push(Master { address, epoch, ranges });
            } else if !flags.contains(&"fail") {
                view.replicas.push(address);
            }
        }
        view
    }
}

/// `<ip>:<port>@<bus port>[,<host name>]`. A server with a name is called by it: certificates name names.
fn address(place: &str, asked: &NodeAddress, is_asked: bool) -> Option<NodeAddress> {
    let (socket, rest) = place.split_once('@')?;
    let (ip, port) = socket.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let name = rest.split(',').nth(1).filter(|name| !name.is_empty() && !name.contains('='));
    match name.unwrap_or(ip) {
        "" if is_asked => Some((asked.0.clone(), port)),
        "" => None,
        host => Some((host.to_owned(), port)),
    }
}

fn slot_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < SLOTS).then_some((first, last))
}

/// Who has which slot.
#[derive(Debug, Clone, Default)]
pub(super) struct SlotMap {
    nodes: Vec<NodeAddress>,
    /// Of each slot: which of `nodes` has it, and since which epoch. Empty: nothing is known yet.
    owners: Vec<Option<(usize, u64)>>,
    pub(super) replicas: Vec<NodeAddress>,
}

impl SlotMap {
    /// What several servers say, taken together. O(slots).
    pub(super) fn of(views: Vec<View>) -> Self {
        let mut map = Self { owners: vec![None; usize::from(SLOTS)], ..Self::default() };
        for view in views {
            for master in view.masters {
                let node = map.node(&master.address);
                for slot in master.ranges.iter().flat_map(|(first, last)| *first..=*last) {
                    let owner = map.owners[usize::from(slot)].get_or_insert((node, master.epoch));
                    if owner.1 < master.epoch {
                        *owner = (node, master.epoch);
                    }
                }
            }
            for replica in view.replicas {
                if !map.replicas.contains(&replica) {
                    map.replicas.push(replica);
                }
            }
        }
        map
    }

    fn node(&mut self, address: &NodeAddress) -> usize {
        self.nodes.iter().position(|known| known == address).unwrap_or_else(|| {
            self.nodes.push(address.clone());
            self.nodes.len() - 1
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owners.iter().all(Option::is_none)
    }

    pub(super) fn owner(&self, slot: u16) -> Option<&NodeAddress> {
        let (node, _) = self.owners.get(usize::from(slot)).copied().flatten()?;
        Some(&self.nodes[node])
    }

    /// One server was told to be asked for a slot from now on, by the one that had it.
    pub(super) fn give(&mut self, slot: u16, address: &NodeAddress) {
        let node = self.node(address);
        if let Some(owner) = self.owners.get_mut(usize::from(slot)) {
            *owner = Some((node, owner.map_or(0, |(_, epoch)| epoch)));
        }
    }

    /// Everybody who has a slot, in order.
    pub(super) fn masters(&self) -> Vec<NodeAddress> {
        let mut has_slots = vec![false; self.nodes.len()];
        for (node, _) in self.owners.iter().flatten() {
            has_slots[*node] = true;
        }
        let with_slots = self.nodes.iter().zip(has_slots).filter(|(_, has)| *has);
        with_slots.map(|(node, _)| node.clone()).collect()
    }

    /// Whether a server is one of the cluster by this name.
    pub(super) fn knows(&self, address: &NodeAddress) -> bool {
        self.nodes.contains(address) || self.replicas.contains(address)
    }

    /// Whether every slot is where it was.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (0..SLOTS).all(|slot| self.owner(slot) == other.owner(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> NodeAddress {
        ("asked".to_owned(), 1)
    }

    fn at(port: u16) -> NodeAddress {
        ("10.0.0.1".to_owned(), port)
    }

    #[test]
    fn slots_are_those_of_redis() {
        // As `redis-cli CLUSTER KEYSLOT` says.
        for (key, slot) in [("foo", 12_182), ("{foo}:bar", 12_182), ("a{}b", 13_694), ("sg:meta", 10_543)] {
            assert_eq!(slot_of(key), slot, "{key}");
        }
    }

    #[test]
    fn reads_what_a_cluster_says() {
        let text = "07c3 10.0.0.1:7001@17001 myself,master - 0 0 3 connected 0-5460 5462 [5461->-9f]\n\
                    67ed :7000@17000,redis-2.shop master - 0 1 2 connected 5461-5461\n\
                    292f 10.0.0.1:7003@17003,,shard-id=9a slave 67ed 0 1 2 connected\n\
                    aaaa :0@0 master,noaddr - 0 1 0 disconnected\nnonsense";
        let view = View::read(text, &asked());
        let masters: Vec<_> =
            view.masters.iter().map(|one| (one.address.0.as_str(), one.ranges.len())).collect();
        assert_eq!(masters, [("10.0.0.1", 2), ("redis-2.shop", 1)]);
        assert_eq!(view.replicas, [at(7003)]);
        let alone = View::read("07c3 :7001@17001 myself,master - 0 0 1 connected 0-16383", &asked());
        assert_eq!(alone.masters[0].address, ("asked".to_owned(), 7001));
    }

    #[test]
    fn the_newest_claim_of_a_slot_counts() {
        let view = |port: u16, epoch: u64| {
            let text = format!("a 10.0.0.1:{port}@1 master - 0 0 {epoch} connected 0-9");
            View::read(&text, &asked())
        };
        for views in [vec![view(1, 3), view(2, 7)], vec![view(2, 7), view(1, 3)]] {
            let map = SlotMap::of(views);
            assert_eq!(map.owner(9), Some(&at(2)));
            assert_eq!(map.masters(), [at(2)]);
            assert_eq!(map.owner(10), None);
        }
        let mut map = SlotMap::of(vec![view(1, 3)]);
        let before = map.clone();
        map.give(4, &at(5));
        assert_eq!((map.owner(4), map.owner(5)), (Some(&at(5)), Some(&at(1))));
        assert!(!map.is_same(&before));
    }
}
