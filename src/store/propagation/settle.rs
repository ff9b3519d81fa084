//! Writing down what a channel answered.

use crate::domain::{ChannelId, ChannelRules, Partition, Sku};

use super::{
    super::{Store, StoreError, scripts::SETTLE_SCRIPT},
    corrupt,
};

/// Numbers per SKU in the reply of `lua/settle.lua`.
const NUMBERS: usize = 5;

/// What a channel answered about one SKU.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The SKU.
    pub sku: Sku,
    /// The version told.
    pub version: i64,
    /// The quantity told.
    pub quantity: i64,
    /// Whether it was told to pause the listing.
    pub paused: bool,
    /// How it went.
    pub outcome: SettleOutcome,
}

/// How telling a channel went.
#[derive(Debug, Clone)]
pub enum SettleOutcome {
    /// It shows it.
    Applied,
    /// It does not, or nobody knows.
    Failed {
        /// When to try again.
        delay_ms: i64,
        /// Whether an attempt is used up.
        burns_attempt: bool,
        /// What went wrong, on one line.
        error: String,
    },
    /// It will not take this SKU: a dead letter, unless the SKU has changed meanwhile.
    Permanent {
        /// When to try again if it has changed.
        delay_ms: i64,
        /// What went wrong, on one line.
        error: String,
    },
    /// It was not told: the lease is handed back, and whoever comes next may claim it at once.
    Returned {
        /// Whether the channel shows what it confirmed last, as the claim said.
        sure: bool,
    },
}

/// What settling one SKU came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The channel shows the newest.
    Confirmed(Told),
    /// It was confirmed, and has changed since: due again.
    Moved(Told),
    /// It waits for its next attempt.
    Parked,
    /// It is a dead letter from now on.
    Buried {
        /// Since the oldest change the channel has not confirmed.
        lag_ms: i64,
    },
    /// The lease was no longer ours.
    Lost,
}

/// What a confirmation brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Since the oldest change the channel had not confirmed.
    pub lag_ms: i64,
    /// Versions this one call brought.
    pub versions: i64,
    /// This was the last channel that showed units of a SKU that is sold out: since when it is.
    pub sold_out_ms: Option<i64>,
    /// Whether a dead letter was superseded by it.
    pub supersedes: bool,
}

impl Store {
    /// Writes down what the channel answered; one outcome per settlement, in order.
    pub async fn settle(
        &self,
        partition: Partition,
        channel: &ChannelId,
        rules: &ChannelRules,
        token: &str,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, StoreError> {
        let of = self.inner.keys.channel(partition, channel);
        let (stock, sold_out) = (self.inner.keys.stock(partition), self.inner.keys.sold_out(partition));
        let keys = [of.due, of.lease, of.dirty, of.work, of.sync, of.dead, stock, sold_out];
        let mut command = SETTLE_SCRIPT.call(keys.iter().map(String::as_str));
        command.arg(self.clock_argument()).arg(token).arg(rules.policy.urgent_at());
        command.arg(rules.patience.attempts_max).arg(rules.patience.age_max_ms()).arg(settlements.len());
        for one in settlements {
            command.arg(one.sku.as_str());
        }
        for one in settlements {
            let (delay_ms, burn, sure, error) = match &one.outcome {
                SettleOutcome::Applied => {
                    let shown = format!("{} {}", one.quantity, u8::from(one.paused));
                    command.arg("applied").arg(one.version).arg(shown);
                    continue;
                }
                SettleOutcome::Failed { delay_ms, burns_attempt, error } => {
                    command.arg("failed");
                    (*delay_ms, *burns_attempt, false, error.as_str())
                }
                SettleOutcome::Permanent { delay_ms, error } => {
                    command.arg("permanent");
                    (*delay_ms, true, false, error.as_str())
                }
                SettleOutcome::Returned { sure } => {
                    command.arg("returned");
                    (0, false, *sure, "")
                }
            };
            command.arg(delay_ms).arg(u8::from(burn)).arg(u8::from(sure)).arg(error);
        }
        let reply = self.run_script(&SETTLE_SCRIPT, &command).await?;
        match &reply[..] {
            [word, rest @ ..] if word == "settled" && rest.len() == settlements.len() * NUMBERS => {
                let answers = rest.chunks_exact(NUMBERS);
                answers
                    .map(|numbers| settled(numbers).ok_or_else(|| corrupt(&SETTLE_SCRIPT, &reply)))
                    .collect()
            }
            _ => Err(corrupt(&SETTLE_SCRIPT, &reply)),
        }
    }
}

/// Reads the five numbers of one SKU.
fn settled(numbers: &[String]) -> Option<Settled> {
    let number = |index: usize| numbers.get(index)?.parse::<i64>().ok();
    let told = || {
        let sold_out_ms = number(3)?;
        Some(Told {
            lag_ms: number(1)?,
            versions: number(2)?,
            sold_out_ms: (sold_out_ms >= 0).then_some(sold_out_ms),
            supersedes: number(4)? == 1,
        })
    };
    Some(match number(0)? {
        0 => Settled::Lost,
        1 => Settled::Confirmed(told()?),
        2 => Settled::Moved(told()?),
        3 => Settled::Parked,
        4 => Settled::Buried { lag_ms: number(1)? },
        _ => return None,
    })
}
