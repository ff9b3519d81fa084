//! What the store must be told.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::domain::{ChannelId, Durability, Partitions, PublishPolicy};

use super::LinkSettings;

/// Everything the store must be told; defaults are those of `config.default.toml`.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// How Redis is reached.
    pub link: LinkSettings,
    /// Namespace of all keys.
    pub namespace: String,
    /// Number of partitions, fixed at the first start.
    pub partitions: Partitions,
    /// What one script may touch. On a cluster always one partition.
    pub domain: AtomicDomain,
    /// How long a call may wait, on a cluster, for a slot that moves or that nobody serves.
    pub cluster_wait: Duration,
    /// How long records and ended holds are kept at least.
    pub retention: Duration,
    /// How long a partition holds its part of a cart while nobody has decided it; never longer than the retention.
    pub cart_ttl: Duration,
    /// Calls per script at most.
    pub batch_max: usize,
    /// Lines per script at most.
    pub lines_max: usize,
    /// Scripts on their way at most.
    pub scripts_in_flight_max: usize,
    /// Calls that must wait for another script to follow one that is on its way.
    pub overlap_calls_min: usize,
    /// Calls waiting at most; half of them for one SKU.
    pub queue_max: usize,
    /// Connections of their own (blocking reads) at most.
    pub pool_max: usize,
    /// The configured channels, in order.
    pub channels: Vec<ChannelId>,
    /// How much of the stock each of them shows.
    pub policies: HashMap<ChannelId, PublishPolicy>,
    /// How long a claim keeps others away.
    pub lease: Duration,
    /// The clock scripts go by.
    pub clock: Clock,
    /// How durable changes are when the caller does not say.
    pub durability: DurabilitySettings,
}

/// What one script may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtomicDomain {
    /// Every partition: all keys are on one server.
    Node,
    /// The keys of one partition.
    Partition,
}

/// How durable changes are.
#[derive(Debug, Clone, Copy)]
pub struct DurabilitySettings {
    /// Unless the caller asks for another.
    pub level: Durability,
    /// How long a batch may wait to be as durable as asked; what is reached by then is the answer. 1 ms and up.
    pub wait_timeout: Duration,
}

impl Default for DurabilitySettings {
    /// Memory, and a second.
    fn default() -> Self {
        Self { level: Durability::Memory, wait_timeout: Duration::from_secs(1) }
    }
}

/// The clock scripts go by.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The one of Redis: the same for every gateway.
    #[default]
    Redis,
    /// One that is moved by hand, in ms; for tests.
    Moved(Arc<AtomicI64>),
}

impl Clock {
    /// What scripts take as now: nothing for the Redis clock.
    pub(super) fn argument(&self) -> String {
        match self {
            Self::Redis => String::new(),
            Self::Moved(now_ms) => now_ms.load(Ordering::SeqCst).to_string(),
        }
    }
}
