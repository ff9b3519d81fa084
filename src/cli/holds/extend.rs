//! `stockgate holds extend`: another deadline, counted from now.

use std::time::Duration;

use clap::Args;

use super::{
    super::{
        Verdict, durability::DurabilityArgs, failure::CliError, gateway::Gateway, key::KeyArgs,
        moment::parse_duration, output::Output, shown::Changed,
    },
    ttl_to_proto,
};
use crate::proto::ExtendHoldRequest;

/// Gives a hold another deadline.
#[derive(Debug, Args)]
pub(in crate::cli) struct Extend {
    /// The hold
    hold_id: String,
    /// How long from now on, at most 24h; it may end earlier than before
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Duration,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    durability: DurabilityArgs,
}

impl Extend {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let key = self.key.key();
        let request = gateway.request(ExtendHoldRequest {
            hold_id: self.hold_id,
            idempotency_key: key.text(),
            ttl: Some(ttl_to_proto(self.ttl)?),
            durability: self.durability.level(),
        });
        let answer =
            gateway.stock().extend_hold(request).await.map_err(|status| key.error(status))?.into_inner();
        let changed = Changed::new(key.text(), answer.replayed, Vec::new())
            .with_hold(answer.hold)?
            .with_durability(self.durability.shown(answer.durability));
        output.text_or_json(&changed, Changed::text)?;
        Ok(Verdict::Fine)
    }
}
