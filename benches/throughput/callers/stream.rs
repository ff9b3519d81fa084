//! The same closed loop over Transact: a stream on each connection, and the callers of a connection share its stream.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use stockgate::proto::{
    TransactRequest, stock_service_client::StockServiceClient, transact_request::Operation, transact_response,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};

use super::{Caller, Round};

/// Sends the next operation when one is answered, `places` at the same time; then closes its side and waits for the rest.
pub(super) async fn call_until(
    mut client: StockServiceClient<Channel>,
    mut caller: Caller,
    places: usize,
    round: Round,
) -> Result<()> {
    let (asks, queue) = mpsc::channel(places);
    let mut asked = vec![Instant::now(); places];
    for (place, at) in asked.iter_mut().enumerate() {
        *at = Instant::now();
        asks.send(caller.operation(place)).await?;
    }
    let mut asks = Some(asks);
    let mut answers = client.transact(ReceiverStream::new(queue)).await?.into_inner();
    let mut open = places;
    while let Some(answer) = answers.message().await? {
        let now = Instant::now();
        let place = usize::try_from(answer.tag)?;
        let at = asked.get_mut(place).context("an answer to nothing that was asked")?;
        let sold = match answer.result {
            Some(transact_response::Result::Decrement(sold)) => Ok(sold.lines),
            Some(transact_response::Result::Problem(problem)) => {
                Err(Status::new(problem.code.into(), problem.message))
            }
            other => bail!("an answer to something else: {other:?}"),
        };
        round.note(now - *at, sold)?;
        open -= 1;
        if now >= round.end {
            asks = None;
        } else if let Some(asks) = &asks {
            *at = now;
            open += 1;
            asks.send(caller.operation(place)).await?;
        }
    }
    if open > 0 {
        bail!("the stream ended with {open} operations unanswered");
    }
    Ok(())
}

impl Caller {
    fn operation(&mut self, place: usize) -> TransactRequest {
        TransactRequest { tag: place as u64, operation: Some(Operation::Decrement(self.request(1))) }
    }
}
