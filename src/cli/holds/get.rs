//! `stockgate holds get`: one hold, live or ended.

use clap::Args;

use super::super::{Verdict, failure::CliError, gateway::Gateway, output::Output, shown::HoldShown};
use crate::proto::GetHoldRequest;

/// Reads one hold.
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    /// The hold
    hold_id: String,
}

impl Get {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let request = gateway.request(GetHoldRequest { hold_id: self.hold_id });
        let answer = gateway.stock().get_hold(request).await?.into_inner();
        let hold = HoldShown::from(answer.hold.ok_or(CliError::Incomplete("hold"))?);
        output.text_or_json(&hold, HoldShown::text)?;
        Ok(Verdict::Fine)
    }
}
