//! `stockgate repartition`: spreads the SKUs of a stopped shop over another number of partitions.

use clap::{ArgGroup, Args};
use serde::Serialize;

use crate::{
    app::repartition::{
        Fulfilled, RepartitionError, RepartitionStep, Repartitioned, ShopTotals, Wish, fulfil,
    },
    domain::Partitions,
};

use super::{CliError, Verdict, output::Output, output::Row, serve::ConfigArgs};

const AFTER_HELP: &str = "\
Every gateway and worker must be stopped, and every hold must have ended. The shop is verified before and after, and
the old partitions go only when the new ones add up to the same. Redis needs as much memory again meanwhile, and
everything is read several times: try it on a copy to know how long it takes, and make a backup first.

When it was killed, run it again with the same number. Until then no gateway starts.";

/// Spread the SKUs over another number of partitions.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, group = ArgGroup::new("wish").required(true).args(["to", "abandon"]))]
pub(super) struct RepartitionArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How many partitions there shall be, 1 to 4096
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    to: Option<u16>,
    /// Check and count everything, and change nothing
    #[arg(long, conflicts_with = "abandon")]
    dry_run: bool,
    /// Give up a run that was killed before it removed anything: the shop stays as it was
    #[arg(long)]
    abandon: bool,
}

impl RepartitionArgs {
    pub(super) async fn run(self, output: Output) -> Result<Verdict, CliError> {
        let wish = match self.to.and_then(Partitions::new) {
            Some(partitions) => Wish::To { partitions, dry_run: self.dry_run },
            None => Wish::Abandon,
        };
        let config = self.config.load()?;
        let done = fulfil(config, wish, &|step| eprintln!("{}", said(step))).await.map_err(failure)?;
        match done {
            Fulfilled::Moved(moved) => {
                output.rows(&rows(&moved))?;
                eprintln!("{}", next(&moved, self.dry_run));
            }
            Fulfilled::Abandoned(count) => {
                eprintln!("given up: the shop has {} partitions, as before", count.count());
            }
        }
        Ok(Verdict::Fine)
    }
}

/// A refusal says what to do and is no fault of Redis.
fn failure(error: anyhow::Error) -> CliError {
    match error.downcast_ref::<RepartitionError>() {
        None | Some(RepartitionError::Store(_)) => CliError::Gateway(error),
        Some(refusal) => CliError::Refused(refusal.to_string()),
    }
}

fn said(step: RepartitionStep) -> String {
    match step {
        RepartitionStep::Listening => "listening for gateways and workers that still run".to_owned(),
        RepartitionStep::Resuming => "finishing what a run before this one began".to_owned(),
        RepartitionStep::EndingHolds => "ending holds whose time is over".to_owned(),
        RepartitionStep::Verifying => "verifying".to_owned(),
        RepartitionStep::Counting => "adding up".to_owned(),
        RepartitionStep::Copying { what, fields } => format!("copied {fields} of {what}"),
        RepartitionStep::CopyingEvents { entries } => format!("copied {entries} entries of the streams"),
        RepartitionStep::VerifyingCopy => "verifying the copy and adding it up".to_owned(),
        RepartitionStep::Dropping => "the copy is right: removing the old partitions".to_owned(),
        RepartitionStep::Placing => "giving the new partitions their names".to_owned(),
        RepartitionStep::VerifyingAgain => "verifying once more".to_owned(),
    }
}

fn next(moved: &Repartitioned, dry_run: bool) -> String {
    let (from, to) = (moved.from.count(), moved.to.count());
    match dry_run {
        true => format!("nothing was changed: this shop can go from {from} to {to} partitions"),
        false => format!(
            "moved from {from} to {to} partitions: set redis.partitions = {to} for every gateway and worker before they start"
        ),
    }
}

#[derive(Debug, Serialize)]
struct TotalRow {
    what: &'static str,
    before: Option<String>,
    after: Option<String>,
}

impl Row for TotalRow {
    const HEAD: &'static [&'static str] = &["what", "before", "after"];

    fn cells(&self) -> Vec<String> {
        let shown = |count: &Option<String>| count.clone().unwrap_or_else(|| "-".to_owned());
        vec![self.what.to_owned(), shown(&self.before), shown(&self.after)]
    }
}

fn rows(moved: &Repartitioned) -> Vec<TotalRow> {
    type Count = fn(&ShopTotals) -> String;
    let counts: [(&'static str, Count); 13] = [
        ("SKUs", |totals| totals.skus.to_string()),
        ("on hand", |totals| totals.on_hand.to_string()),
        ("held", |totals| totals.held.to_string()),
        ("versions", |totals| totals.versions.to_string()),
        ("events", |totals| totals.events.to_string()),
        ("events to be carried", |totals| totals.uncarried.to_string()),
        ("records", |totals| totals.records.to_string()),
        ("ended holds", |totals| totals.ended_holds.to_string()),
        ("due", |totals| totals.due.to_string()),
        ("leased", |totals| totals.leased.to_string()),
        ("confirmed", |totals| totals.confirmed.to_string()),
        ("dead letters", |totals| totals.dead.to_string()),
        ("other fields", |totals| totals.others.to_string()),
    ];
    let row = |(what, count): (&'static str, Count)| TotalRow {
        what,
        before: moved.before.as_ref().map(count),
        after: moved.after.as_ref().map(count),
    };
    counts.into_iter().map(row).collect()
}
