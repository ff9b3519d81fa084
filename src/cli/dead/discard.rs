//! `stockgate dead discard`: gives up what a channel could not be told.

use clap::Args;

use super::{
    super::{Verdict, failure::CliError, gateway::Gateway, note::OperatorArgs, output::Output},
    filter::FilterArgs,
    treated::Treated,
};
use crate::proto::DiscardDeadLettersRequest;

/// Drops dead letters.
#[derive(Debug, Args)]
pub(in crate::cli) struct Discard {
    #[command(flatten)]
    filter: FilterArgs,
    /// Really all of them; has to be said when no filter is given
    #[arg(long, conflicts_with_all = ["channel", "sku", "error_contains"])]
    all: bool,
    /// Only say what would be discarded
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

impl Discard {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        if !self.dry_run && self.operator.reason.is_empty() {
            return Err(CliError::Usage("say why with --reason: discarding cannot be undone".to_owned()));
        }
        let mut done = Treated::begin("discarded", self.dry_run);
        let mut page_token = String::new();
        loop {
            let request = gateway.request(DiscardDeadLettersRequest {
                channel: self.filter.channel.clone(),
                sku: self.filter.sku.clone(),
                error_contains: self.filter.error_contains.clone(),
                all: self.all,
                dry_run: self.dry_run,
                actor: self.operator.actor.clone(),
                reason: self.operator.reason.clone(),
                page_token,
            });
            let answer = gateway.channels().discard_dead_letters(request).await;
            let page = answer.map_err(|status| done.failed(status))?.into_inner();
            done.add(page.matched_count, page.discarded_count, page.sample);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return done.print(output);
            }
        }
    }
}
