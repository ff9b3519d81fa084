//! StockService: sells and holds stock.

use tonic::{Request, Response, Status, Streaming};

use crate::{
    domain::{Refusal, Sku},
    proto::{self, stock_service_server::StockService},
    store::{Resolved, StoreError},
};

use super::{
    convert::{self, ContractLimits, Problem},
    decide::{Decider, caller, with_deadline},
    reads::{Read, Reads},
    transact::{TransactStream, Transacts},
    watch::{WatchStream, Watches},
};

/// The service.
pub(super) struct StockServer {
    pub(super) decider: Decider,
    pub(super) reads: Reads,
    pub(super) limits: ContractLimits,
    pub(super) watches: Watches,
    pub(super) transacts: Transacts,
}

#[tonic::async_trait]
impl StockService for StockServer {
    async fn decrement(
        &self,
        request: Request<proto::DecrementRequest>,
    ) -> Result<Response<proto::DecrementResponse>, Status> {
        let (message, deadline) = with_deadline(request);
        let mutation = convert::decrement(message, caller())?;
        let answer = self.decider.decide(&mutation, deadline).await?;
        Ok(Response::new(convert::decrement_response(answer)?))
    }

    async fn reserve(
        &self,
        request: Request<proto::ReserveRequest>,
    ) -> Result<Response<proto::ReserveResponse>, Status> {
        let (message, deadline) = with_deadline(request);
        let mutation = convert::reserve(message, caller(), &self.limits)?;
        let answer = self.decider.decide(&mutation, deadline).await?;
        Ok(Response::new(convert::reserve_response(answer)?))
    }

    async fn commit(
        &self,
        request: Request<proto::CommitRequest>,
    ) -> Result<Response<proto::CommitResponse>, Status> {
        let (message, deadline) = with_deadline(request);
        let mutation = convert::commit(message, caller())?;
        let answer = self.decider.decide(&mutation, deadline).await?;
        Ok(Response::new(convert::commit_response(answer)?))
    }

    async fn release(
        &self,
        request: Request<proto::ReleaseRequest>,
    ) -> Result<Response<proto::ReleaseResponse>, Status> {
        let (message, deadline) = with_deadline(request);
        let mutation = convert::release(message, caller())?;
        let answer = self.decider.decide(&mutation, deadline).await?;
        Ok(Response::new(convert::release_response(answer)?))
    }

    async fn extend_hold(
        &self,
        request: Request<proto::ExtendHoldRequest>,
    ) -> Result<Response<proto::ExtendHoldResponse>, Status> {
        let (message, deadline) = with_deadline(request);
        let mutation = convert::extend_hold(message, caller(), &self.limits)?;
        let answer = self.decider.decide(&mutation, deadline).await?;
        Ok(Response::new(convert::extend_hold_response(answer)?))
    }

    async fn restock(
        &self,
        request: Request<proto::RestockRequest>,
    ) -> Result<Response<proto::RestockResponse>, Status> {
        let (message, deadline) = with_deadline(request);
        let mutation = convert::restock(message, caller())?;
        let answer = self.decider.decide(&mutation, deadline).await?;
        Ok(Response::new(convert::restock_response(answer)?))
    }

    async fn get_hold(
        &self,
        request: Request<proto::GetHoldRequest>,
    ) -> Result<Response<proto::GetHoldResponse>, Status> {
        let id = convert::get_hold(request.get_ref())?;
        let found = self.decider.store.hold(&id).await.map_err(Problem::from)?;
        let hold = found.map_err(|refusal| Problem::refused(&refusal, false))?;
        Ok(Response::new(proto::GetHoldResponse { hold: Some(convert::hold(hold)) }))
    }

    async fn get_stock(
        &self,
        request: Request<proto::GetStockRequest>,
    ) -> Result<Response<proto::GetStockResponse>, Status> {
        let (sku, max_staleness) = convert::get_stock(request.get_ref())?;
        let skus = std::slice::from_ref(&sku);
        let (levels, age) = self.reads.levels(skus, max_staleness).await.map_err(Problem::from)?;
        match levels.into_iter().next() {
            Some(Read::Known(level)) => Ok(Response::new(proto::GetStockResponse {
                stock: Some(convert::stock(&sku, &level)),
                age: Some(convert::span(age)),
            })),
            Some(Read::Broken) => Err(broken(&sku).into()),
            Some(Read::Unknown) | None => {
                Err(Problem::refused(&Refusal::UnknownSku(vec![sku]), false).into())
            }
        }
    }

    async fn batch_get_stock(
        &self,
        request: Request<proto::BatchGetStockRequest>,
    ) -> Result<Response<proto::BatchGetStockResponse>, Status> {
        let (skus, max_staleness) = convert::batch_get_stock(request.get_ref())?;
        let (levels, age) = self.reads.levels(&skus, max_staleness).await.map_err(Problem::from)?;
        let mut response =
            proto::BatchGetStockResponse { age: Some(convert::span(age)), ..Default::default() };
        for (sku, level) in skus.iter().zip(levels) {
            match level {
                Read::Known(level) => response.stocks.push(convert::stock(sku, &level)),
                Read::Unknown => response.unknown_skus.push(sku.to_string()),
                Read::Broken => return Err(broken(sku).into()),
            }
        }
        Ok(Response::new(response))
    }

    type WatchStockStream = WatchStream;

    async fn watch_stock(
        &self,
        request: Request<proto::WatchStockRequest>,
    ) -> Result<Response<WatchStream>, Status> {
        let (message, deadline) = with_deadline(request);
        let skus = convert::watch_stock(&message)?;
        Ok(Response::new(self.watches.start(skus, &message.resume_token, deadline).await?))
    }

    async fn resolve_key(
        &self,
        request: Request<proto::ResolveKeyRequest>,
    ) -> Result<Response<proto::ResolveKeyResponse>, Status> {
        let (message, deadline) = with_deadline(request);
        let (sku, key) = convert::resolve_key(&message)?;
        let store = &self.decider.store;
        let resolved = store.resolve_key(&caller(), &sku, &key, deadline.map(|deadline| deadline.0)).await;
        Ok(Response::new(resolved_response(resolved.map_err(Problem::from)?)))
    }

    type TransactStream = TransactStream;

    async fn transact(
        &self,
        request: Request<Streaming<proto::TransactRequest>>,
    ) -> Result<Response<TransactStream>, Status> {
        let (requests, deadline) = with_deadline(request);
        Ok(Response::new(self.transacts.start(requests, deadline)))
    }
}

/// The stored text of a SKU does not parse.
pub(super) fn broken(sku: &Sku) -> Problem {
    StoreError::Broken { what: format!("sku {sku}") }.into()
}

fn resolved_response(resolved: Resolved) -> proto::ResolveKeyResponse {
    match resolved {
        Resolved::Burnt => {
            proto::ResolveKeyResponse { outcome: proto::KeyOutcome::Burnt.into(), ..Default::default() }
        }
        Resolved::Applied { rpc, event_ids, hold } => proto::ResolveKeyResponse {
            outcome: proto::KeyOutcome::Applied.into(),
            rpc: rpc.name().to_owned(),
            hold_id: hold.map(|hold| hold.to_string()).unwrap_or_default(),
            event_ids: event_ids.iter().map(ToString::to_string).collect(),
            ..Default::default()
        },
        Resolved::Refused { rpc, refusal } => proto::ResolveKeyResponse {
            outcome: proto::KeyOutcome::Refused.into(),
            rpc: rpc.name().to_owned(),
            reason: convert::refusal_reason(&refusal).to_owned(),
            ..Default::default()
        },
    }
}
