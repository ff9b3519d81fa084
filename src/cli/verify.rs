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
use crate::proto::{VerifyFinding, VerifyOutcome, VerifyStockRequest, VerifyStockResponse};

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
        let (is_wrong, is_cut) = (is_wrong(&answer), is_cut(&answer));
        for what in &answer.unreadable {
            eprintln!("{what} does not parse; nothing is repaired until it is mended or removed");
        }
        let rows: Vec<_> = answer.findings.into_iter().map(FindingRow::from).collect();
        if !rows.is_empty() {
            output.rows(&rows)?;
        }
        eprintln!(
            "{} SKUs and {} events read, {} findings",
            answer.verified_count, answer.event_count, answer.finding_count
        );
        if is_cut {
            eprintln!("only {} are listed, what is still wrong first: verify again for the rest", rows.len());
        }
        if is_wrong && !self.repair {
            eprintln!("repair with --repair");
        }
        Ok(Verdict::of_findings(is_wrong))
    }
}

/// Repaired findings are listed last, so a list of nothing else was not cut before something that is still wrong.
fn is_wrong(answer: &VerifyStockResponse) -> bool {
    let is_unsettled = |found: &VerifyFinding| !is_settled(found.outcome());
    let is_only_cut = answer.findings.is_empty() && is_cut(answer);
    !answer.unreadable.is_empty() || is_only_cut || answer.findings.iter().any(is_unsettled)
}

fn is_cut(answer: &VerifyStockResponse) -> bool {
    usize::try_from(answer.finding_count).is_ok_and(|count| count > answer.findings.len())
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

    #[test]
    fn exit_code_goes_by_what_is_listed_first_and_by_the_count() {
        let check = |outcomes: &[VerifyOutcome], finding_count, wrong, cut| {
            let finding = |outcome: &VerifyOutcome| VerifyFinding {
                outcome: (*outcome).into(),
                ..VerifyFinding::default()
            };
            let findings = outcomes.iter().map(finding).collect();
            let answer = VerifyStockResponse { findings, finding_count, ..VerifyStockResponse::default() };
            assert_eq!((is_wrong(&answer), is_cut(&answer)), (wrong, cut), "{answer:?}");
        };
        check(&[], 0, false, false);
        check(&[], 1, true, true);
        check(&[VerifyOutcome::Repaired], 1, false, false);
        check(&[VerifyOutcome::Repaired], 2, false, true);
        check(&[VerifyOutcome::Busy, VerifyOutcome::Repaired], 3, true, true);
    }
}
