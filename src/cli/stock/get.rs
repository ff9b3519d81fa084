//! `stockgate stock get`: the counts of some SKUs.

use std::time::Duration;

use clap::Args;

use super::super::{Verdict, failure::CliError, gateway::Gateway, moment, output::Output, shown::StockRow};
use crate::proto::BatchGetStockRequest;

/// SKUs in one call; the contract takes no more.
const SKUS_PER_CALL_MAX: usize = 1_000;

/// Reads SKUs.
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    /// The SKUs
    #[arg(required = true, value_name = "SKU")]
    skus: Vec<String>,
    /// How old the counts may be, 1ms to 1h; read now when left out
    #[arg(long, value_name = "SPAN", value_parser = moment::parse_duration)]
    max_staleness: Option<Duration>,
}

impl Get {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let mut rows = Vec::new();
        let mut unknown_skus = Vec::new();
        let age_max = self.max_staleness.map(prost_types::Duration::try_from).transpose();
        let age_max =
            age_max.map_err(|_| CliError::Usage("--max-staleness is too long: at most 1h".to_owned()))?;
        for skus in self.skus.chunks(SKUS_PER_CALL_MAX) {
            let request =
                gateway.request(BatchGetStockRequest { skus: skus.to_vec(), max_staleness: age_max });
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
