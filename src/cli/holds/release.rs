//! `stockgate holds release`: what was promised goes back.

use clap::Args;

use super::super::{
    Verdict, durability::DurabilityArgs, failure::CliError, gateway::Gateway, key::KeyArgs, line::LineArg,
    note::WhyArgs, output::Output, shown::Changed,
};
use crate::proto::ReleaseRequest;

/// Gives a hold's units back.
#[derive(Debug, Args)]
pub(in crate::cli) struct Release {
    /// The hold; an unknown one succeeds, and its late reserve is refused
    hold_id: String,
    /// What to give back; none: all
    #[arg(value_name = "SKU[=QUANTITY]")]
    lines: Vec<LineArg>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    durability: DurabilityArgs,
    #[command(flatten)]
    why: WhyArgs,
}

impl Release {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let key = self.key.key();
        let request = gateway.request(ReleaseRequest {
            hold_id: self.hold_id,
            idempotency_key: key.text(),
            lines: self.lines.into_iter().map(LineArg::into_quantity).collect(),
            reason: self.why.reason,
            actor: self.why.actor,
            durability: self.durability.level(),
        });
        let answer = gateway.stock().release(request).await.map_err(|status| key.error(status))?.into_inner();
        let changed = Changed::new(key.text(), answer.replayed, answer.lines)
            .with_hold(answer.hold)?
            .with_durability(self.durability.shown(answer.durability));
        output.text_or_json(&changed, Changed::text)?;
        Ok(Verdict::Fine)
    }
}
