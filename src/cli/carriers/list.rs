//! `stockgate carriers list`: the sources of prices, and what was measured.

use clap::Args;

use super::{
    super::{
        Verdict,
        failure::CliError,
        gateway::Gateway,
        output::{Output, print_line},
    },
    performance::PerformanceRow,
    source::SourceRow,
};
use crate::proto::ListCarriersRequest;

/// Rows in one page; the contract sends no more.
const PAGE_SIZE_MAX: u64 = 1_000;

/// Lists sources and carriers.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Only this carrier
    #[arg(default_value = "", hide_default_value = true)]
    carrier: String,
    /// How many rows of measures at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

impl List {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let mut left = if self.limit == 0 { u64::MAX } else { self.limit };
        let mut page_token = String::new();
        let mut is_first = true;
        loop {
            let request = gateway.request(ListCarriersRequest {
                carrier: self.carrier.clone(),
                page_size: i32::try_from(left.min(PAGE_SIZE_MAX)).unwrap_or(i32::MAX),
                page_token,
            });
            let page = gateway.carriers().list_carriers(request).await?.into_inner();
            let sources: Vec<_> = page.sources.into_iter().map(SourceRow::from).collect();
            let wanted = usize::try_from(left).unwrap_or(usize::MAX);
            let rows: Vec<_> = page.performances.into_iter().take(wanted).map(PerformanceRow::from).collect();
            if is_first {
                show_sources(&sources, output)?;
                if rows.is_empty() && page.next_page_token.is_empty() {
                    eprintln!("no delivery was recorded yet: `stockgate carriers record` does");
                }
            }
            if !rows.is_empty() {
                output.rows(&rows)?;
            }
            is_first = false;
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

/// As objects with `source` before those with `carrier`, or as a table of their own.
fn show_sources(sources: &[SourceRow], output: Output) -> Result<(), CliError> {
    if sources.is_empty() {
        eprintln!("no source of prices is configured: add one as [[carriers.sources]]");
        return Ok(());
    }
    output.rows(sources)?;
    match output {
        Output::Table => print_line(""),
        Output::Json => Ok(()),
    }
}
