//! `stockgate stock`: set, sell, take in and read stock.

mod adjust;
mod csv;
mod get;
mod import;
mod list;
mod restock;
mod sell;
mod set;
mod watch;

use clap::Subcommand;

use super::{Verdict, failure::CliError, gateway::GatewayArgs, output::Output};

/// What can be done with stock.
#[derive(Debug, Subcommand)]
pub(super) enum StockCommand {
    /// Set the count of one SKU; makes the SKU if it is new
    ///
    /// Without --expect-version or --force the SKU is read first and must not change in between, so that a count
    /// is never overwritten blindly.
    Set(set::Set),
    /// Correct the count of one SKU by a delta
    Adjust(adjust::Adjust),
    /// Read SKUs; exit code 1 when one is unknown
    Get(get::Get),
    /// Sell now: every line, or none
    Sell(sell::Sell),
    /// Take units in: returns, cancellations, receipts
    Restock(restock::Restock),
    /// List all SKUs, in no order
    List(list::List),
    /// Set many SKUs from a CSV file; exit code 1 when a row failed
    Import(import::Import),
    /// Print changes as they happen, until interrupted
    Watch(watch::Watch),
}

impl StockCommand {
    pub(super) async fn run(self, gateway: &GatewayArgs, output: Output) -> Result<Verdict, CliError> {
        let gateway = gateway.connect().await?;
        match self {
            Self::Set(set) => set.run(&gateway, output).await,
            Self::Adjust(adjust) => adjust.run(&gateway, output).await,
            Self::Get(get) => get.run(&gateway, output).await,
            Self::Sell(sell) => sell.run(&gateway, output).await,
            Self::Restock(restock) => restock.run(&gateway, output).await,
            Self::List(list) => list.run(&gateway, output).await,
            Self::Import(import) => import.run(&gateway, output).await,
            Self::Watch(watch) => watch.run(&gateway, output).await,
        }
    }
}
