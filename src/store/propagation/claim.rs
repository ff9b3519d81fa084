//! Leasing what is due on a channel, with its state as it is now.

use crate::domain::{ChannelId, ChannelRules, DesiredState, EventId, Level, Partition, Sku};

use super::{
    super::{Store, StoreError, levels::StoredLevel, scripts::CLAIM_SCRIPT},
    corrupt,
    texts::Confirmed,
};

/// Words per SKU in the reply of `lua/claim.lua`.
const WORDS: usize = 6;

/// One SKU leased to a worker, with what its channel should show.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// What to show.
    pub desired: DesiredState,
    /// Failures so far.
    pub attempts: u32,
    /// Whether the channel shows what it confirmed last: no call went out since, and nobody says otherwise.
    pub sure: bool,
    /// What it confirmed last; None: never told.
    pub shown: Option<Shown>,
}

/// What a channel shows for a SKU, as it confirmed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The quantity.
    pub quantity: i64,
    /// Whether the listing is paused.
    pub paused: bool,
}

impl Claimed {
    /// Whether the channel shows already what it should: then no call is needed to confirm the new version.
    pub fn is_shown(&self) -> bool {
        let wanted = Shown { quantity: self.desired.published, paused: self.desired.paused };
        self.sure && self.shown == Some(wanted)
    }
}

/// What a claim gave.
#[derive(Debug, Default)]
pub struct Claim {
    /// SKUs to tell the channel about.
    pub items: Vec<Claimed>,
    /// SKUs whose record is broken: to be settled as failed.
    pub broken: Vec<Sku>,
    /// In how many ms there is more to do; None while nothing is due or leased.
    pub next_in_ms: Option<u64>,
}

impl Store {
    /// Leases up to `limit` due SKUs of one channel in one partition to `token`, and reads their state now.
    pub async fn claim(
        &self,
        partition: Partition,
        channel: &ChannelId,
        rules: &ChannelRules,
        token: &str,
        limit: usize,
    ) -> Result<Claim, StoreError> {
        let of = self.inner.keys.channel(partition, channel);
        let keys = [of.due, of.lease, of.dirty, of.work, of.sync, self.inner.keys.stock(partition)];
        let mut command = CLAIM_SCRIPT.call(keys.iter().map(String::as_str));
        command.arg(self.clock_argument()).arg(token).arg(self.lease_ms()).arg(limit);
        let reply = self.run_script(&CLAIM_SCRIPT, &command).await?;
        let bad = || corrupt(&CLAIM_SCRIPT, &reply);
        let [word, next_in_ms, rest @ ..] = &reply[..] else { return Err(bad()) };
        if word != "claimed" || rest.len() % WORDS != 0 {
            return Err(bad());
        }
        let next_in_ms: i64 = next_in_ms.parse().map_err(|_| bad())?;
        let mut claim = Claim { next_in_ms: u64::try_from(next_in_ms).ok(), ..Claim::default() };
        for item in rest.chunks_exact(WORDS) {
            let sku = Sku::parse(&item[0]).map_err(|_| bad())?;
            match StoredLevel::read(Some(&item[1])) {
                StoredLevel::Known { level, event_id } => {
                    let shown = Confirmed::read(&item[5])
                        .map(|told| Shown { quantity: told.quantity, paused: told.paused });
                    let unconfirmed_since_ms = item[3].parse().map_err(|_| bad())?;
                    claim.items.push(Claimed {
                        desired: desired(sku, level, event_id, rules, shown, unconfirmed_since_ms),
                        attempts: item[2].parse().map_err(|_| bad())?,
                        sure: item[4] == "1",
                        shown,
                    });
                }
                StoredLevel::Unknown | StoredLevel::Broken => claim.broken.push(sku),
            }
        }
        Ok(claim)
    }
}

fn desired(
    sku: Sku,
    level: Level,
    event_id: EventId,
    rules: &ChannelRules,
    shown: Option<Shown>,
    unconfirmed_since_ms: i64,
) -> DesiredState {
    let published = rules.policy.published(level.available());
    let was_paused = shown.is_some_and(|shown| shown.paused);
    DesiredState {
        sku,
        published,
        paused: rules.policy.paused(published, was_paused),
        version: level.version,
        updated_ms: level.updated_ms,
        unconfirmed_since_ms,
        event_id,
    }
}
