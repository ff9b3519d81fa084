//! The channels of the propagation story: each with another policy, and with a receiver that shows what really arrived.

use std::{collections::BTreeMap, time::Duration};

use stockgate::domain::{ChannelId, ChannelRules, DesiredState, Patience, PublishPolicy, Sku};

use crate::requests::channel;

/// One that is told everything, one that keeps a unit back and pauses early, one that shows three at most.
pub(crate) const CHANNELS: [&str; 3] = ["web", "app", "cap"];

/// Short, so that SKUs die in a story.
const PATIENCE: Patience = Patience { attempts_max: 3, age_max: Duration::from_secs(40) };

pub(crate) fn rules(channel: usize) -> ChannelRules {
    let usual = PublishPolicy::default();
    let policy = match channel {
        0 => usual,
        1 => PublishPolicy { buffer: 1, pause_at: Some(1), resume_at: 3, ..usual },
        _ => PublishPolicy { cap: Some(3), ..usual },
    };
    ChannelRules { policy, patience: PATIENCE }
}

pub(crate) fn ids() -> Vec<ChannelId> {
    CHANNELS.iter().map(|name| channel(name)).collect()
}

/// What one channel shows of one SKU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Display {
    version: i64,
    pub(crate) quantity: i64,
    pub(crate) paused: bool,
}

/// All that a channel shows. It keeps the highest version it saw, as receivers are told to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receiver {
    displays: BTreeMap<Sku, Display>,
}

impl Receiver {
    pub(crate) fn display(&self, sku: &Sku) -> Display {
        self.displays.get(sku).copied().unwrap_or_default()
    }

    /// A call arrives; the same version again is taken again.
    pub(crate) fn deliver(&mut self, told: &DesiredState) {
        let display = self.displays.entry(told.sku.clone()).or_default();
        if told.version >= display.version {
            *display = Display { version: told.version, quantity: told.published, paused: told.paused };
        }
    }

    /// The channel changes its number by itself.
    pub(crate) fn moves(&mut self, sku: &Sku, units: i64) {
        let display = self.displays.entry(sku.clone()).or_default();
        display.quantity = (display.quantity + units).max(0);
    }
}
