//! What the gateway's Redis keeps in memory for each SKU, record and event.

use anyhow::Result;
use redis::aio::MultiplexedConnection;

use crate::rig::gateway::Gateway;

/// Bytes by the last part of the keys' names, and how many are in them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) stock: Share,
    pub(crate) records: Share,
    /// Entries of the stream, of which each holds the events of a script.
    pub(crate) entries: Share,
    /// All that Redis allocated, what it keeps for itself included.
    pub(crate) used_bytes: u64,
}

/// Bytes of so many.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Share {
    pub(crate) bytes: u64,
    pub(crate) count: u64,
}

impl Share {
    pub(crate) fn bytes_each(self) -> f64 {
        self.bytes as f64 / self.count.max(1) as f64
    }
}

impl Memory {
    /// Asks Redis, which looks at every field: not while it is measured.
    pub(crate) async fn of(gateway: &Gateway) -> Result<Self> {
        let mut redis = gateway.redis().await?;
        let mut memory = Self { used_bytes: used(&mut redis).await?, ..Self::default() };
        // A gateway without channels keeps a dozen keys.
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await?;
        for key in keys {
            let (share, length) = match key.split(':').nth(2) {
                Some("stock") => (&mut memory.stock, "HLEN"),
                Some("rec") => (&mut memory.records, "HLEN"),
                Some("ev") => (&mut memory.entries, "XLEN"),
                _ => continue,
            };
            let asked = redis::cmd("MEMORY").arg(&["USAGE", &key, "SAMPLES", "0"]).to_owned();
            let bytes: u64 = asked.query_async(&mut redis).await?;
            let count: u64 = redis::cmd(length).arg(&key).query_async(&mut redis).await?;
            share.bytes += bytes;
            share.count += count;
        }
        Ok(memory)
    }
}

async fn used(redis: &mut MultiplexedConnection) -> Result<u64> {
    let info: String = redis::cmd("INFO").arg("memory").query_async(redis).await?;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(used.unwrap_or_default().trim().parse()?)
}
