//! `stockgate stock set`: an absolute count, never written blindly.

use clap::Args;
use tonic::Code;

use super::super::{
    Verdict,
    failure::CliError,
    gateway::Gateway,
    key::KeyArgs,
    note::{SourceArgs, WhyArgs},
    output::Output,
    shown::Changed,
};
use crate::{
    domain::QUANTITY_MAX,
    proto::{GetStockRequest, SetStockRequest, set_stock_request::Condition},
};

/// Sets the count of one SKU.
#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    /// The SKU
    sku: String,
    /// The new on hand
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(0..=QUANTITY_MAX))]
    quantity: i64,
    /// The SKU must be at exactly this version; 0: it must not exist
    #[arg(long, value_name = "N", conflicts_with = "force")]
    expect_version: Option<i64>,
    /// Set it whatever the version is
    #[arg(long)]
    force: bool,
    /// The count was taken right after this event: what changed later is kept on top
    #[arg(long, value_name = "EVENT", default_value = "", hide_default_value = true)]
    as_of_event: String,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    why: WhyArgs,
}

impl Set {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let condition = self.condition(gateway).await?;
        let key = self.key.key();
        let key = match condition {
            Condition::ExpectedVersion(version) => key.with_flag(&format!("--expect-version {version}")),
            Condition::Force(()) => key,
        };
        let request = gateway.request(SetStockRequest {
            idempotency_key: key.text(),
            sku: self.sku,
            quantity: self.quantity,
            condition: Some(condition),
            as_of_event: self.as_of_event,
            channel: self.source.channel,
            reason: self.why.reason,
            actor: self.why.actor,
        });
        let answer =
            gateway.inventory().set_stock(request).await.map_err(|status| key.error(status))?.into_inner();
        let lines = answer.line.into_iter().collect();
        output.text_or_json(&Changed::new(key.text(), answer.replayed, lines), Changed::text)?;
        Ok(Verdict::Fine)
    }

    async fn condition(&self, gateway: &Gateway) -> Result<Condition, CliError> {
        if self.force {
            return Ok(Condition::Force(()));
        }
        if let Some(version) = self.expect_version {
            return Ok(Condition::ExpectedVersion(version));
        }
        if self.key.is_given() {
            return Err(CliError::Usage(
                "with --key say --expect-version or --force too: a repeat must be the very same request, \
                 and the version read now may differ from the first time"
                    .to_owned(),
            ));
        }
        let request = gateway.request(GetStockRequest { sku: self.sku.clone(), max_staleness: None });
        let version = match gateway.stock().get_stock(request).await {
            Ok(answer) => answer.into_inner().stock.ok_or(CliError::Incomplete("stock"))?.version,
            Err(status) if status.code() == Code::NotFound => 0,
            Err(status) => return Err(status.into()),
        };
        Ok(Condition::ExpectedVersion(version))
    }
}
