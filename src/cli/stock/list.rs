//! `stockgate stock list`: every SKU, page by page.

use clap::Args;

use super::super::{
    Verdict, failure::CliError, gateway::Gateway, output::Output, paging::Paging, shown::StockRow,
};
use crate::proto::ListStockRequest;

/// Lists all SKUs.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// How many at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

impl List {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let mut paging = Paging::new(self.limit);
        loop {
            let request = gateway
                .request(ListStockRequest { page_size: paging.page_size(), page_token: paging.token() });
            let page = gateway.inventory().list_stock(request).await?.into_inner();
            if !paging.show::<_, StockRow>(page.stocks, page.next_page_token, output)? {
                return Ok(Verdict::Fine);
            }
        }
    }
}
