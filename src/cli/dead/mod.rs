//! `stockgate dead`: what channels could not be told, and what a person does about it.

mod discard;
mod filter;
mod letter;
mod list;
mod replay;
mod treated;

use clap::Subcommand;

use super::{Verdict, failure::CliError, gateway::GatewayArgs, output::Output};

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub(super) enum DeadCommand {
    /// List what channels could not be told, with the last error
    List(list::List),
    /// Tell them again with fresh attempts, behind what is live; without a filter, all
    Replay(replay::Replay),
    /// Drop them: the channel keeps showing what it shows until the SKU changes again
    Discard(discard::Discard),
}

impl DeadCommand {
    pub(super) async fn run(self, gateway: &GatewayArgs, output: Output) -> Result<Verdict, CliError> {
        let gateway = gateway.connect().await?;
        match self {
            Self::List(list) => list.run(&gateway, output).await,
            Self::Replay(replay) => replay.run(&gateway, output).await,
            Self::Discard(discard) => discard.run(&gateway, output).await,
        }
    }
}
