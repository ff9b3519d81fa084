//! The same load with and without the three sick channels, in turns; then the sick ones recover.

use std::time::Duration;

use anyhow::Result;

use crate::{
    flow::{Counts, Flow, measure},
    plan::{Behaviour, Plan},
    rig::median,
    shop::Shop,
    wrongs::Wrongs,
};

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
        turns.recoveries.extend(shop.recover().await?);
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

impl Turns {
    /// The middle ones of the rounds: without and with.
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
