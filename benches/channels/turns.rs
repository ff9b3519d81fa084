//! The same load with and without the three sick channels, in turns; then the sick ones recover.

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use crate::{
    flow::{Counts, Flow, measure, whole},
    plan::{Behaviour, Plan},
    rig::median,
    shop::Shop,
};

const BURIED: &str = "stockgate_dead_letters_total";

/// All rounds.
pub(crate) struct Turns {
    pub(crate) without: Vec<Flow>,
    pub(crate) with: Vec<Flow>,
    /// From falling ill to getting well, over all rounds.
    pub(crate) dead_calls: u64,
    pub(crate) dead_opened: u64,
    /// From getting well to the last confirmation, per kind and round.
    pub(crate) recoveries: Vec<(Behaviour, Duration)>,
}

/// What must be 0 at the end, whatever was measured.
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
            dead_letters: whole(&shop.gateway.metrics().await?, BURIED, None),
            went_back: shop.receivers.sum(|book| book.went_back),
            malformed: shop.receivers.sum(|book| book.malformed),
        })
    }

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

/// Runs all rounds.
pub(crate) async fn run(shop: &mut Shop, plan: &Plan, wrongs: &mut Wrongs) -> Result<Turns> {
    let mut turns =
        Turns { without: vec![], with: vec![], dead_calls: 0, dead_opened: 0, recoveries: vec![] };
    for round in 1..=plan.rounds {
        let without = measure(shop, plan.rate, plan.warm_up, plan.round).await?;
        let well = Counts::read(shop).await?;
        shop.receivers.sicken();
        let with = measure(shop, plan.rate, plan.warm_up, plan.round).await?;
        let sick = Counts::read(shop).await?.since(well);
        turns.dead_calls += sick.dead_calls;
        turns.dead_opened += sick.dead_opened;
        turns.recoveries.extend(recover(shop).await?);
        *wrongs = wrongs.and(Wrongs::count(shop).await?);
        eprintln!(
            "  round {round}: p99 {:.1} ms without, {:.1} ms with; {:.0} changes/s; {wrongs:?}",
            without.lag_ms(0.99),
            with.lag_ms(0.99),
            with.per_s(with.counts.changes),
        );
        turns.without.push(without);
        turns.with.push(with);
    }
    Ok(turns)
}

/// Makes all channels well, waits for rest, and says how long each sick one took to be told everything.
pub(crate) async fn recover(shop: &Shop) -> Result<Vec<(Behaviour, Duration)>> {
    let healed = Instant::now().into_std();
    shop.receivers.heal();
    shop.rest(shop.receivers.count()).await?;
    let took = |channel| shop.receivers.book(channel).taken_at.saturating_duration_since(healed);
    Ok(shop.receivers.sick().map(|(channel, illness)| (illness, took(channel))).collect())
}

impl Turns {
    /// The middle one of the rounds, without and with.
    pub(crate) fn medians(&self, of: impl Fn(&Flow) -> f64) -> (f64, f64) {
        let middle = |flows: &[Flow]| median(flows.iter().map(&of).collect());
        (middle(&self.without), middle(&self.with))
    }

    /// With over without, round by round, since they took turns; the middle one.
    pub(crate) fn ratio(&self, of: impl Fn(&Flow) -> f64) -> f64 {
        let pairs = self.with.iter().zip(&self.without);
        median(pairs.map(|(with, without)| of(with) / of(without)).collect())
    }

    /// The middle one of the rounds, in seconds.
    pub(crate) fn recovery_s(&self, illness: Behaviour) -> f64 {
        let of_it = self.recoveries.iter().filter(|(kind, _)| *kind == illness);
        median(of_it.map(|(_, took)| took.as_secs_f64()).collect())
    }
}
