//! `stockgate holds`: reserve, then commit, release or extend.

mod commit;
mod extend;
mod get;
mod release;
mod reserve;

use clap::Subcommand;

use super::{Verdict, failure::CliError, gateway::GatewayArgs, output::Output};

/// What can be done with holds.
#[derive(Debug, Subcommand)]
pub(super) enum HoldsCommand {
    /// Hold units for a while: every line, or none
    Reserve(reserve::Reserve),
    /// Sell what a hold promised, wholly or in part
    Commit(commit::Commit),
    /// Give a hold's units back
    Release(release::Release),
    /// Give a hold another deadline, counted from now
    Extend(extend::Extend),
    /// Read one hold
    Get(get::Get),
}

impl HoldsCommand {
    pub(super) async fn run(self, gateway: &GatewayArgs, output: Output) -> Result<Verdict, CliError> {
        let gateway = gateway.connect().await?;
        match self {
            Self::Reserve(reserve) => reserve.run(&gateway, output).await,
            Self::Commit(commit) => commit.run(&gateway, output).await,
            Self::Release(release) => release.run(&gateway, output).await,
            Self::Extend(extend) => extend.run(&gateway, output).await,
            Self::Get(get) => get.run(&gateway, output).await,
        }
    }
}

/// How long a hold lasts, as the contract carries it; clap has refused what does not parse.
fn ttl_to_proto(ttl: std::time::Duration) -> Result<prost_types::Duration, CliError> {
    prost_types::Duration::try_from(ttl)
        .map_err(|_| CliError::Usage("--ttl is too long: at most 24h".to_owned()))
}
