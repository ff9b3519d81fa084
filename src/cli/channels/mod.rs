//! `stockgate channels`: how far behind each sales channel is, and why; and the hand on them.

mod list;
mod operate;
mod resync;
mod stats;
mod status;

use clap::Subcommand;

use super::{Verdict, failure::CliError, gateway::GatewayArgs, output::Output};

/// What can be asked about channels, and done to them.
#[derive(Debug, Subcommand)]
pub(super) enum ChannelsCommand {
    /// List the channels with their lag, what is still due, and what keeps them
    List,
    /// Say why one SKU is stale on a channel: what each was told, what it should show, what comes next
    Status(status::Status),
    /// Stop all calls to a channel, on every worker; what it must be told waits
    Pause(operate::Pause),
    /// Let calls go out again: lifts a pause, closes the breaker, forgets a throttle
    Resume(operate::Resume),
    /// Tell channels the stock again, paced and never ahead of live changes
    Resync(resync::Resync),
    /// Count what the streams of events hold, and what of it was not carried to channels yet
    Stats,
}

impl ChannelsCommand {
    pub(super) async fn run(self, gateway: &GatewayArgs, output: Output) -> Result<Verdict, CliError> {
        let gateway = gateway.connect().await?;
        match self {
            Self::List => list::run(&gateway, output).await,
            Self::Status(status) => status.run(&gateway, output).await,
            Self::Pause(pause) => pause.run(&gateway, output).await,
            Self::Resume(resume) => resume.run(&gateway, output).await,
            Self::Resync(resync) => resync.run(&gateway, output).await,
            Self::Stats => stats::run(&gateway, output).await,
        }
    }
}
