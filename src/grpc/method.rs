//! The rpcs of the contract, as the layers need to know them. A test compares this table with the proto.

/// One rpc.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// `/stockgate.v1.StockService/Decrement`.
    pub path: &'static str,
    /// How its messages come.
    pub shape: Shape,
    /// Whether it may change something, so that a lost answer leaves the outcome unknown.
    pub writes: bool,
    /// Whether its service is told the deadline, and answers with what it has by then.
    pub is_told_deadline: bool,
}

/// How the messages of an rpc come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One request, one response.
    Unary,
    /// Many requests, one response.
    ClientStream,
    /// One request, many responses.
    ServerStream,
    /// Many requests, many responses.
    TwoWay,
}

impl Shape {
    /// Whether many responses come, so that a status may come after some of them, in trailers.
    pub fn answers_often(self) -> bool {
        match self {
            Self::Unary | Self::ClientStream => false,
            Self::ServerStream | Self::TwoWay => true,
        }
    }
}

const WATCH_STOCK: &str = "/stockgate.v1.StockService/WatchStock";
const TRANSACT: &str = "/stockgate.v1.StockService/Transact";

const fn writes(path: &'static str) -> Method {
    Method { path, shape: Shape::Unary, writes: true, is_told_deadline: false }
}

const fn reads(path: &'static str) -> Method {
    Method { path, shape: Shape::Unary, writes: false, is_told_deadline: false }
}

const fn streams(path: &'static str, shape: Shape, writes: bool) -> Method {
    Method { path, shape, writes, is_told_deadline: true }
}

/// Every rpc, the busiest first: the search ends at the first hit.
pub const METHODS: [Method; 31] = [
    writes("/stockgate.v1.StockService/Decrement"),
    writes("/stockgate.v1.StockService/Reserve"),
    writes("/stockgate.v1.StockService/Commit"),
    writes("/stockgate.v1.StockService/Release"),
    reads("/stockgate.v1.StockService/GetStock"),
    reads("/stockgate.v1.StockService/BatchGetStock"),
    writes("/stockgate.v1.StockService/Restock"),
    writes("/stockgate.v1.StockService/ExtendHold"),
    reads("/stockgate.v1.StockService/GetHold"),
    // Burns the key that was never used.
    writes("/stockgate.v1.StockService/ResolveKey"),
    streams(WATCH_STOCK, Shape::ServerStream, false),
    streams(TRANSACT, Shape::TwoWay, true),
    writes("/stockgate.v1.InventoryService/SetStock"),
    writes("/stockgate.v1.InventoryService/AdjustStock"),
    streams("/stockgate.v1.InventoryService/ImportStock", Shape::ClientStream, true),
    reads("/stockgate.v1.InventoryService/ListStock"),
    reads("/stockgate.v1.InventoryService/ListEvents"),
    // Repairs, when asked to.
    writes("/stockgate.v1.InventoryService/VerifyStock"),
    reads("/stockgate.v1.ChannelService/ListChannels"),
    reads("/stockgate.v1.ChannelService/GetSyncStatus"),
    reads("/stockgate.v1.ChannelService/ListDeadLetters"),
    writes("/stockgate.v1.ChannelService/ReplayDeadLetters"),
    writes("/stockgate.v1.ChannelService/DiscardDeadLetters"),
    writes("/stockgate.v1.ChannelService/PauseChannel"),
    writes("/stockgate.v1.ChannelService/ResumeChannel"),
    writes("/stockgate.v1.ChannelService/Resync"),
    reads("/stockgate.v1.ChannelService/GetStreamStats"),
    // Changes nothing but the audit trail.
    Method { is_told_deadline: true, ..reads("/stockgate.v1.CarrierService/SelectCarrier") },
    writes("/stockgate.v1.CarrierService/RecordDelivery"),
    reads("/stockgate.v1.CarrierService/ListCarriers"),
    reads("/stockgate.v1.CarrierService/ListCarrierEvents"),
];

impl Method {
    /// Where in [`METHODS`] the rpc of a path stands; None for what is not ours (health, reflection, nonsense).
    pub fn position(path: &str) -> Option<usize> {
        METHODS.iter().position(|method| method.path == path)
    }

    /// The rpc of a path.
    pub fn find(path: &str) -> Option<&'static Self> {
        Self::position(path).map(|position| &METHODS[position])
    }

    /// Whether a path is of an rpc that answers often, and so may go on for ever. Asked for every call: two comparisons.
    pub fn may_last(path: &str) -> bool {
        path == WATCH_STOCK || path == TRANSACT
    }

    /// `stockgate.v1.StockService` and `Decrement`.
    pub fn names(&self) -> (&'static str, &'static str) {
        self.path[1..].split_once('/').expect("every path of the table has two slashes")
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::{FileDescriptorSet, MethodDescriptorProto};

    use super::*;

    #[test]
    fn the_table_is_the_contract() {
        let files = FileDescriptorSet::decode(crate::proto::DESCRIPTORS).expect("descriptors decode").file;
        let mut count = 0;
        for service in files.iter().flat_map(|file| &file.service) {
            for method in &service.method {
                let path = format!("/stockgate.v1.{}/{}", service.name(), method.name());
                let known = Method::find(&path).unwrap_or_else(|| panic!("{path} is not in the table"));
                assert_eq!(known.shape, shape(method), "{path}");
                assert_eq!(Method::may_last(&path), known.shape.answers_often(), "{path}");
                assert_eq!(known.names(), (&*format!("stockgate.v1.{}", service.name()), method.name()));
                count += 1;
            }
        }
        assert_eq!(count, METHODS.len());
        assert_eq!(Method::find("/grpc.health.v1.Health/Check"), None);
    }

    fn shape(method: &MethodDescriptorProto) -> Shape {
        match (method.client_streaming(), method.server_streaming()) {
            (false, false) => Shape::Unary,
            (true, false) => Shape::ClientStream,
            (false, true) => Shape::ServerStream,
            (true, true) => Shape::TwoWay,
        }
    }
}
