//! The rpcs a sale consists of, from the bytes of the request to the bytes of the answer, without a box or a task per step.
//!
//! What tonic does for one message each way, and no more. [`super::stock`] has the same rpcs for whoever asks in another
//! encoding; both go through the same conversions.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use prost::Message;
use tonic::{Status, body::Body, metadata::GRPC_CONTENT_TYPE};

use crate::{
    domain::{Answer, Mutation, Rpc},
    store::Pending,
};

use super::{
    convert::{self, ContractLimits, Problem},
    decide::{Decider, Undecided, caller},
};

/// Whether a message is compressed, and its length.
const PREFIX_BYTES: usize = 5;
static GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// An rpc: how its request is read, and how it is answered.
pub(super) struct BusyRpc {
    path: &'static str,
    read: fn(Bytes, &ContractLimits) -> Result<Mutation, Status>,
    answer: fn(Answer) -> Result<Bytes, Problem>,
}

/// The busiest first.
static RPCS: [BusyRpc; 6] = [
    BusyRpc {
        path: "/stockgate.v1.StockService/Decrement",
        read: |bytes, _| Ok(convert::decrement(message(bytes)?, caller())?),
        answer: |answer| convert::decrement_response(answer).map(|response| framed(&response)),
    },
    BusyRpc {
        path: "/stockgate.v1.StockService/Reserve",
        read: |bytes, limits| Ok(convert::reserve(message(bytes)?, caller(), limits)?),
        answer: |answer| convert::reserve_response(answer).map(|response| framed(&response)),
    },
    BusyRpc {
        path: "/stockgate.v1.StockService/Commit",
        read: |bytes, _| Ok(convert::commit(message(bytes)?, caller())?),
        answer: |answer| convert::commit_response(answer).map(|response| framed(&response)),
    },
    BusyRpc {
        path: "/stockgate.v1.StockService/Release",
        read: |bytes, _| Ok(convert::release(message(bytes)?, caller())?),
        answer: |answer| convert::release_response(answer).map(|response| framed(&response)),
    },
    BusyRpc {
        path: "/stockgate.v1.StockService/ExtendHold",
        read: |bytes, limits| Ok(convert::extend_hold(message(bytes)?, caller(), limits)?),
        answer: |answer| convert::extend_hold_response(answer).map(|response| framed(&response)),
    },
    BusyRpc {
        path: "/stockgate.v1.StockService/Restock",
        read: |bytes, _| Ok(convert::restock(message(bytes)?, caller())?),
        answer: |answer| convert::restock_response(answer).map(|response| framed(&response)),
    },
];

impl BusyRpc {
    /// The one a request is for; None also for requests in another encoding, which tonic knows how to answer.
    pub(super) fn of<B>(request: &Request<B>) -> Option<&'static Self> {
        let known = RPCS.iter().find(|rpc| rpc.path == request.uri().path());
        known.filter(|_| !request.headers().contains_key(&GRPC_ENCODING))
    }
}

fn message<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| Status::internal(error.to_string()))
}

/// A message as it goes over the wire.
fn framed(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + len);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(len).expect("a hundred lines are far from 4 GiB"));
    message.encode(&mut bytes).expect("the buffer grows");
    bytes.freeze()
}

/// What every busy call needs.
pub(super) struct Busy {
    pub(super) decider: Decider,
    pub(super) limits: ContractLimits,
    pub(super) message_bytes_max: usize,
}

impl Busy {
    /// Takes a request for one of these rpcs.
    pub(super) fn call(self: &Arc<Self>, rpc: &'static BusyRpc, request: Request<Incoming>) -> BusyCall {
        let state = State::Reading { body: request.into_body(), read: Bytes::new() };
        BusyCall { busy: Arc::clone(self), rpc, state }
    }
}

/// A call under way.
pub(super) struct BusyCall {
    busy: Arc<Busy>,
    rpc: &'static BusyRpc,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "a box per call is what this saves")]
enum State {
    Reading { body: Incoming, read: Bytes },
    Deciding { pending: Pending, rpc: Rpc },
    Answered,
}

impl Future for BusyCall {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let State::Reading { body, read } = &mut this.state {
            let request = ready!(poll_request(body, read, this.busy.message_bytes_max, cx));
            match request.and_then(|request| this.busy.begin(this.rpc, request)) {
                Ok(deciding) => this.state = deciding,
                Err(status) => {
                    this.state = State::Answered;
                    return Poll::Ready(Ok(status.into_http()));
                }
            }
        }
        let State::Deciding { pending, rpc } = &mut this.state else {
            unreachable!("a future is not polled after it was ready");
        };
        let outcome = ready!(Pin::new(pending).poll(cx));
        this.busy.decider.count(*rpc, &outcome);
        this.state = State::Answered;
        Poll::Ready(Ok(match outcome.map_err(Problem::from).and_then(this.rpc.answer) {
            Ok(bytes) => response(bytes),
            Err(problem) => Status::from(problem).into_http(),
        }))
    }
}

impl Drop for BusyCall {
    fn drop(&mut self) {
        if let State::Deciding { rpc, .. } = self.state {
            drop(Undecided { decider: &self.busy.decider, rpc });
        }
    }
}

impl Busy {
    fn begin(&self, rpc: &BusyRpc, request: Bytes) -> Result<State, Status> {
        let mutation = (rpc.read)(request, &self.limits)?;
        let rpc = mutation.rpc();
        match self.decider.store.begin(mutation) {
            Ok(pending) => Ok(State::Deciding { pending, rpc }),
            Err(fault) => {
                drop(Undecided { decider: &self.decider, rpc });
                Err(Problem::from(fault).into())
            }
        }
    }
}

/// Ready with the one message of a request, when all of it is there.
fn poll_request(
    body: &mut Incoming,
    read: &mut Bytes,
    message_bytes_max: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<Bytes, Status>> {
    while let Some(frame) = ready!(Pin::new(&mut *body).poll_frame(cx)) {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Poll::Ready(Err(Status::from_error(error.into()))),
        };
        let Ok(data) = frame.into_data() else { continue };
        // Nearly always the only one.
        *read = if read.is_empty() { data } else { appended(mem::take(read), &data) };
        if read.len() > PREFIX_BYTES + message_bytes_max
            || length(read).is_some_and(|len| len > message_bytes_max)
        {
            return Poll::Ready(Err(convert::message_too_large(message_bytes_max).into()));
        }
    }
    Poll::Ready(unframed(mem::take(read)))
}

fn appended(read: Bytes, data: &[u8]) -> Bytes {
    let mut all = read.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    all.extend_from_slice(data);
    all.freeze()
}

/// How long the message says it is.
fn length(read: &[u8]) -> Option<usize> {
    let length = read.get(1..PREFIX_BYTES)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(length)).ok()
}

/// The message in a whole request.
fn unframed(mut read: Bytes) -> Result<Bytes, Status> {
    let Some(len) = length(&read) else { return Err(Status::internal("the request has no message")) };
    if read[0] != 0 {
        return Err(Status::internal("a message is compressed, and grpc-encoding does not say how"));
    }
    read.advance(PREFIX_BYTES);
    if read.len() != len {
        return Err(Status::internal(format!(
            "the request is not one message: {len} bytes were announced, {} came",
            read.len()
        )));
    }
    Ok(read)
}

fn response(message: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(OneMessage { message, is_ok_said: false }));
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

/// A message, and OK.
struct OneMessage {
    message: Bytes,
    is_ok_said: bool,
}

impl http_body::Body for OneMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.message.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.message)))));
        }
        if mem::replace(&mut self.is_ok_said, true) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ok_said
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        grpc::method::{Method, Shape},
        proto,
    };

    use super::*;

    #[test]
    fn a_message_comes_back_from_its_frame() {
        let sent = proto::GetStockRequest { sku: "a".to_owned(), max_staleness: None };
        let read = unframed(framed(&sent)).and_then(message::<proto::GetStockRequest>);
        assert_eq!(read.expect("whole"), sent);
    }

    #[test]
    fn what_is_not_one_message_is_refused() {
        let whole = framed(&proto::GetStockRequest { sku: "abc".to_owned(), max_staleness: None });
        let twice = [&*whole, &*whole].concat();
        let mut compressed = whole.to_vec();
        compressed[0] = 1;
        for bad in [&[][..], &whole[..3], &whole[..whole.len() - 1], &twice, &compressed] {
            let status = unframed(Bytes::copy_from_slice(bad)).expect_err("not one message");
            assert_eq!(status.code(), tonic::Code::Internal, "{bad:?}");
        }
    }

    #[test]
    fn every_path_is_an_rpc_of_the_contract() {
        for rpc in &RPCS {
            let known = Method::find(rpc.path).expect("in the table");
            assert!(known.writes && known.shape == Shape::Unary, "{}", rpc.path);
        }
    }
}
