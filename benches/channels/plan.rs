//! Who takes part: so many channels of which the last three fall ill, so many SKUs of which a hundred are hot, and how long.

use std::{net::SocketAddr, time::Duration};

use crate::body;

/// The SKUs which take half of all changes.
pub(crate) const HOT: usize = 100;

/// How a channel behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answers 200 at once.
    Healthy,
    /// Answers 500 at once.
    Dead,
    /// Answers 200 after [`SLOW`].
    Slow,
    /// Answers four calls of five with 429 and `Retry-After: 1`, the fifth with 200.
    Throttled,
}

/// How long the slow one takes; shorter than the timeout of a call, which is 5 s.
pub(crate) const SLOW: Duration = Duration::from_secs(2);

/// What the sick ones are, in the order of the last channels.
pub(crate) const ILLNESSES: [Behaviour; 3] = [Behaviour::Dead, Behaviour::Slow, Behaviour::Throttled];

/// How much is measured, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) channels: usize,
    pub(crate) skus: usize,
    /// Changes per second.
    pub(crate) rate: u32,
    pub(crate) warm_up: Duration,
    /// How long a round is measured, after its warm-up.
    pub(crate) round: Duration,
    pub(crate) rounds: u32,
    /// SKUs in one call at most.
    pub(crate) batch: usize,
    /// Settings of the gateway that differ from the defaults, as lines of TOML.
    pub(crate) settings: Vec<String>,
    /// The same of every channel.
    pub(crate) channel_settings: Vec<String>,
}

/// The id of a channel.
pub(crate) fn channel(number: usize) -> String {
    format!("c{number:02}")
}

impl Plan {
    /// The settings of the gateway, in TOML.
    pub(crate) fn settings(&self, receivers: &[SocketAddr]) -> String {
        let mut toml = String::new();
        for line in &self.settings {
            toml.push_str(&format!("{line}\n"));
        }
        for (number, address) in receivers.iter().enumerate() {
            let (id, batch) = (channel(number), self.batch);
            // 24 bytes of base64: nobody checks the signatures, but the gateway makes them.
            toml.push_str(&format!(
                "[[channels]]\nid = \"{id}\"\nurl = \"http://{address}/stock\"\nbatch = {batch}\n\
                 secret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3\"\n"
            ));
            for line in &self.channel_settings {
                toml.push_str(&format!("{line}\n"));
            }
        }
        toml
    }

    /// All SKUs, by number.
    pub(crate) fn sku_names(&self) -> Vec<String> {
        (0..self.skus).map(body::sku_name).collect()
    }
}
