//! `stockgate channels resync`: the stock is told again.

use clap::Args;
use serde::Serialize;

use super::super::{Verdict, failure::CliError, gateway::Gateway, note::OperatorArgs, output::Output};
use crate::proto::ResyncRequest;

/// Tells channels the stock again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Resync {
    /// Only this channel
    #[arg(required_unless_present_any = ["sku", "all"])]
    channel: Option<String>,
    /// Only this SKU
    #[arg(long)]
    sku: Option<String>,
    /// Every SKU to every channel
    #[arg(long, conflicts_with_all = ["channel", "sku"])]
    all: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

#[derive(Debug, Serialize)]
struct Resynced {
    #[serde(skip)]
    sku: Option<String>,
    marked_count: i64,
}

impl Resynced {
    fn text(&self) -> String {
        match &self.sku {
            Some(sku) => format!("{sku} is told again, on {} channels", self.marked_count),
            None => "all stock is told again in the background: follow it with `stockgate channels list`"
                .to_owned(),
        }
    }
}

impl Resync {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let OperatorArgs { actor, reason } = self.operator;
        let request = ResyncRequest {
            channel: self.channel.unwrap_or_default(),
            sku: self.sku.clone().unwrap_or_default(),
            actor,
            reason,
        };
        let answer = gateway.channels().resync(gateway.request(request)).await?.into_inner();
        output
            .text_or_json(&Resynced { sku: self.sku, marked_count: answer.marked_count }, Resynced::text)?;
        Ok(Verdict::Fine)
    }
}
