//! Which service a call is for. The busy one is asked first and directly: the router costs a call more than its
//! conversion.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::{body::Body, service::Routes};
use tower::Service;

use crate::proto::{
    carrier_service_server::{CarrierServiceServer, SERVICE_NAME as CARRIER_SERVICE},
    stock_service_server::{SERVICE_NAME as STOCK_SERVICE, StockServiceServer},
};

use super::{
    busy::{Busy, BusyCall, BusyRpc},
    carrier::CarrierServer,
    stock::StockServer,
};

/// What a sale consists of, the rest of StockService, CarrierService, and all other services behind a router.
#[derive(Clone)]
pub(super) struct Doors {
    pub(super) busy: Arc<Busy>,
    pub(super) stock: StockServiceServer<StockServer>,
    pub(super) carrier: CarrierServiceServer<CarrierServer>,
    pub(super) others: Routes,
}

impl Service<Request<Incoming>> for Doors {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<BusyCall, Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        if let Some(rpc) = BusyRpc::of(&request) {
            return Either::Left(self.busy.call(rpc, request));
        }
        Either::Right(if is_for(STOCK_SERVICE, request.uri().path()) {
            self.stock.call(request)
        } else if is_for(CARRIER_SERVICE, request.uri().path()) {
            self.carrier.call(request)
        } else {
            Box::pin(self.others.call(request.map(Body::new)))
        })
    }
}

/// Whether a path is `/<service>/…`.
fn is_for(service: &str, path: &str) -> bool {
    let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(service));
    method.is_some_and(|method| method.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_known_by_its_whole_name() {
        assert!(is_for("a.B", "/a.B/C"));
        for path in ["/a.Bc/D", "/a.B", "a.B/C", "/a/C", ""] {
            assert!(!is_for("a.B", path), "{path}");
        }
    }
}
