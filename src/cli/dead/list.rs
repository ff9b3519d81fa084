//! `stockgate dead list`: what channels could not be told, page by page.

use clap::Args;

use super::{
    super::{Verdict, failure::CliError, gateway::Gateway, output::Output},
    filter::FilterArgs,
    letter::LetterRow,
};
use crate::proto::ListDeadLettersRequest;

/// Letters in one page; the contract sends no more.
const PAGE_SIZE_MAX: u64 = 1_000;

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
        let mut left = if self.limit == 0 { u64::MAX } else { self.limit };
        let mut page_token = String::new();
        loop {
            let request = gateway.request(ListDeadLettersRequest {
                channel: self.filter.channel.clone(),
                sku: self.filter.sku.clone(),
                error_contains: self.filter.error_contains.clone(),
                page_size: i32::try_from(left.min(PAGE_SIZE_MAX)).unwrap_or(i32::MAX),
                page_token,
            });
            let page = gateway.channels().list_dead_letters(request).await?.into_inner();
            let wanted = usize::try_from(left).unwrap_or(usize::MAX);
            let rows: Vec<_> = page.dead_letters.into_iter().take(wanted).map(LetterRow::from).collect();
            if !rows.is_empty() {
                output.rows(&rows)?;
            }
            left = left.saturating_sub(rows.len() as u64);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(Verdict::Fine);
            }
            if left == 0 {
                eprintln!("there may be more: raise --limit, or say --limit 0 for all");
                return Ok(Verdict::Fine);
            }
        }
    }
}
