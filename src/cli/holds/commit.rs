//! `stockgate holds commit`: what was promised is sold.

use clap::Args;

use super::super::{
    Verdict, durability::DurabilityArgs, failure::CliError, gateway::Gateway, key::KeyArgs, line::LineArg,
    note::WhyArgs, output::Output, shown::Changed,
};
use crate::proto::{CommitRequest, ExpiredPolicy};

/// Sells what a hold promised.
#[derive(Debug, Args)]
pub(in crate::cli) struct Commit {
    /// The hold
    hold_id: String,
    /// What to sell of it; none: all that is still held
    #[arg(value_name = "SKU[=QUANTITY]")]
    lines: Vec<LineArg>,
    /// Keep what is not sold on hold (split shipments); else it goes back
    #[arg(long)]
    keep_open: bool,
    /// When the hold's time is over, take the units again if they are still there
    #[arg(long)]
    reacquire: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    durability: DurabilityArgs,
    #[command(flatten)]
    why: WhyArgs,
}

impl Commit {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let key = self.key.key();
        let policy = if self.reacquire { ExpiredPolicy::Reacquire } else { ExpiredPolicy::Strict };
        let request = gateway.request(CommitRequest {
            hold_id: self.hold_id,
            idempotency_key: key.text(),
            lines: self.lines.into_iter().map(LineArg::into_quantity).collect(),
            keep_open: self.keep_open,
            expired_policy: policy.into(),
            reason: self.why.reason,
            actor: self.why.actor,
            durability: self.durability.level(),
        });
        let answer = gateway.stock().commit(request).await.map_err(|status| key.error(status))?.into_inner();
        let changed = Changed::new(key.text(), answer.replayed, answer.lines)
            .with_hold(answer.hold)?
            .with_durability(self.durability.shown(answer.durability));
        output.text_or_json(&changed, Changed::text)?;
        Ok(Verdict::Fine)
    }
}
