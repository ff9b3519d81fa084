//! `stockgate stock watch`: changes as they happen. Ends with the token that goes on from there.

use clap::Args;
use serde::Serialize;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;

use super::super::{
    Verdict, events::EventRow, explain::printable, failure::CliError, gateway::Gateway, output::Output,
    shown::StockRow,
};
use crate::proto::{WatchStockRequest, WatchStockResponse};

/// Prints changes until interrupted.
#[derive(Debug, Args)]
pub(in crate::cli) struct Watch {
    /// The SKUs to watch; none: all
    #[arg(value_name = "SKU")]
    skus: Vec<String>,
    /// Go on where an earlier watch ended
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    resume: String,
}

impl Watch {
    pub(super) async fn run(self, gateway: &Gateway, output: Output) -> Result<Verdict, CliError> {
        let mut resume_token = self.resume.clone();
        let mut changes = self.open(gateway, &resume_token).await?;
        // The stream itself has no deadline: a quiet shop sends nothing for hours. The user ends it.
        let ended = loop {
            let next = tokio::select! {
                next = changes.message() => next,
                _ = tokio::signal::ctrl_c() => break Ok(Verdict::Fine),
            };
            match next {
                // A last token and nothing else, before the gateway ends the watch.
                Ok(Some(change)) if change.stock.is_none() => resume_token = change.resume_token,
                Ok(Some(change)) => {
                    resume_token.clone_from(&change.resume_token);
                    output.text_or_json(&ChangeShown::from(change), ChangeShown::text)?;
                }
                Ok(None) => break Err(Status::unavailable("the gateway ended the watch").into()),
                Err(status) if is_aged(&status) && !resume_token.is_empty() => {
                    match self.open(gateway, &resume_token).await {
                        Ok(resumed) => changes = resumed,
                        Err(error) => break Err(error),
                    }
                }
                Err(status) => break Err(status.into()),
            }
        };
        if !resume_token.is_empty() {
            eprintln!("go on with: stockgate stock watch {}--resume {resume_token}", sku_words(&self.skus));
        }
        ended
    }

    async fn open(
        &self,
        gateway: &Gateway,
        resume_token: &str,
    ) -> Result<Streaming<WatchStockResponse>, CliError> {
        let message = WatchStockRequest { skus: self.skus.clone(), resume_token: resume_token.to_owned() };
        let mut stock = gateway.stock();
        let opened = tokio::time::timeout(gateway.timeout(), stock.watch_stock(Request::new(message))).await;
        let late =
            |_| Status::new(Code::DeadlineExceeded, "the watch was not opened in time: raise --timeout");
        Ok(opened.map_err(late)??.into_inner())
    }
}

/// Whether only the connection came to its age.
fn is_aged(status: &Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == "CONNECTION_AGED")
}

fn sku_words(skus: &[String]) -> String {
    skus.iter().map(|sku| format!("{sku} ")).collect()
}

#[derive(Debug, Serialize)]
struct ChangeShown {
    stock: Option<StockRow>,
    event: Option<EventRow>,
    resume_token: String,
}

impl From<WatchStockResponse> for ChangeShown {
    fn from(change: WatchStockResponse) -> Self {
        Self {
            stock: change.stock.map(StockRow::from),
            event: change.event.map(EventRow::from),
            resume_token: change.resume_token,
        }
    }
}

impl ChangeShown {
    /// One line a change: a table's columns cannot be known before its last row.
    fn text(&self) -> String {
        let what = self.event.as_ref().map_or_else(|| "now".to_owned(), EventRow::headline);
        let stock = self.stock.as_ref().map(StockRow::headline).unwrap_or_default();
        printable(&format!("{stock}  {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Event, EventKind, Stock};

    #[test]
    fn change_is_one_line() {
        let stock =
            Stock { sku: "A".to_owned(), available: 3, on_hand: 5, held: 2, version: 7, ..Stock::default() };
        let event = Event {
            kind: EventKind::Reserved.into(),
            held_delta: 2,
            channel: "web".to_owned(),
            ..Event::default()
        };
        let mut change =
            WatchStockResponse { stock: Some(stock), event: Some(event), resume_token: "t".to_owned() };
        assert_eq!(
            ChangeShown::from(change.clone()).text(),
            "A  available 3  on hand 5  held 2  version 7  reserved (on hand +0, held +2) by web"
        );
        change.event = None;
        assert!(ChangeShown::from(change).text().ends_with("version 7  now"));
    }
}
