//! How many calls ended how, how long they took, and which are still under way.
//!
//! Stands outside of every other layer, so that the answers those give are counted too. Only rpcs of the contract
//! become labels: a caller must not be able to invent time series.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use metrics::{Counter, Histogram};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use crate::telemetry::{GRPC_HANDLED, GRPC_HANDLING_SECONDS};

use super::{
    drain::UnderWay,
    method::{METHODS, Method},
};

/// The codes in the order of their numbers, spelled as existing gRPC dashboards spell them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The series of one method, made at its first call and kept: no look-up by labels per call.
#[derive(Default)]
struct Series {
    handled: [OnceLock<Counter>; CODES.len()],
    seconds: OnceLock<Histogram>,
}

type AllSeries = Arc<[Series; METHODS.len()]>;

/// Counts and times every call.
#[derive(Clone)]
pub struct ObserveLayer {
    series: AllSeries,
    under_way: UnderWay,
}

impl ObserveLayer {
    /// Uses the recorder that is installed when calls arrive; `under_way` is told of every rpc of ours.
    pub fn new(under_way: UnderWay) -> Self {
        Self { series: Arc::new(std::array::from_fn(|_| Series::default())), under_way }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = ObserveService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveService { inner, series: Arc::clone(&self.series), under_way: self.under_way.clone() }
    }
}

/// A service whose calls are counted and timed.
#[derive(Clone)]
pub struct ObserveService<S> {
    inner: S,
    series: AllSeries,
    under_way: UnderWay,
}

impl<S, B> Service<Request<B>> for ObserveService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ObserveFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = Method::position(request.uri().path()).map(|method| Call {
            series: Arc::clone(&self.series),
            method,
            began: Instant::now(),
            code: Code::Cancelled,
            _under_way: self.under_way.begin(METHODS[method].shape),
        });
        ObserveFuture { inner: self.inner.call(request), call }
    }
}

/// A call under way; counted when dropped, as cancelled unless it got its code before.
struct Call {
    series: AllSeries,
    method: usize,
    began: Instant,
    code: Code,
    _under_way: TaskTrackerToken,
}

impl Drop for Call {
    fn drop(&mut self) {
        let series = &self.series[self.method];
        let names = || METHODS[self.method].names();
        let code = usize::try_from(self.code as i32).expect("codes are 0 to 16");
        series.handled[code]
            .get_or_init(|| {
                let (service, method) = names();
                metrics::counter!(
                    GRPC_HANDLED, "grpc_service" => service, "grpc_method" => method, "grpc_code" => CODES[code]
                )
            })
            .increment(1);
        series
            .seconds
            .get_or_init(|| {
                let (service, method) = names();
                metrics::histogram!(GRPC_HANDLING_SECONDS, "grpc_service" => service, "grpc_method" => method)
            })
            .record(self.began.elapsed());
    }
}

pin_project! {
    /// A call that is counted and timed.
    pub struct ObserveFuture<F> {
        #[pin]
        inner: F,
        call: Option<Call>,
    }
}

impl<F, E> Future for ObserveFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        let Some(mut call) = this.call.take() else { return Poll::Ready(answer) };
        let Ok(response) = answer else {
            call.code = Code::Unknown;
            return Poll::Ready(answer);
        };
        match code_of(response.headers()) {
            Some(code) => call.code = code,
            None if METHODS[call.method].shape.answers_often() => {
                return Poll::Ready(Ok(response.map(|inner| Body::new(ObserveBody { inner, call }))));
            }
            // The only message of a good answer is encoded already in all but bytes.
            None => call.code = Code::Ok,
        }
        Poll::Ready(Ok(response))
    }
}

fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// A stream that is counted when it ends: by its trailers, or by the caller who goes away.
struct ObserveBody {
    inner: Body,
    call: Call,
}

impl http_body::Body for ObserveBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(code_of) {
                    self.call.code = code;
                }
            }
            Some(Err(status)) => self.call.code = status.code(),
            None => {}
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

/// A body of these trailers and nothing else.
#[cfg(test)]
pub(super) fn frames(trailers: HeaderMap) -> impl http_body::Body<Data = Bytes, Error = Status> {
    struct Trailers(Option<HeaderMap>);

    impl http_body::Body for Trailers {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.take().map(|trailers| Ok(Frame::trailers(trailers))))
        }
    }
    Trailers(Some(trailers))
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future};

    use http_body::Body as _;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const DECREMENT: &str = "/stockgate.v1.StockService/Decrement";
    const WATCH: &str = "/stockgate.v1.StockService/WatchStock";

    fn request(path: &str) -> Request<()> {
        Request::builder().uri(path).body(()).expect("legal")
    }

    async fn call(layer: &ObserveLayer, path: &str, answer: fn() -> Response<Body>) -> Response<Body> {
        let inner = service_fn(move |_: Request<()>| future::ready(Ok::<_, Infallible>(answer())));
        layer.layer(inner).oneshot(request(path)).await.expect("infallible")
    }

    #[tokio::test]
    async fn every_call_is_counted_once_by_its_code() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let layer = ObserveLayer::new(UnderWay::default());

        call(&layer, DECREMENT, || Response::new(Body::empty())).await;
        call(&layer, DECREMENT, || Response::new(Body::empty())).await;
        call(&layer, DECREMENT, || Status::failed_precondition("no").into_http()).await;
        call(&layer, "/nobody/knows", || Response::new(Body::empty())).await;
        let never = service_fn(|_: Request<()>| future::pending::<Result<Response<Body>, Infallible>>());
        drop(layer.layer(never).oneshot(request(WATCH)));
        let mut given_up = Box::pin(layer.layer(never).oneshot(request(DECREMENT)));
        assert!(future::poll_fn(|cx| Poll::Ready(given_up.as_mut().poll(cx))).await.is_pending());
        drop(given_up);

        let text = recorder.handle().render();
        for (code, count) in [("OK", 2), ("FailedPrecondition", 1), ("Canceled", 1)] {
            let line = format!(
                "{GRPC_HANDLED}{{grpc_service=\"stockgate.v1.StockService\",grpc_method=\"Decrement\",grpc_code=\"{code}\"}} {count}\n"
            );
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("nobody"), "{text}");
        assert!(!text.contains("WatchStock"), "never called:\n{text}");
        assert!(text.contains(&format!("{GRPC_HANDLING_SECONDS}_count")), "{text}");
    }

    #[tokio::test]
    async fn a_stream_is_counted_when_it_ends() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let layer = ObserveLayer::new(UnderWay::default());
        let stream = || {
            let mut trailers = HeaderMap::new();
            Status::unavailable("draining").add_header(&mut trailers).expect("legal");
            Response::new(Body::new(frames(trailers)))
        };

        let mut read = call(&layer, WATCH, stream).await.into_body();
        assert!(!recorder.handle().render().contains("WatchStock"), "it has not ended");
        future::poll_fn(|cx| Pin::new(&mut read).poll_frame(cx)).await.expect("a frame").expect("good");
        drop(read);
        drop(call(&layer, WATCH, stream).await);

        let text = recorder.handle().render();
        assert!(text.contains("grpc_code=\"Unavailable\"} 1\n"), "{text}");
        assert!(text.contains("grpc_code=\"Canceled\"} 1\n"), "{text}");
    }

    #[test]
    fn codes_stand_at_their_numbers() {
        for (number, name) in CODES.iter().enumerate() {
            let code = Code::from(i32::try_from(number).expect("small"));
            let known = if code == Code::Cancelled { "Canceled".to_owned() } else { format!("{code:?}") };
            assert_eq!(name.to_uppercase(), known.to_uppercase());
        }
    }
}
