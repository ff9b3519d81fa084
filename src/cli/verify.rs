//! `stockgate verify`: counters against holds and events.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::{
    Verdict,
    failure::CliError,
    gateway::GatewayArgs,
    output::{Output, Row},
};
use crate::proto::{VerifyFinding, VerifyOutcome, VerifyStockRequest};

/// How long a verify may take when `--timeout` is not given: it reads the whole history.
const VERIFY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(300);

/// Recomputes counters.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The SKUs, at most 1,000; none: all
    #[arg(value_name = "SKU")]
    skus: Vec<String>,
    /// Write what was found to be right, with an event
    #[arg(long)]
    repair: bool,
}

impl Verify {
    pub(super) async fn run(self, gateway: &GatewayArgs, output: Output) -> Result<Verdict, CliError> {
        let gateway = gateway.connect_for(VERIFY_TIMEOUT_DEFAULT).await?;
        let request = gateway.request(VerifyStockRequest { skus: self.skus, repair: self.repair });
        let answer = gateway.inventory().verify_stock(request).await?.into_inner();
        let is_wrong =
            !answer.unreadable.is_empty() || answer.findings.iter().any(|found| !is_settled(found.outcome()));
        for what in &answer.unreadable {
            eprintln!("{what} does not parse; nothing is repaired until it is mended or removed");
        }
        let rows: Vec<_> = answer.findings.into_iter().map(FindingRow::from).collect();
        if !rows.is_empty() {
            output.rows(&rows)?;
        }
        eprintln!(
            "{} SKUs and {} events read, {} findings",
            answer.verified_count,
            answer.event_count,
            rows.len()
        );
        if is_wrong && !self.repair {
            eprintln!("repair with --repair");
        }
        Ok(Verdict::of_findings(is_wrong))
    }
}

fn is_settled(outcome: VerifyOutcome) -> bool {
    matches!(outcome, VerifyOutcome::Ok | VerifyOutcome::Repaired)
}

#[derive(Debug, Serialize)]
struct FindingRow {
    sku: String,
    outcome: &'static str,
    on_hand_stored: i64,
    on_hand_computed: i64,
    held_stored: i64,
    held_computed: i64,
}

impl From<VerifyFinding> for FindingRow {
    fn from(finding: VerifyFinding) -> Self {
        Self {
            outcome: outcome_word(finding.outcome()),
            sku: finding.sku,
            on_hand_stored: finding.on_hand_stored,
            on_hand_computed: finding.on_hand_computed,
            held_stored: finding.held_stored,
            held_computed: finding.held_computed,
        }
    }
}

impl Row for FindingRow {
    const HEAD: &'static [&'static str] =
        &["sku", "outcome", "on hand stored", "on hand computed", "held stored", "held computed"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.sku.clone(),
            self.outcome.to_owned(),
            self.on_hand_stored.to_string(),
            self.on_hand_computed.to_string(),
            self.held_stored.to_string(),
            self.held_computed.to_string(),
        ]
    }
}

fn outcome_word(outcome: VerifyOutcome) -> &'static str {
    match outcome {
        VerifyOutcome::Unspecified => "unspecified",
        VerifyOutcome::Ok => "ok",
        VerifyOutcome::Mismatch => "mismatch",
        VerifyOutcome::Broken => "broken",
        VerifyOutcome::Repaired => "repaired",
        VerifyOutcome::Busy => "busy: ask again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_right_now_is_settled() {
        assert!(is_settled(VerifyOutcome::Repaired));
        for wrong in
            [VerifyOutcome::Mismatch, VerifyOutcome::Broken, VerifyOutcome::Busy, VerifyOutcome::Unspecified]
        {
            assert!(!is_settled(wrong), "{wrong:?}");
        }
    }
}
