//! `stockgate stock adjust`: a correction by a delta.

use clap::Args;

use super::super::{
    Verdict,
    durability::DurabilityArgs,
    failure::CliError,
    gateway::Gateway,
    key::KeyArgs,
    note::{SourceArgs, WhyArgs},
    output::Output,
    shown::Changed,
};
use crate::proto::AdjustStockRequest;

/// Corrects the count of one SKU.
#[derive(Debug, Args)]
pub(in crate::cli) struct Adjust {
    /// The SKU
    sku: String,
    /// Units to add, or to take with a minus
    #[arg(allow_negative_numbers = true)]
    delta: i64,
    /// The SKU must be at exactly this version
    #[arg(long, value_name = "N")]
    expect_version: Option<i64>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    durability: DurabilityArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    why: WhyArgs,
}

impl Adjust {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let key = self.key.key();
        let request = gateway.request(AdjustStockRequest {
            idempotency_key: key.text(),
            sku: self.sku,
            delta: self.delta,
            expected_version: self.expect_version,
            channel: self.source.channel,
            reason: self.why.reason,
            actor: self.why.actor,
            durability: self.durability.level(),
        });
        let answer =
            gateway.inventory().adjust_stock(request).await.map_err(|status| key.error(status))?.into_inner();
        let lines = answer.line.into_iter().collect();
        let changed = Changed::new(key.text(), answer.replayed, lines)
            .with_durability(self.durability.shown(answer.durability));
        output.text_or_json(&changed, Changed::text)?;
        Ok(Verdict::Fine)
    }
}
