//! Two rpcs of `StockService`, as the generated code would serve them: a rival has no others.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use stockgate::proto::{
    BatchGetStockRequest, BatchGetStockResponse, DecrementRequest, Stock, stock_service_server::SERVICE_NAME,
};
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService},
};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::Engine;

/// Answers calls by an engine.
pub(super) struct Service<E> {
    engine: Arc<E>,
}

impl<E> Service<E> {
    pub(super) fn new(engine: E) -> Self {
        Self { engine: Arc::new(engine) }
    }
}

impl<E> Clone for Service<E> {
    fn clone(&self) -> Self {
        Self { engine: Arc::clone(&self.engine) }
    }
}

impl<E> NamedService for Service<E> {
    const NAME: &'static str = SERVICE_NAME;
}

impl<E: Engine> tower::Service<http::Request<Body>> for Service<E> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let engine = Arc::clone(&self.engine);
        Box::pin(async move {
            Ok(match rpc(request.uri()) {
                "Decrement" => {
                    let decrement = service_fn(move |asked: Request<DecrementRequest>| {
                        let engine = Arc::clone(&engine);
                        async move { engine.decrement(asked.into_inner()).await.map(Response::new) }
                    });
                    Grpc::new(ProstCodec::default()).unary(decrement, request).await
                }
                "BatchGetStock" => {
                    let count = service_fn(move |asked: Request<BatchGetStockRequest>| {
                        let engine = Arc::clone(&engine);
                        async move { count(&*engine, asked.into_inner()).await }
                    });
                    Grpc::new(ProstCodec::default()).unary(count, request).await
                }
                _ => Status::unimplemented("a rival answers Decrement and BatchGetStock only").into_http(),
            })
        })
    }
}

async fn count<E: Engine>(
    engine: &E,
    asked: BatchGetStockRequest,
) -> Result<Response<BatchGetStockResponse>, Status> {
    let counts = engine.count(asked.skus.clone()).await?;
    let stock = |(sku, on_hand)| Stock { sku, on_hand, ..Default::default() };
    let stocks = asked.skus.into_iter().zip(counts).map(stock).collect();
    Ok(Response::new(BatchGetStockResponse { stocks, ..Default::default() }))
}

fn rpc(uri: &Uri) -> &str {
    uri.path().rsplit('/').next().unwrap_or_default()
}
