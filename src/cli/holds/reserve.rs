//! `stockgate holds reserve`: units promised for a while.

use std::time::Duration;

use clap::Args;

use super::{
    super::{
        Verdict,
        durability::DurabilityArgs,
        failure::CliError,
        gateway::Gateway,
        key::KeyArgs,
        line::LineArg,
        moment::parse_duration,
        note::{OrderArgs, SourceArgs, WhyArgs},
        output::Output,
        shown::Changed,
    },
    ttl_to_proto,
};
use crate::proto::ReserveRequest;

/// Holds units.
#[derive(Debug, Args)]
pub(in crate::cli) struct Reserve {
    /// What to hold; one unit when no quantity is said
    #[arg(required = true, value_name = "SKU[=QUANTITY]")]
    lines: Vec<LineArg>,
    /// How long, at most 24h [default: the gateway's, 10m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<Duration>,
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

impl Reserve {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let key = self.key.key();
        let request = gateway.request(ReserveRequest {
            idempotency_key: key.text(),
            lines: self.lines.into_iter().map(LineArg::into_line).collect(),
            channel: self.source.channel,
            order_ref: self.order.order_ref,
            reason: self.why.reason,
            actor: self.why.actor,
            ttl: self.ttl.map(ttl_to_proto).transpose()?,
            durability: self.durability.level(),
        });
        let answer = gateway.stock().reserve(request).await.map_err(|status| key.error(status))?.into_inner();
        let changed = Changed::new(key.text(), answer.replayed, answer.lines)
            .with_hold(answer.hold)?
            .with_durability(self.durability.shown(answer.durability));
        output.text_or_json(&changed, Changed::text)?;
        Ok(Verdict::Fine)
    }
}
