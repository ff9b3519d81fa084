//! `stockgate dead replay`: tells a channel again what it could not be told.

use clap::Args;

use super::{
    super::{Verdict, failure::CliError, gateway::Gateway, note::OperatorArgs, output::Output},
    filter::FilterArgs,
    treated::Treated,
};
use crate::proto::ReplayDeadLettersRequest;

/// Makes dead letters due again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Replay {
    #[command(flatten)]
    filter: FilterArgs,
    /// Only say what would be replayed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

impl Replay {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let mut done = Treated::begin("replayed", self.dry_run);
        let mut page_token = String::new();
        loop {
            let request = gateway.request(ReplayDeadLettersRequest {
                channel: self.filter.channel.clone(),
                sku: self.filter.sku.clone(),
                error_contains: self.filter.error_contains.clone(),
                dry_run: self.dry_run,
                actor: self.operator.actor.clone(),
                reason: self.operator.reason.clone(),
                page_token,
            });
            let answer = gateway.channels().replay_dead_letters(request).await;
            let page = answer.map_err(|status| done.failed(status))?.into_inner();
            done.add(page.matched_count, page.replayed_count, page.sample);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return done.print(output);
            }
        }
    }
}
