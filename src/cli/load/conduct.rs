//! The order in which a run goes: fill, drive, resolve, check, report.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    super::{Verdict, failure::CliError, gateway::Gateway, output::Output},
    books::{self, Books},
    interrupt::Interrupt,
    page,
    plan::{Plan, Profile},
    progress::Progress,
    ramp::{self, Ramp, Search},
    report::{Report, Sort},
    resolve,
    run::Run,
    schedule, shelves, spike,
};

/// How a run is driven.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) rate_per_s: f64,
    /// Of a ramp: at most.
    pub(super) duration: Duration,
    pub(super) in_flight_max: usize,
    pub(super) spike_factor: f64,
    pub(super) step: Duration,
    pub(super) p99_limit: Duration,
}

/// Everything that is known before the first call.
#[derive(Debug)]
pub(super) struct Conduct<'a> {
    pub(super) plan: &'a Plan,
    pub(super) settings: &'a Settings,
    /// One per connection, at least one.
    pub(super) gateways: &'a [Gateway],
    pub(super) url: &'a str,
}

/// The error of a page that cannot be written.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::Usage(format!("--html {}: the file cannot be written: {error}", path.display()))
}

/// Writes the page of a run that is over.
fn write(path: &Path, report: &Report) -> Result<(), CliError> {
    let written = std::fs::write(path, page::html(report));
    written.map_err(|source| CliError::Page { path: path.to_owned(), source })?;
    eprintln!("report: {}", path.display());
    Ok(())
}

/// Whether the books are right comes first: a report that nobody can read must not hide that they are wrong.
fn conclude(
    are_right: Result<bool, CliError>,
    reported: [Result<(), CliError>; 2],
) -> Result<Verdict, CliError> {
    let mut lost = reported.into_iter().filter_map(Result::err);
    match are_right {
        Ok(true) => lost.next().map_or(Ok(Verdict::Fine), Err),
        Ok(false) => {
            lost.for_each(|error| eprintln!("warning: {error}"));
            Ok(Verdict::Findings)
        }
        Err(unchecked) => {
            lost.for_each(|error| eprintln!("warning: {error}"));
            Err(unchecked)
        }
    }
}

impl Conduct<'_> {
    /// Runs it and prints what came of it.
    pub(super) async fn run(
        &self,
        interrupt: &Interrupt,
        output: Output,
        page: Option<&Path>,
    ) -> Result<Verdict, CliError> {
        let (plan, settings) = (self.plan, self.settings);
        let mut progress = Progress::new();
        progress.say("making SKUs");
        shelves::fill(&self.gateways[0], plan).await?;
        for gateway in self.gateways {
            shelves::warm_up(gateway, plan).await?;
        }
        let started = jiff::Timestamp::now();
        let flag = interrupt.flag();
        let mut run =
            Run::new(plan, self.gateways, settings.in_flight_max, settings.duration, Arc::clone(&flag));
        let sort = self.drive(&mut run, &mut progress).await;
        let mut report =
            Report::new(plan, &run.tally, sort, (self.url, started), flag.load(Ordering::Relaxed));
        report.gave_up = run.has_given_up();
        progress.say("checking the books");
        let checked = self.check(run).await;
        progress.finish();
        report.books = checked.as_ref().ok().cloned();
        let printed = output.text_or_json(&report, Report::text);
        let written = page.map_or(Ok(()), |path| write(path, &report));
        conclude(checked.map(|books| books.right), [printed, written])
    }

    /// Sends all calls of the profile.
    async fn drive(&self, run: &mut Run<'_>, progress: &mut Progress) -> Sort {
        let Settings { rate_per_s, duration, spike_factor, .. } = *self.settings;
        match self.plan.profile {
            Profile::Ramp => Sort { ramp: Some(self.climb(run, progress).await), spike: None },
            Profile::Spike => {
                let phases = schedule::spike(rate_per_s, spike_factor, duration);
                run.drive(&phases, |tally, elapsed| progress.watch(tally, elapsed)).await;
                Sort { ramp: None, spike: spike::read(&run.tally, &phases) }
            }
            Profile::Steady | Profile::Flash | Profile::Carts | Profile::Holds => {
                let phases = schedule::steady(rate_per_s, duration);
                run.drive(&phases, |tally, elapsed| progress.watch(tally, elapsed)).await;
                Sort::default()
            }
        }
    }

    /// Step by step, as long as there is time for one more.
    async fn climb(&self, run: &mut Run<'_>, progress: &mut Progress) -> Ramp {
        let Settings { rate_per_s, duration, step, p99_limit, .. } = *self.settings;
        let mut search = Search::new(rate_per_s);
        let mut steps = Vec::new();
        while let Some(rate) = search.next_rate()
            && run.elapsed() + step <= duration
        {
            run.drive(&schedule::steady(rate, step), |tally, elapsed| progress.watch(tally, elapsed)).await;
            // A step that was cut short says nothing.
            let Some(tried) = run.tally.phases.last().filter(|_| !run.is_over()) else { break };
            let judged = ramp::judge(tried, p99_limit);
            search.note(judged.broken);
            steps.push(judged);
        }
        Ramp::new(steps, p99_limit)
    }

    /// Asks again for what was lost, and for what was kept, then compares.
    async fn check(&self, run: Run<'_>) -> Result<Books, CliError> {
        let (plan, gateway) = (self.plan, &self.gateways[0]);
        let Run { mut ledger, unknown, mut kept, repeats_lost, .. } = run;
        resolve::unknown(gateway, plan, &mut ledger, unknown).await;
        kept.extend(repeats_lost);
        resolve::kept(gateway, plan, &mut ledger, kept).await;
        books::check(gateway, plan, &ledger).await
    }
}
