//! What must not be, however fast it was: numbers that are lost, given up, or older than the one before.

use anyhow::Result;

use crate::{flow::whole, shop::Shop};

const BURIED: &str = stockgate::telemetry::DEAD_LETTERS;

/// All of it must be 0.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wrongs {
    /// SKUs for which a channel does not show what is there.
    pub(crate) lost: u64,
    pub(crate) dead_letters: u64,
    /// Versions lower than one that was confirmed.
    pub(crate) went_back: u64,
    /// Events the channels did not understand.
    pub(crate) malformed: u64,
}

impl Wrongs {
    /// Counts them in a shop at rest.
    pub(crate) async fn count(shop: &Shop) -> Result<Self> {
        Ok(Self {
            lost: shop.count_lost().await?,
            dead_letters: whole(&shop.gateway.metrics().await?, BURIED),
            went_back: shop.receivers.sum(|book| book.went_back),
            malformed: shop.receivers.sum(|book| book.malformed),
        })
    }

    /// Both; all but the lost ones are counted from the start of a gateway, so the greater number says it all.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            dead_letters: self.dead_letters.max(other.dead_letters),
            went_back: self.went_back.max(other.went_back),
            malformed: self.malformed.max(other.malformed),
        }
    }

    pub(crate) fn is_none(self) -> bool {
        let Self { lost, dead_letters, went_back, malformed } = self;
        [lost, dead_letters, went_back, malformed] == [0; 4]
    }
}
