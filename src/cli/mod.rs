//! The command line: every operator command speaks gRPC to a running gateway and prints what it was answered.
//!
//! Reading order: [`Cli`] (what can be said), `gateway` (the connection), one file per command, `output` (tables and
//! JSON), `failure` (what went wrong, and the exit code for it).

mod carriers;
mod channels;
mod completions;
mod config;
mod dead;
pub mod demo;
mod durability;
mod events;
mod explain;
mod exposure;
mod failure;
mod gateway;
mod holds;
mod key;
mod line;
mod load;
mod moment;
mod note;
mod output;
mod paging;
mod repartition;
mod serve;
mod shown;
mod stock;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use self::failure::CliError;
use self::{gateway::GatewayArgs, output::Output};

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  refused (not enough stock, unknown SKU, ...), or a check found something
  2  the command line or an argument is wrong; nothing was changed
  3  the gateway is not reachable, cannot serve now, or the outcome is unknown:
     repeat the very same call with the --key that the error shows

With -o json, a command that lists prints one JSON object per line; all others print one object.";

/// Stockgate: knows how many are left, and tells every sales channel.
#[derive(Debug, Parser)]
#[command(name = "stockgate", version, after_help = AFTER_HELP, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// How answers are printed
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// Everything `stockgate` can do. Commands that run the gateway itself stand beside those that talk to one.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway: gRPC, workers and pages, on an embedded Redis when no URL is set
    Serve(serve::Serve),
    /// Show a flash sale against four channels of its own and check every number
    Demo(demo::command::Demo),
    /// Drive a running gateway at a set rate, measure it, and check the books; exit code 1 when they are wrong
    Load(load::command::Load),
    /// Say how many orders a shop that polls takes blind, and how many one that is told; no gateway needed
    Exposure(exposure::Exposure),
    /// Look at the settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Set, sell, take in and read stock
    #[command(subcommand)]
    Stock(stock::StockCommand),
    /// Hold units for a while, then sell them or give them back
    #[command(subcommand)]
    Holds(holds::HoldsCommand),
    /// Read what changed stock
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Recompute counters from holds and events; exit code 1 when something is wrong and not repaired
    Verify(verify::Verify),
    /// See how far behind each sales channel is, and why; pause, resume and resync them
    #[command(subcommand)]
    Channels(channels::ChannelsCommand),
    /// See what channels could not be told; tell them again, or give it up
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// Choose the carrier of a parcel, say what became of it, and see how well carriers keep their promises
    #[command(subcommand)]
    Carriers(carriers::CarriersCommand),
    /// Ask what an idempotency key was answered
    #[command(subcommand)]
    Keys(key::KeysCommand),
    /// Spread the SKUs of a stopped shop over another number of partitions; opens Redis itself
    Repartition(repartition::RepartitionArgs),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

/// How a command that was carried out ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Fine,
    /// It was carried out and found something wrong, or some of its parts were refused.
    Findings,
}

impl Verdict {
    /// `Findings` when there are any.
    fn of_findings(any: bool) -> Self {
        if any { Self::Findings } else { Self::Fine }
    }

    /// The exit code of the process.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Fine => ExitCode::SUCCESS,
            Self::Findings => ExitCode::from(1),
        }
    }
}

impl Cli {
    /// Carries the command out; `serve` and `demo` build the runtime they need, all others wait on one thread.
    pub fn execute(self) -> Result<Verdict, CliError> {
        match self.command {
            Command::Serve(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Demo(command) => command.run(),
            _ => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|source| CliError::Gateway(source.into()))?;
                runtime.block_on(self.run())
            }
        }
    }

    /// Asks a gateway and prints its answer.
    async fn run(self) -> Result<Verdict, CliError> {
        match self.command {
            Command::Stock(command) => command.run(&self.gateway, self.output).await,
            Command::Holds(command) => command.run(&self.gateway, self.output).await,
            Command::Events(command) => command.run(&self.gateway, self.output).await,
            Command::Verify(command) => command.run(&self.gateway, self.output).await,
            Command::Channels(command) => command.run(&self.gateway, self.output).await,
            Command::Dead(command) => command.run(&self.gateway, self.output).await,
            Command::Carriers(command) => command.run(&self.gateway, self.output).await,
            Command::Keys(command) => command.run(&self.gateway, self.output).await,
            Command::Load(command) => command.run(&self.gateway, self.output).await,
            Command::Exposure(command) => command.run(self.output),
            Command::Repartition(command) => command.run(self.output).await,
            Command::Completions(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Demo(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_may_follow_the_command() {
        let accepted = [
            "stockgate stock get A B -o json --gateway http://shop:1 --timeout 2s",
            "stockgate stock adjust A -3 --reason broken",
            "stockgate stock adjust A +3",
            "stockgate stock sell A=2 B --key k1 --channel web --order-ref 17",
            "stockgate stock set A 5 --force --key k",
            "stockgate stock import -",
            "stockgate holds reserve A=2 --ttl 15m",
            "stockgate holds commit h1 A=1 --keep-open --reacquire",
            "stockgate events list --sku A --since '10m ago' --newest-first --limit 5",
            "stockgate verify --repair",
            "stockgate channels status A",
            "stockgate channels pause web --reason check --actor ann",
            "stockgate channels resume web",
            "stockgate channels resync web --sku A",
            "stockgate channels resync --all",
            "stockgate channels stats -o json",
            "stockgate dead list --channel web --sku A --error 503 --limit 0",
            "stockgate dead replay --dry-run",
            "stockgate dead discard --all --reason gone --actor ann",
            "stockgate carriers quote --from DE:10115 --to FR:75001 --parcel 1200g:300x200x100 --currency EUR -o json",
            "stockgate carriers record dhl/parcel DE-101:FR-750 --shipped 2026-11-20 --promised 2026-11-24 --failed lost",
            "stockgate carriers list dhl --limit 0",
            "stockgate carriers events --order-ref 17",
            "stockgate keys resolve A k1",
            "stockgate load --profile ramp --rate 500 -o json --html report.html --gateway http://shop:1 --allow-remote",
            "stockgate exposure --orders-per-day 2000 --poll-interval 5m --lag 20ms --growth -5 -o json",
            "stockgate repartition --to 16 --dry-run --config shop.toml -o json",
            "stockgate repartition --abandon",
            "stockgate completions bash",
        ];
        for line in accepted {
            let words = line.replace("'10m ago'", "10m");
            Cli::try_parse_from(words.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn contradictions_are_usage_errors() {
        let refused = [
            "stockgate stock set A 5 --force --expect-version 2",
            "stockgate stock sell",
            "stockgate stock sell A=0",
            "stockgate stock set A -5",
            "stockgate stock get A --timeout 0s",
            "stockgate stock get A --gateway localhost:50051",
            "stockgate holds reserve A --ttl soon",
            "stockgate dead discard --all --sku A",
            "stockgate channels resync",
            "stockgate channels resync web --all",
            "stockgate carriers quote --from DE:10115 --to FR:75001 --parcel 1200g:300x200x100",
            "stockgate carriers quote --from DE --to FR --currency EUR",
            "stockgate carriers quote --from DE --to FR --parcel 1g:1x1x1 --currency EUR --refuse-late",
            "stockgate carriers quote --from DE --to FR --parcel 1g:1x1x1 --currency EUR --policy lateness_penalty",
            "stockgate carriers record dhl/parcel DE:FR --shipped 2026-11-20 --promised 2026-11-24",
            "stockgate carriers record dhl/parcel DE:FR --shipped 2026-11-20 --promised 2026-11-24 --delivered 2026-11-23 --failed lost",
            "stockgate carriers record dhl DE:FR --shipped 2026-11-20 --promised 2026-11-24 --failed lost",
            "stockgate repartition",
            "stockgate repartition --to 0",
            "stockgate repartition --to 4 --abandon",
            "stockgate repartition --dry-run --abandon",
        ];
        for line in refused {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
