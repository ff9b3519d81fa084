//! Measures one group: all its contenders start, take turns round by round, and show their books.

use std::time::Duration;

use anyhow::Result;

use crate::{
    callers::{Callers, Tally},
    contender::{Cpu, Running},
    memory::Memory,
    plan::{Contender, Group},
    rig::median,
    shelves::Books,
};

/// How long is measured.
pub(crate) struct Pace {
    pub(crate) warm_up: Duration,
    pub(crate) rounds: u32,
    pub(crate) round: Duration,
}

/// One table.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The first is who answers at once.
    pub(crate) lines: Vec<Measured>,
}

/// What one contender did in all rounds.
pub(crate) struct Measured {
    pub(crate) contender: Contender,
    /// Each by itself: one in which the machine did something else must not colour all.
    rounds: Vec<Round>,
    /// All rounds together.
    pub(crate) total: Tally,
    /// Scripts sent in all rounds.
    scripts: Option<u64>,
    pub(crate) books: Option<Books>,
    pub(crate) memory: Option<Memory>,
}

/// What it did in one of them.
struct Round {
    tally: Tally,
    cpu: Cpu,
}

/// A contender between its rounds.
struct Turn {
    running: Running,
    callers: Callers,
    measured: Measured,
}

/// Runs a group.
pub(crate) async fn run(group: Group, pace: &Pace) -> Result<Table> {
    let mut turns = Vec::with_capacity(group.contenders.len());
    for contender in group.contenders {
        let running = Running::start(contender.server, contender.load).await?;
        let mut callers = Callers::connect(running.url(), contender.load).await?;
        callers.round(pace.warm_up).await?;
        turns.push(Turn { running, callers, measured: Measured::new(contender)? });
    }
    for _ in 0..pace.rounds {
        for turn in &mut turns {
            turn.take(pace.round).await?;
        }
    }
    let mut lines = Vec::with_capacity(turns.len());
    for turn in turns {
        let measured = turn.end().await?;
        eprintln!("  {}", measured.summary());
        lines.push(measured);
    }
    Ok(Table { name: group.name, lines })
}

impl Turn {
    async fn take(&mut self, length: Duration) -> Result<()> {
        let scripts_before = self.running.scripts().await?;
        let cpu_before = self.running.cpu();
        let tally = self.callers.round(length).await?;
        let cpu = self.running.cpu().since(cpu_before);
        let scripts = self.running.scripts().await?;
        let measured = &mut self.measured;
        measured.scripts = (|| Some(measured.scripts? + scripts? - scripts_before?))();
        measured.total.add(&tally)?;
        measured.rounds.push(Round { tally, cpu });
        Ok(())
    }

    async fn end(mut self) -> Result<Measured> {
        self.measured.books = self.running.count(self.measured.contender.load, &self.callers.sold()).await?;
        self.measured.memory = self.running.memory().await?;
        drop(self.callers);
        self.running.stop().await?;
        Ok(self.measured)
    }
}

impl Measured {
    fn new(contender: Contender) -> Result<Self> {
        let total = Tally::new()?;
        Ok(Self { contender, rounds: Vec::new(), total, scripts: Some(0), books: None, memory: None })
    }

    fn per_s(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(|round| round.tally.decided_per_s())
    }

    /// Requests decided per second; the middle one of the rounds.
    pub(crate) fn median_per_s(&self) -> f64 {
        median(self.per_s().collect())
    }

    /// Over another one, round by round, since they took turns; the middle one.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        let pairs = self.per_s().zip(other.per_s());
        median(pairs.map(|(one, other)| one / other).collect())
    }

    /// Microseconds below which this share of the requests was answered; the middle one of the rounds.
    pub(crate) fn latency_us(&self, share: f64) -> f64 {
        let each = self.rounds.iter().map(|round| round.tally.latency_us.value_at_quantile(share) as f64);
        median(each.collect())
    }

    pub(crate) fn calls_per_script(&self) -> Option<f64> {
        let scripts = self.scripts.filter(|scripts| *scripts > 0)?;
        Some(self.total.decided() as f64 / scripts as f64)
    }

    /// Microseconds of CPU time for each request decided; the middle one of the rounds.
    pub(crate) fn cpu_us(&self, of: impl Fn(&Cpu) -> Option<Duration>) -> Option<f64> {
        let each = self.rounds.iter().map(|round| {
            let decided = round.tally.decided().max(1) as f64;
            of(&round.cpu).map(|cpu| cpu.as_secs_f64() * 1e6 / decided)
        });
        each.collect::<Option<Vec<f64>>>().map(median)
    }

    /// Whether nothing was lost; who keeps no count loses nothing.
    pub(crate) fn books_are_right(&self) -> bool {
        self.books.is_none_or(Books::are_right)
    }

    /// One line to watch while it runs.
    fn summary(&self) -> String {
        let us = |of: fn(&Cpu) -> Option<Duration>| self.cpu_us(of).unwrap_or(f64::NAN);
        format!(
            "{}: {:.0}/s {:.0?}, p50 {:.0} us, p99 {:.0} us, CPU {:.1} + {:.1} + {:.1} us, {:.1} calls per script, {} failed, {:?}",
            self.contender.name,
            self.median_per_s(),
            self.per_s().collect::<Vec<_>>(),
            self.latency_us(0.5),
            self.latency_us(0.99),
            us(|cpu| cpu.server),
            us(|cpu| cpu.below),
            us(|cpu| cpu.caller),
            self.calls_per_script().unwrap_or(f64::NAN),
            self.total.failed,
            self.books,
        )
    }
}
