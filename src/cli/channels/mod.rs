//! `stockgate channels`: how far behind each sales channel is, and why.

mod list;
mod status;

use clap::Subcommand;

use super::{Verdict, failure::CliError, gateway::GatewayArgs, output::Output};

/// What can be asked about channels.
#[derive(Debug, Subcommand)]
pub(super) enum ChannelsCommand {
    /// List the channels with their lag and what is still due
    List,
    /// Say why one SKU is stale on a channel: what each was told, what it should show, what comes next
    Status(status::Status),
}

impl ChannelsCommand {
    pub(super) async fn run(self, gateway: &GatewayArgs, output: Output) -> Result<Verdict, CliError> {
        let gateway = gateway.connect().await?;
        match self {
            Self::List => list::run(&gateway, output).await,
            Self::Status(status) => status.run(&gateway, output).await,
        }
    }
}
