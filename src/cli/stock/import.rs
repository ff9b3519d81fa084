//! `stockgate stock import`: many counts from a CSV file, in calls of bounded size, one result per row.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader},
};

use clap::Args;
use serde::Serialize;
use tonic::{Code, Status};

use super::{
    super::{
        Verdict,
        failure::CliError,
        gateway::Gateway,
        key::KeyArgs,
        note::WhyArgs,
        output::{Output, Row},
    },
    csv::{ImportRow, NumberedRow, Rows},
};
use crate::proto::{
    BatchGetStockRequest, ImportStockRequest, ImportStockResult, import_stock_request::Condition,
};

/// Rows in one call: what fits the deadline easily, and one BatchGetStock.
const ROWS_PER_CALL_MAX: usize = 1_000;

/// Sets many SKUs.
#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    /// A CSV file, or - for stdin: columns sku,quantity and perhaps expected_version
    file: String,
    /// Set rows without an expected_version whatever the version is; else the version is read right before
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    why: WhyArgs,
}

#[derive(Debug, Default)]
struct Tally {
    set_count: u64,
    replayed_count: u64,
    failed_count: u64,
}

impl Import {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let prefix = self.key.key().text();
        let unreadable = |source| CliError::Input { what: self.file.clone(), source };
        let mut rows = Rows::new(self.open().map_err(unreadable)?);
        let mut tally = Tally::default();
        let mut doubt = None;
        loop {
            let chunk: Vec<_> =
                rows.by_ref().take(ROWS_PER_CALL_MAX).collect::<io::Result<_>>().map_err(unreadable)?;
            if chunk.is_empty() {
                break;
            }
            let results = self.send(gateway, &prefix, chunk).await?;
            results.iter().for_each(|result| tally.add(result));
            output.rows(&results)?;
            doubt = self.doubt(&prefix, &results);
            // What hinders these rows hinders the next ones, and the repeat sends them all.
            if doubt.is_some() {
                break;
            }
        }
        let Tally { set_count, replayed_count, failed_count } = tally;
        eprintln!("{set_count} set, {replayed_count} replayed, {failed_count} failed; --key {prefix}");
        match doubt {
            Some(error) => Err(error),
            None => Ok(Verdict::of_findings(failed_count > 0)),
        }
    }

    fn open(&self) -> io::Result<Box<dyn BufRead>> {
        if self.file == "-" {
            return Ok(Box::new(io::stdin().lock()));
        }
        Ok(Box::new(BufReader::new(File::open(&self.file)?)))
    }

    async fn send(
        &self,
        gateway: &Gateway,
        prefix: &str,
        chunk: Vec<NumberedRow>,
    ) -> Result<Vec<ResultRow>, CliError> {
        let mut results = Vec::new();
        let mut good = Vec::new();
        for row in chunk {
            match row.content {
                Ok(content) => good.push((row.number, content)),
                Err(message) => results.push(ResultRow::unreadable(row.number, message)),
            }
        }
        let (Some((first, _)), Some((last, _))) = (good.first(), good.last()) else { return Ok(results) };
        let (first, last) = (*first, *last);

        let versions = self.read_versions(gateway, &good).await?;
        let numbers: Vec<u64> = good.iter().map(|(number, _)| *number).collect();
        let messages: Vec<_> =
            good.into_iter().map(|(number, row)| self.request(prefix, number, row, &versions)).collect();
        let request = gateway.request(tokio_stream::iter(messages));
        let answer = gateway.inventory().import_stock(request).await.map_err(|status| CliError::Status {
            status: Box::new(status),
            repeat: Some(self.repeat(prefix, first, last)),
        })?;
        let answered = answer.into_inner().results;
        if answered.len() != numbers.len() {
            return Err(CliError::Incomplete("result for every row"));
        }
        results
            .extend(numbers.into_iter().zip(answered).map(|(number, result)| ResultRow::new(number, result)));
        results.sort_by_key(|result| result.row);
        Ok(results)
    }

    /// The versions of SKUs whose rows name none; empty when none needs one.
    async fn read_versions(
        &self,
        gateway: &Gateway,
        rows: &[(u64, ImportRow)],
    ) -> Result<HashMap<String, i64>, CliError> {
        if self.force {
            return Ok(HashMap::new());
        }
        let mut skus: Vec<String> = rows
            .iter()
            .filter(|(_, row)| row.expected_version.is_none())
            .map(|(_, row)| row.sku.clone())
            .collect();
        skus.sort();
        skus.dedup();
        // A SKU nobody can have is left to the row's own result: one bad row must not fail the read of all.
        skus.retain(|sku| crate::domain::Sku::parse(sku).is_ok());
        if skus.is_empty() {
            return Ok(HashMap::new());
        }
        if self.key.is_given() {
            return Err(CliError::Usage(
                "with --key say --force, or give every row an expected_version: a repeat must be the very same \
                 request, and the versions read now may differ from the first time"
                    .to_owned(),
            ));
        }
        let request = gateway.request(BatchGetStockRequest { skus, max_staleness: None });
        let answer = gateway.stock().batch_get_stock(request).await?.into_inner();
        Ok(answer.stocks.into_iter().map(|stock| (stock.sku, stock.version)).collect())
    }

    fn request(
        &self,
        prefix: &str,
        number: u64,
        row: ImportRow,
        versions: &HashMap<String, i64>,
    ) -> ImportStockRequest {
        let condition = match row.expected_version {
            Some(version) => Condition::ExpectedVersion(version),
            None if self.force => Condition::Force(()),
            None => Condition::ExpectedVersion(versions.get(&row.sku).copied().unwrap_or(0)),
        };
        ImportStockRequest {
            idempotency_key: format!("{prefix}-{number}"),
            sku: row.sku,
            quantity: row.quantity,
            condition: Some(condition),
            reason: self.why.reason.clone(),
            actor: self.why.actor.clone(),
        }
    }

    /// The error of rows that are not decided as far as the gateway knows; None when all are.
    fn doubt(&self, prefix: &str, results: &[ResultRow]) -> Option<CliError> {
        let undecided: Vec<_> = results.iter().filter(|row| is_undecided(row.code())).collect();
        let (first, last) = (undecided.first()?, undecided.last()?);
        // One that may have changed something speaks for all: advice for the others would be too light.
        let worst = undecided.iter().find(|row| row.code() != Code::ResourceExhausted).unwrap_or(first);
        let status = Status::new(worst.code(), format!("row {}: {}", worst.row, worst.message));
        Some(CliError::Status {
            status: Box::new(status),
            repeat: Some(self.repeat(prefix, first.row, last.row)),
        })
    }

    /// How to go on when the answer for some rows was lost.
    fn repeat(&self, prefix: &str, first: u64, last: u64) -> String {
        if self.force {
            format!("--force --key {prefix} (rows {first}-{last} are in doubt; what was set stays as it is)")
        } else {
            format!(
                "--key {prefix} when every row has an expected_version; else look at rows {first}-{last} with \
                 `stockgate stock get`, then import the file from row {first} on anew"
            )
        }
    }
}

/// What ends a single call with exit code 3 does so for a row: it may be carried out or not, and the repeat tells.
fn is_undecided(code: Code) -> bool {
    CliError::from(Status::new(code, "")).exit_code() == 3
}

impl Tally {
    fn add(&mut self, result: &ResultRow) {
        match result {
            ResultRow { code: 0, replayed: false, .. } => self.set_count += 1,
            ResultRow { code: 0, replayed: true, .. } => self.replayed_count += 1,
            _ => self.failed_count += 1,
        }
    }
}

#[derive(Debug, Serialize)]
struct ResultRow {
    row: u64,
    sku: String,
    code: i32,
    reason: String,
    message: String,
    replayed: bool,
    on_hand: Option<i64>,
    available: Option<i64>,
    version: Option<i64>,
}

impl ResultRow {
    fn new(row: u64, result: ImportStockResult) -> Self {
        let line = result.line.as_ref();
        Self {
            row,
            on_hand: line.map(|line| line.on_hand),
            available: line.map(|line| line.available),
            version: line.map(|line| line.version),
            sku: result.sku,
            code: result.code,
            reason: result.reason,
            message: result.message,
            replayed: result.replayed,
        }
    }

    fn unreadable(row: u64, message: String) -> Self {
        let code = Code::InvalidArgument.into();
        Self::new(row, ImportStockResult { code, message, ..ImportStockResult::default() })
    }

    fn code(&self) -> Code {
        Code::from_i32(self.code)
    }

    fn outcome(&self) -> &'static str {
        match (self.code, self.replayed) {
            (0, false) => "set",
            (0, true) => "replayed",
            _ => "failed",
        }
    }
}

impl Row for ResultRow {
    const HEAD: &'static [&'static str] =
        &["row", "sku", "outcome", "on hand", "available", "version", "problem"];

    fn cells(&self) -> Vec<String> {
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let problem = match (self.reason.is_empty(), self.message.is_empty()) {
            (true, _) => self.message.clone(),
            (false, true) => self.reason.clone(),
            (false, false) => format!("{}: {}", self.reason, self.message),
        };
        vec![
            self.row.to_string(),
            self.sku.clone(),
            self.outcome().to_owned(),
            number(self.on_hand),
            number(self.available),
            number(self.version),
            problem,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::output::table, *};
    use crate::proto::LineResult;

    #[test]
    fn every_row_shows_its_outcome() {
        let line = LineResult { on_hand: 5, available: 4, version: 2, ..LineResult::default() };
        let set = ImportStockResult { sku: "A".to_owned(), line: Some(line), ..ImportStockResult::default() };
        let refused = ImportStockResult {
            sku: "B".to_owned(),
            code: Code::Aborted.into(),
            reason: "VERSION_MISMATCH".to_owned(),
            message: "is at 3".to_owned(),
            ..ImportStockResult::default()
        };
        let rows = [
            ResultRow::new(1, set),
            ResultRow::new(2, refused),
            ResultRow::unreadable(3, "has 1 columns".to_owned()),
        ];
        assert_eq!(
            table(&rows),
            "ROW  SKU  OUTCOME  ON HAND  AVAILABLE  VERSION  PROBLEM\n  \
             1  A    set            5          4        2  -\n  \
             2  B    failed   -        -          -        VERSION_MISMATCH: is at 3\n  \
             3  -    failed   -        -          -        has 1 columns"
        );
        let mut tally = Tally::default();
        rows.iter().for_each(|row| tally.add(row));
        assert_eq!((tally.set_count, tally.replayed_count, tally.failed_count), (1, 0, 2));
    }
}
