//! Over-large messages: tonic answers OUT_OF_RANGE, the contract says RESOURCE_EXHAUSTED.
//!
//! Stands between [`super::observe`], which must count the mended code, and everything that may read a message.
//! OUT_OF_RANGE is never used by us, so every one of them is tonic's.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{convert::message_too_large, method::Method};

/// Mends the status of over-large messages.
#[derive(Debug, Clone, Copy)]
pub struct SizeLayer {
    message_bytes_max: usize,
}

impl SizeLayer {
    /// `message_bytes_max` is the limit the services were given, to be named in the answer.
    pub fn new(message_bytes_max: usize) -> Self {
        Self { message_bytes_max }
    }
}

impl<S> Layer<S> for SizeLayer {
    type Service = SizeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SizeService { inner, message_bytes_max: self.message_bytes_max }
    }
}

/// A service whose over-large messages are answered by the contract.
#[derive(Debug, Clone)]
pub struct SizeService<S> {
    inner: S,
    message_bytes_max: usize,
}

impl<S, B> Service<Request<B>> for SizeService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = SizeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = Method::find(request.uri().path());
        // A single response ends in its headers or in OK: only streams can fail later, in their trailers.
        let is_stream = method.is_some_and(|known| known.shape.answers_often());
        SizeFuture { inner: self.inner.call(request), message_bytes_max: self.message_bytes_max, is_stream }
    }
}

pin_project! {
    /// A call whose status is mended.
    pub struct SizeFuture<F> {
        #[pin]
        inner: F,
        message_bytes_max: usize,
        is_stream: bool,
    }
}

impl<F, E> Future for SizeFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        if is_out_of_range(response.headers()) {
            return Poll::Ready(Ok(Status::from(message_too_large(*this.message_bytes_max)).into_http()));
        }
        if !*this.is_stream {
            return Poll::Ready(Ok(response));
        }
        let message_bytes_max = *this.message_bytes_max;
        Poll::Ready(Ok(response.map(|inner| Body::new(SizeBody { inner, message_bytes_max }))))
    }
}

fn is_out_of_range(headers: &HeaderMap) -> bool {
    headers
        .get(Status::GRPC_STATUS)
        .is_some_and(|value| Code::from_bytes(value.as_bytes()) == Code::OutOfRange)
}

struct SizeBody {
    inner: Body,
    message_bytes_max: usize,
}

impl http_body::Body for SizeBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(last)) = &mut frame
            && let Some(trailers) = last.trailers_mut()
            && is_out_of_range(trailers)
        {
            let status = Status::from(message_too_large(self.message_bytes_max));
            status.add_header(trailers)?;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future};

    use http_body::Body as _;
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const DECREMENT: &str = "/stockgate.v1.StockService/Decrement";
    const WATCH: &str = "/stockgate.v1.StockService/WatchStock";

    async fn through(path: &str, answer: fn() -> Response<Body>) -> Response<Body> {
        let inner = service_fn(move |_: Request<()>| future::ready(Ok::<_, Infallible>(answer())));
        let request = Request::builder().uri(path).body(()).expect("legal");
        SizeLayer::new(4_096).layer(inner).oneshot(request).await.expect("infallible")
    }

    fn check_mended(headers: &HeaderMap) {
        let status = Status::from_header_map(headers).expect("a status");
        assert_eq!(status.code(), Code::ResourceExhausted);
        let info = status.get_details_error_info().expect("error info");
        assert_eq!((info.reason.as_str(), &*info.metadata["limitBytes"]), ("MESSAGE_TOO_LARGE", "4096"));
    }

    #[tokio::test]
    async fn mends_headers_of_any_call() {
        for path in [DECREMENT, WATCH, "/other"] {
            let response = through(path, || Status::out_of_range("too long").into_http()).await;
            check_mended(response.headers());
        }
    }

    #[tokio::test]
    async fn mends_trailers_of_streams() {
        let late = || {
            let mut trailers = HeaderMap::new();
            Status::out_of_range("too long").add_header(&mut trailers).expect("legal");
            Response::new(Body::new(crate::grpc::observe::frames(trailers)))
        };
        let mut body = through(WATCH, late).await.into_body();
        let mut last =
            future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.expect("a frame").expect("good");
        check_mended(last.trailers_mut().expect("trailers"));
    }

    #[tokio::test]
    async fn leaves_every_other_status() {
        let response = through(DECREMENT, || Status::not_found("no").into_http()).await;
        assert_eq!(Status::from_header_map(response.headers()).expect("a status").code(), Code::NotFound);
    }
}
