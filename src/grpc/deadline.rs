//! Deadlines: how long a call may take, and what it is answered when it takes longer.
//!
//! Stands closest to the services, so that their work is given up and the layers around still see the answer. tonic
//! honours `grpc-timeout` too, outside of all layers and with CANCELLED; this layer answers before it does. After the
//! first byte of a streamed answer nothing is cut: a stream that must end at its deadline reads [`Deadline`].

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderName, Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    convert::{Problem, deadline_expired, outcome_unknown},
    method::{Method, Shape},
};

/// A name that is parsed already: this look-up is made for every call.
static GRPC_TIMEOUT: HeaderName = HeaderName::from_static(GRPC_TIMEOUT_FIELD);
const GRPC_TIMEOUT_FIELD: &str = "grpc-timeout";
/// Digits the gRPC specification allows.
const DIGITS_MAX: usize = 8;
/// How much earlier than the caller asked the answer is given, so that it comes before tonic's (timers tick in whole
/// milliseconds) and still reaches the caller. Half the time is left to calls that have less than twice this.
const HEAD_START: Duration = Duration::from_millis(2);

/// When the answer of this call must be ready; found in the request's extensions, but not of most unary calls: this layer
/// alone ends those, and one timer a call is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

/// Gives every call its deadline.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer {
    unary_default: Duration,
}

impl DeadlineLayer {
    /// `unary_default` is for unary calls of ours that name none; streams have none then.
    pub fn new(unary_default: Duration) -> Self {
        Self { unary_default }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner, unary_default: self.unary_default }
    }
}

/// A service whose calls have deadlines.
#[derive(Debug, Clone)]
pub struct DeadlineService<S> {
    inner: S,
    unary_default: Duration,
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let method = Method::find(request.uri().path());
        let allowed = match asked_for(request.headers()) {
            Ok(Some(asked)) if asked.is_zero() => return DeadlineFuture::answered(deadline_expired()),
            Ok(Some(asked)) => Some(asked - HEAD_START.min(asked / 2)),
            Ok(None) => {
                let is_unary = method.is_some_and(|known| known.shape == Shape::Unary);
                is_unary.then_some(self.unary_default)
            }
            Err(problem) => return DeadlineFuture::answered(problem),
        };
        let Some(allowed) = allowed else {
            return DeadlineFuture { call: Call::Free { inner: self.inner.call(request) } };
        };
        let deadline = Instant::now() + allowed;
        if method.is_some_and(|known| known.is_told_deadline) {
            request.extensions_mut().insert(Deadline(deadline));
        }
        let call = Call::Bounded {
            inner: self.inner.call(request),
            sleep: sleep_until(deadline),
            writes: method.is_some_and(|known| known.writes),
        };
        DeadlineFuture { call }
    }
}

/// The time a caller allows. A malformed one is refused: tonic ignores it, and the caller would wait for ever.
fn asked_for(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let Some(value) = headers.get(&GRPC_TIMEOUT) else { return Ok(None) };
    let malformed =
        || Problem::invalid(GRPC_TIMEOUT_FIELD, "must be 1 to 8 digits and a unit of H, M, S, m, u or n");
    let text = value.to_str().map_err(|_| malformed())?;
    let unit_at = text.len().checked_sub(1).ok_or_else(malformed)?;
    let (digits, unit) = text.split_at(unit_at);
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let count: u64 = digits.parse().map_err(|_| malformed())?;
    match unit {
        "H" => Ok(Some(Duration::from_secs(count * 3_600))),
        "M" => Ok(Some(Duration::from_secs(count * 60))),
        "S" => Ok(Some(Duration::from_secs(count))),
        "m" => Ok(Some(Duration::from_millis(count))),
        "u" => Ok(Some(Duration::from_micros(count))),
        "n" => Ok(Some(Duration::from_nanos(count))),
        _ => Err(malformed()),
    }
}

pin_project! {
    /// A call with its deadline.
    pub struct DeadlineFuture<F> {
        #[pin]
        call: Call<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum Call<F> {
        Answered { response: Option<Response<Body>> },
        Free { #[pin] inner: F },
        Bounded { #[pin] inner: F, #[pin] sleep: Sleep, writes: bool },
    }
}

impl<F> DeadlineFuture<F> {
    fn answered(problem: Problem) -> Self {
        Self { call: Call::Answered { response: Some(Status::from(problem).into_http()) } }
    }
}

impl<F, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().call.project() {
            Projected::Answered { response } => {
                Poll::Ready(Ok(response.take().expect("a future is not polled after it was ready")))
            }
            Projected::Free { inner } => inner.poll(cx),
            Projected::Bounded { inner, sleep, writes } => match inner.poll(cx) {
                Poll::Ready(answer) => Poll::Ready(answer),
                Poll::Pending => sleep.poll(cx).map(|()| {
                    let problem = if *writes { outcome_unknown() } else { deadline_expired() };
                    Ok(Status::from(problem).into_http())
                }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future};

    use tonic::Code;
    use tonic_types::StatusExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const DECREMENT: &str = "/stockgate.v1.StockService/Decrement";
    const GET_STOCK: &str = "/stockgate.v1.StockService/GetStock";
    const IMPORT: &str = "/stockgate.v1.InventoryService/ImportStock";
    const SELECT: &str = "/stockgate.v1.CarrierService/SelectCarrier";
    const WATCH: &str = "/stockgate.v1.StockService/WatchStock";
    const TRANSACT: &str = "/stockgate.v1.StockService/Transact";

    fn request(path: &str, timeout: Option<&str>) -> Request<()> {
        let mut builder = Request::builder().uri(path);
        if let Some(timeout) = timeout {
            builder = builder.header(&GRPC_TIMEOUT, timeout);
        }
        builder.body(()).expect("legal")
    }

    /// Answers the status that a service gets that never ends by itself.
    async fn outlived(path: &str, timeout: Option<&str>) -> (Code, String) {
        let never = service_fn(|_: Request<()>| future::pending::<Result<Response<Body>, Infallible>>());
        let service = DeadlineLayer::new(Duration::from_millis(5)).layer(never);
        let answered = service.oneshot(request(path, timeout));
        let response =
            tokio::time::timeout(Duration::from_secs(10), answered).await.expect("ends").expect("infallible");
        let status = Status::from_header_map(response.headers()).expect("a status");
        let info = status.get_details_error_info().expect("error info");
        (status.code(), info.reason)
    }

    #[tokio::test]
    async fn an_outlived_call_is_deadline_exceeded() {
        let (late, bad) = (Code::DeadlineExceeded, Code::InvalidArgument);
        for (path, timeout, code, reason) in [
            (DECREMENT, Some("4m"), late, "OUTCOME_UNKNOWN"),
            (DECREMENT, Some("900n"), late, "OUTCOME_UNKNOWN"),
            (DECREMENT, None, late, "OUTCOME_UNKNOWN"),
            (GET_STOCK, None, late, "DEADLINE_EXPIRED"),
            (WATCH, Some("4m"), late, "DEADLINE_EXPIRED"),
            (TRANSACT, Some("4m"), late, "OUTCOME_UNKNOWN"),
            (DECREMENT, Some("0m"), late, "DEADLINE_EXPIRED"),
            (DECREMENT, Some(""), bad, "MALFORMED_REQUEST"),
            (DECREMENT, Some("m"), bad, "MALFORMED_REQUEST"),
            (DECREMENT, Some("5x"), bad, "MALFORMED_REQUEST"),
            (DECREMENT, Some("+5m"), bad, "MALFORMED_REQUEST"),
            (DECREMENT, Some("123456789m"), bad, "MALFORMED_REQUEST"),
        ] {
            assert_eq!(outlived(path, timeout).await, (code, reason.to_owned()), "{path} {timeout:?}");
        }
    }

    #[tokio::test]
    async fn who_must_see_to_it_finds_the_deadline() {
        let seen = |path, timeout| async move {
            let tell = service_fn(|request: Request<()>| {
                let mut response = Response::new(Body::empty());
                let left = request.extensions().get::<Deadline>().map(|deadline| deadline.0 - Instant::now());
                response.extensions_mut().insert(left);
                future::ready(Ok::<_, Infallible>(response))
            });
            let service = DeadlineLayer::new(Duration::from_secs(60)).layer(tell);
            let response = service.oneshot(request(path, timeout)).await.expect("infallible");
            *response.extensions().get::<Option<Duration>>().expect("told")
        };
        let is_about = |left: Option<Duration>, secs| {
            left.is_some_and(|left| left <= Duration::from_secs(secs) && left > Duration::from_secs(secs / 2))
        };
        assert!(is_about(seen(WATCH, Some("10S")).await, 10));
        assert!(is_about(seen(IMPORT, Some("2H")).await, 7_200));
        assert_eq!(seen(DECREMENT, Some("10S")).await, None);
        assert!(is_about(seen(SELECT, Some("10S")).await, 10));
        assert!(is_about(seen(SELECT, None).await, 60));
        assert_eq!(seen(WATCH, None).await, None);
        assert!(is_about(seen(TRANSACT, Some("10S")).await, 10));
        assert_eq!(seen(TRANSACT, None).await, None);
        assert_eq!(seen("/grpc.health.v1.Health/Check", None).await, None);
    }
}
