//! Changing the number of partitions of a shop that is stopped.
//!
//! The new layout is made beside the old one, under names in the same slots, verified and held against the old one; then the old
//! one goes, and the new one takes its names. How far it has come stands in `sg:meta`, where every gateway that starts looks. A run
//! that was killed while copying left the old layout whole: the next begins again. One that was killed later is finished by the next.
//! Cost: the streams are read seven times (verified and added up as they were, as the copy and at the end; copied in between), records
//! four times and the rest once; all is written once, and Redis needs as much memory again.

mod checks;
mod entries;
mod error;
mod facts;
mod fields;
mod parts;
mod streams;
mod totals;
mod turn;

use std::time::Duration;

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::domain::Partitions;

use super::{Store, StoreError, StoreSettings, keys::Keys};

pub use error::RepartitionError;
pub(super) use facts::Facts;
pub use totals::ShopTotals;

use checks::Flaws;
use entries::Entries;
use facts::{Halfway, Phase};
use parts::Part;
use streams::Streams;
use turn::Turn;

/// Events copied between two words about it.
const TOLD_EVERY: u64 = 100_000;

/// How the partitions of a shop are to be changed.
#[derive(Debug, Clone, Copy)]
pub struct Repartition {
    /// How many there will be.
    pub to: Partitions,
    /// Check, count, and change nothing.
    pub dry_run: bool,
    /// How long nobody may have shown a sign of life; gateways write one twice a second.
    pub quiet: Duration,
    /// How long the right to do this outlives a run that was killed. 1 ms and up.
    pub lease: Duration,
}

/// What a change of partitions is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepartitionStep {
    /// Waiting for a sign of life of any gateway.
    Listening,
    /// Finishing what a run that was killed has begun.
    Resuming,
    /// Ending holds whose time is over.
    EndingHolds,
    /// Verifying the old layout.
    Verifying,
    /// Adding it up.
    Counting,
    /// Copying fields.
    Copying {
        /// Of what.
        what: &'static str,
        /// How many so far.
        fields: u64,
    },
    /// Copying the streams.
    CopyingEvents {
        /// Entries so far.
        entries: u64,
    },
    /// Verifying the copy and adding it up.
    VerifyingCopy,
    /// Removing the old layout.
    Dropping,
    /// Giving the new one its names.
    Placing,
    /// Verifying once more.
    VerifyingAgain,
}

/// What a change of partitions came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repartitioned {
    /// How many partitions there were.
    pub from: Partitions,
    /// How many there are; in a dry run: would be.
    pub to: Partitions,
    /// What the old layout added up to; None when another run had removed it.
    pub before: Option<ShopTotals>,
    /// What the new one adds up to; None in a dry run.
    pub after: Option<ShopTotals>,
}

/// Told of every step.
pub type Teller<'a> = &'a (dyn Fn(RepartitionStep) + Send + Sync);

/// The shop under both layouts.
struct Move {
    from: Store,
    /// The new layout under the names it has while it is made.
    staged: Store,
    to: Store,
    facts: Facts,
    halfway: Halfway,
    parts: Vec<Part>,
}

/// Stores whose tasks end with it.
struct Opened {
    settings: StoreSettings,
    tasks: TaskTracker,
    stop: DropGuard,
}

impl Opened {
    fn new(settings: StoreSettings) -> Self {
        Self { settings, tasks: TaskTracker::new(), stop: CancellationToken::new().drop_guard() }
    }

    fn store(&self, change: impl FnOnce(&mut StoreSettings)) -> Result<Store, StoreError> {
        let mut settings = self.settings.clone();
        change(&mut settings);
        let stop = self.stop.token().clone();
        Store::open(settings, &self.tasks, stop)
    }

    /// The shop on its way to so many partitions; its facts may say that it is on one already.
    async fn shop(&self, to: Partitions) -> Result<Move, RepartitionError> {
        let namespace = self.settings.namespace.clone();
        let unknown = || RepartitionError::UnknownNamespace { namespace: namespace.clone() };
        let asked = self.store(|_| {})?;
        let facts = Facts::read(&asked).await?.ok_or_else(unknown)?;
        let retention = Duration::from_millis(facts.retention_ms.unsigned_abs());
        let of = |partitions, namespace: String| {
            self.store(|settings| {
                (settings.partitions, settings.retention) = (partitions, retention);
                settings.namespace = namespace;
            })
        };
        let window = asked.now_ms().await?.div_euclid(facts.retention_ms);
        let begun = Halfway { phase: Phase::Copying, from: facts.partitions, to, window };
        let halfway = facts.halfway.unwrap_or(begun);
        let from = of(halfway.from, namespace.clone())?;
        let parts = Part::all(halfway.window, &parts::channels(&from).await?);
        let staged = of(halfway.to, Keys::staged_namespace(&namespace))?;
        Ok(Move { from, staged, to: of(halfway.to, namespace)?, facts, halfway, parts })
    }
}

/// Changes the number of partitions of a shop that nobody serves.
pub async fn repartition(
    settings: StoreSettings,
    order: Repartition,
    tell: Teller<'_>,
) -> Result<Repartitioned, RepartitionError> {
    let opened = Opened::new(settings);
    if order.dry_run {
        return opened.shop(order.to).await?.try_out(order, tell).await;
    }
    let turn = Turn::take(opened.store(|_| {})?, order.lease).await?;
    let work = async {
        let shop = opened.shop(order.to).await?;
        let is_copying = shop.facts.halfway.is_some_and(|halfway| halfway.phase == Phase::Copying);
        if !is_copying {
            return shop.carry_out(order, tell).await;
        }
        // Its run was killed: what it had made is thrown away, and it is begun again by the present clock.
        shop.undo().await?;
        opened.shop(order.to).await?.carry_out(order, tell).await
    };
    let done = turn.during(work).await;
    turn.after(done).await
}

/// Gives up a change that was killed while copying; answers how many partitions there are.
pub async fn abandon_repartition(
    settings: StoreSettings,
    order: Repartition,
) -> Result<Partitions, RepartitionError> {
    let opened = Opened::new(settings);
    let turn = Turn::take(opened.store(|_| {})?, order.lease).await?;
    let done = turn.during(give_up(&opened, order.to)).await;
    turn.after(done).await
}

async fn give_up(opened: &Opened, to: Partitions) -> Result<Partitions, RepartitionError> {
    let shop = opened.shop(to).await?;
    let halfway = shop.facts.halfway.ok_or(RepartitionError::NothingUnderWay)?;
    if halfway.phase != Phase::Copying {
        return Err(RepartitionError::on_its_way(halfway.from, halfway.to));
    }
    shop.undo().await?;
    Ok(halfway.from)
}

impl Move {
    /// Whether it is a change at all, and the one that is under way.
    fn check_order(&self, order: Repartition) -> Result<(), RepartitionError> {
        match self.facts.halfway {
            Some(halfway) if halfway.phase != Phase::Copying && halfway.to != order.to => {
                Err(RepartitionError::on_its_way(halfway.from, halfway.to))
            }
            Some(_) => Ok(()),
            None if self.facts.partitions == order.to => {
                Err(RepartitionError::SameCount { count: order.to.count() })
            }
            None => Ok(()),
        }
    }

    async fn try_out(&self, order: Repartition, tell: Teller<'_>) -> Result<Repartitioned, RepartitionError> {
        self.check_order(order)?;
        if let Some(halfway) = self.facts.halfway.filter(|halfway| halfway.phase != Phase::Copying) {
            return Err(RepartitionError::on_its_way(halfway.from, halfway.to));
        }
        tell(RepartitionStep::Listening);
        checks::check_quiet(&self.from, order.quiet).await?;
        checks::check_no_holds(&self.from).await?;
        let before = self.check_and_count(tell).await?;
        Ok(Repartitioned { from: self.from.partitions(), to: order.to, before: Some(before), after: None })
    }

    async fn carry_out(
        self,
        order: Repartition,
        tell: Teller<'_>,
    ) -> Result<Repartitioned, RepartitionError> {
        self.check_order(order)?;
        let mut before = None;
        let mut phase = self.halfway.phase;
        if self.facts.halfway.is_none() {
            self.go_on(None, phase).await?;
            match self.make_copy(order, tell).await {
                Ok(counted) => before = Some(counted),
                Err(error) => {
                    // When this fails too, the next run begins with it, and no gateway starts before.
                    let _ = self.undo().await;
                    return Err(error);
                }
            }
            self.go_on(Some(phase), Phase::Dropping).await?;
            phase = Phase::Dropping;
        } else {
            tell(RepartitionStep::Resuming);
        }
        if phase == Phase::Dropping {
            tell(RepartitionStep::Dropping);
            self.drop_layout(&self.from, phase).await?;
            self.go_on(Some(phase), Phase::Placing).await?;
            phase = Phase::Placing;
        }
        tell(RepartitionStep::Placing);
        for partition in self.to.partitions().all() {
            self.check_at(Some(phase)).await?;
            parts::place(&self.to, &self.staged.inner.keys, partition, &self.parts).await?;
        }
        tell(RepartitionStep::VerifyingAgain);
        let flaws = Flaws::of(&self.to).await?;
        let after = ShopTotals::of(&self.to, &self.parts).await?;
        let (from, to) = (self.halfway.from, self.halfway.to);
        self.check_at(Some(phase)).await?;
        self.facts.finish(&self.from, self.halfway).await?;
        match flaws {
            Some(flaws) => Err(RepartitionError::WrongAfter { shown: flaws.shown }),
            None => Ok(Repartitioned { from, to, before, after: Some(after) }),
        }
    }

    /// Refuses when the change is not in this phase, None: not begun; asked before every step that cannot be taken back.
    async fn check_at(&self, phase: Option<Phase>) -> Result<(), RepartitionError> {
        self.facts.check(&self.from, phase.map(|phase| Halfway { phase, ..self.halfway })).await
    }

    /// Writes down that the change is in the next phase.
    async fn go_on(&self, from: Option<Phase>, to: Phase) -> Result<(), RepartitionError> {
        self.check_at(from).await?;
        Facts::write(&self.from, Halfway { phase: to, ..self.halfway }).await
    }

    /// Everything up to a copy that is known to be right.
    async fn make_copy(&self, order: Repartition, tell: Teller<'_>) -> Result<ShopTotals, RepartitionError> {
        tell(RepartitionStep::Listening);
        checks::check_quiet(&self.from, order.quiet).await?;
        tell(RepartitionStep::EndingHolds);
        checks::end_holds(&self.from).await?;
        let before = self.check_and_count(tell).await?;
        self.copy(tell).await?;
        tell(RepartitionStep::VerifyingCopy);
        if let Some(flaws) = Flaws::of(&self.staged).await? {
            return Err(RepartitionError::CopyWrong { shown: flaws.shown });
        }
        let after = ShopTotals::of(&self.staged, &self.parts).await?;
        if before != after {
            let (before, after) = (Box::new(before), Box::new(after));
            return Err(RepartitionError::CopyDiffers { before, after });
        }
        // Whoever came since the wait has shown it by now.
        checks::check_stopped(&self.from).await?;
        Ok(before)
    }

    async fn check_and_count(&self, tell: Teller<'_>) -> Result<ShopTotals, RepartitionError> {
        tell(RepartitionStep::Verifying);
        if let Some(flaws) = Flaws::of(&self.from).await? {
            return Err(flaws.refusal());
        }
        tell(RepartitionStep::Counting);
        ShopTotals::of(&self.from, &self.parts).await
    }

    async fn copy(&self, tell: Teller<'_>) -> Result<(), RepartitionError> {
        for part in &self.parts {
            let (what, mut fields) = (part.name(), 0);
            for partition in self.from.partitions().all() {
                fields += fields::copy(&self.from, &self.staged, partition, part).await?;
            }
            if fields > 0 {
                tell(RepartitionStep::Copying { what, fields });
            }
        }
        let mut streams = Streams::open(&self.from).await?;
        let mut written = Entries::begin(&self.from, &self.staged, self.facts.changes + 1).await?;
        let mut entries = 0;
        while let Some(entry) = streams.next().await? {
            written.write(&entry).await?;
            entries += 1;
            if entries % TOLD_EVERY == 0 {
                tell(RepartitionStep::CopyingEvents { entries });
            }
        }
        written.finish().await?;
        tell(RepartitionStep::CopyingEvents { entries });
        Ok(())
    }

    /// Throws away what was copied: gateways may start again, on the old layout.
    async fn undo(&self) -> Result<(), RepartitionError> {
        checks::check_whole(&self.from).await?;
        self.drop_layout(&self.staged, Phase::Copying).await?;
        self.check_at(Some(Phase::Copying)).await?;
        facts::forget(&self.from).await
    }

    async fn drop_layout(&self, store: &Store, phase: Phase) -> Result<(), RepartitionError> {
        for partition in store.partitions().all() {
            self.check_at(Some(phase)).await?;
            parts::drop(store, partition, self.halfway.window, &self.parts).await?;
        }
        Ok(())
    }
}
