//! `stockgate stock get`: the counts of some SKUs.

use clap::Args;

use super::super::{Verdict, failure::CliError, gateway::Gateway, output::Output, shown::StockRow};
use crate::proto::BatchGetStockRequest;

/// SKUs in one call; the contract takes no more.
const SKUS_PER_CALL_MAX: usize = 1_000;

/// Reads SKUs.
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    /// The SKUs
    #[arg(required = true, value_name = "SKU")]
    skus: Vec<String>,
}

impl Get {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let mut rows = Vec::new();
        let mut unknown_skus = Vec::new();
        for skus in self.skus.chunks(SKUS_PER_CALL_MAX) {
            let request = gateway.request(BatchGetStockRequest { skus: skus.to_vec() });
            let answer = gateway.stock().batch_get_stock(request).await?.into_inner();
            rows.extend(answer.stocks.into_iter().map(StockRow::from));
            unknown_skus.extend(answer.unknown_skus);
        }
        if !rows.is_empty() {
            output.rows(&rows)?;
        }
        for sku in &unknown_skus {
            eprintln!(
                "unknown sku {sku}: nobody ever set it; make it with `stockgate stock set {sku} <quantity>`"
            );
        }
        Ok(Verdict::of_findings(!unknown_skus.is_empty()))
    }
}
