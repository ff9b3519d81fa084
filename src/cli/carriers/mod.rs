//! `stockgate carriers`: which carrier takes a parcel and why, and how well carriers keep their promises.

mod amount;
mod answer;
mod day;
mod events;
mod judged;
mod list;
mod parcel;
mod performance;
mod place;
mod quote;
mod record;
mod source;
mod words;

use clap::Subcommand;

use super::{Verdict, failure::CliError, gateway::GatewayArgs, output::Output};

/// What can be asked about carriers, and told of them.
#[derive(Debug, Subcommand)]
pub(super) enum CarriersCommand {
    /// Choose a carrier for a shipment: the chosen one, all others with their reasons, and what the sources did
    ///
    /// Nothing is booked: the only trace is an entry of the audit trail.
    Quote(Box<quote::Quote>),
    /// Say what became of a parcel; it counts once for its key
    Record(record::Record),
    /// List the sources of prices, then what was measured of carriers, services and lanes
    List(list::List),
    /// List what was chosen and recorded, the newest first
    Events(events::Events),
}

impl CarriersCommand {
    pub(super) async fn run(self, gateway: &GatewayArgs, output: Output) -> Result<Verdict, CliError> {
        let gateway = gateway.connect().await?;
        match self {
            Self::Quote(quote) => quote.run(&gateway, output).await,
            Self::Record(record) => record.run(&gateway, output).await,
            Self::List(list) => list.run(&gateway, output).await,
            Self::Events(events) => events.run(&gateway, output).await,
        }
    }
}
