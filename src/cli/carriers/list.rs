//! `stockgate carriers list`: the sources of prices, and what was measured.

use clap::Args;

use super::{
    super::{
        Verdict,
        failure::CliError,
        gateway::Gateway,
        output::{Output, print_line},
        paging::Paging,
    },
    performance::PerformanceRow,
    source::SourceRow,
};
use crate::proto::ListCarriersRequest;

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
        let mut paging = Paging::new(self.limit);
        let mut is_first = true;
        loop {
            let request = gateway.request(ListCarriersRequest {
                carrier: self.carrier.clone(),
                page_size: paging.page_size(),
                page_token: paging.token(),
            });
            let page = gateway.carriers().list_carriers(request).await?.into_inner();
            let sources: Vec<_> = page.sources.into_iter().map(SourceRow::from).collect();
            if is_first {
                show_sources(&sources, output)?;
                if page.performances.is_empty() && page.next_page_token.is_empty() {
                    eprintln!("no delivery was recorded yet: `stockgate carriers record` does");
                }
            }
            is_first = false;
            if !paging.show::<_, PerformanceRow>(page.performances, page.next_page_token, output)? {
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
