//! `stockgate dead list`: what channels could not be told, page by page.

use clap::Args;

use super::{
    super::{Verdict, failure::CliError, gateway::Gateway, output::Output, paging::Paging},
    filter::FilterArgs,
    letter::LetterRow,
};
use crate::proto::ListDeadLettersRequest;

/// Lists dead letters.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    filter: FilterArgs,
    /// How many at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

impl List {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let mut paging = Paging::new(self.limit);
        loop {
            let request = gateway.request(ListDeadLettersRequest {
                channel: self.filter.channel.clone(),
                sku: self.filter.sku.clone(),
                error_contains: self.filter.error_contains.clone(),
                page_size: paging.page_size(),
                page_token: paging.token(),
            });
            let page = gateway.channels().list_dead_letters(request).await?.into_inner();
            if !paging.show::<_, LetterRow>(page.dead_letters, page.next_page_token, output)? {
                return Ok(Verdict::Fine);
            }
        }
    }
}
