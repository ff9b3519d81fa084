//! `stockgate stock restock`: units that come in.

use clap::Args;

use super::super::{
    Verdict,
    durability::DurabilityArgs,
    failure::CliError,
    gateway::Gateway,
    key::KeyArgs,
    line::LineArg,
    note::{OrderArgs, SourceArgs, WhyArgs},
    output::Output,
    shown::Changed,
};
use crate::proto::RestockRequest;

/// Takes units in.
#[derive(Debug, Args)]
pub(in crate::cli) struct Restock {
    /// What comes in; one unit when no quantity is said
    #[arg(required = true, value_name = "SKU[=QUANTITY]")]
    lines: Vec<LineArg>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    durability: DurabilityArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    why: WhyArgs,
}

impl Restock {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let key = self.key.key();
        let request = gateway.request(RestockRequest {
            idempotency_key: key.text(),
            lines: self.lines.into_iter().map(LineArg::into_line).collect(),
            channel: self.source.channel,
            order_ref: self.order.order_ref,
            reason: self.why.reason,
            actor: self.why.actor,
            durability: self.durability.level(),
        });
        let answer = gateway.stock().restock(request).await.map_err(|status| key.error(status))?.into_inner();
        let changed = Changed::new(key.text(), answer.replayed, answer.lines)
            .with_durability(self.durability.shown(answer.durability));
        output.text_or_json(&changed, Changed::text)?;
        Ok(Verdict::Fine)
    }
}
