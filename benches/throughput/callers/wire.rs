//! Calls straight on HTTP/2. tonic's client hands each call from task to task and costs more than the servers that are
//! measured with it; the caller must not be what is measured.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::{self, SendRequest};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use prost::Message;
use stockgate::proto::{
    CommitRequest, CommitResponse, DecrementRequest, DecrementResponse, LineResult, ReserveRequest,
    ReserveResponse, SelectCarrierRequest, SelectCarrierResponse,
};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use super::{Caller, Round, order};
use crate::plan::Call;

/// What a server may send ahead: as much as the gateway lets its callers.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// One byte says that a message is not compressed, four how long it is.
const PREFIX_BYTES: usize = 5;

/// A connection, and what all calls over it have in common.
#[derive(Clone)]
pub(super) struct Wire {
    requests: SendRequest<Bytes>,
    headers: HeaderMap,
    decrement: Uri,
    reserve: Uri,
    commit: Uri,
    select_carrier: Uri,
    /// Made once: who measures should not reckon with dates.
    order: SelectCarrierRequest,
}

impl Wire {
    /// Connects to a server; the connection closes with the last clone.
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").context("not an http:// address")?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(stream)
            .await?;
        // If it breaks, each of its calls says so.
        tokio::spawn(connection);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        let method = |name| format!("http://{address}/stockgate.v1.{name}").parse();
        Ok(Self {
            requests,
            headers,
            decrement: method("StockService/Decrement")?,
            reserve: method("StockService/Reserve")?,
            commit: method("StockService/Commit")?,
            select_carrier: method("CarrierService/SelectCarrier")?,
            order: order::order()?,
        })
    }

    /// Sells; what was sold.
    pub(super) async fn decrement(
        &mut self,
        request: &DecrementRequest,
    ) -> Result<Result<Vec<LineResult>, Status>> {
        let answer = self.call(self.decrement.clone(), request).await?;
        Ok(answer.map(|sold: DecrementResponse| sold.lines))
    }

    /// Holds one unit and sells it; what was sold.
    async fn pair(&mut self, caller: &mut Caller) -> Result<Result<Vec<LineResult>, Status>> {
        let request =
            ReserveRequest { idempotency_key: caller.key(), lines: caller.lines(1), ..Default::default() };
        let held: ReserveResponse = match self.call(self.reserve.clone(), &request).await? {
            Ok(held) => held,
            Err(status) => return Ok(Err(status)),
        };
        let hold_id = held.hold.unwrap_or_default().hold_id;
        let request = CommitRequest { hold_id, idempotency_key: caller.key(), ..Default::default() };
        let answer = self.call(self.commit.clone(), &request).await?;
        Ok(answer.map(|sold: CommitResponse| sold.lines))
    }

    /// Chooses a carrier; nothing is sold by it.
    async fn select_carrier(&mut self, caller: &mut Caller) -> Result<Result<Vec<LineResult>, Status>> {
        let request = SelectCarrierRequest { order_ref: caller.key(), ..self.order.clone() };
        let answer: SelectCarrierResponse = match self.call(self.select_carrier.clone(), &request).await? {
            Ok(answer) => answer,
            Err(status) => return Ok(Err(status)),
        };
        order::check(&answer)?;
        Ok(Ok(Vec::new()))
    }

    /// The answer to one call. Whoever has a clone waits for it before the next call, so there is always a place for it.
    async fn call<A: Message + Default>(
        &mut self,
        uri: Uri,
        message: &impl Message,
    ) -> Result<Result<A, Status>> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let (response, mut body) = self.requests.send_request(request, false)?;
        body.send_data(framed(message)?, true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut answer = Bytes::new();
        // The window is given back when the body is dropped.
        while let Some(data) = body.data().await {
            let data = data?;
            answer = if answer.is_empty() { data } else { [answer, data].concat().into() };
        }
        match status(&body.trailers().await?.unwrap_or(head.headers))? {
            Ok(()) => Ok(Ok(unframed(&answer)?)),
            Err(status) => Ok(Err(status)),
        }
    }
}

/// Calls, and calls again when it is answered, until the round is over.
pub(super) async fn call_until(mut wire: Wire, mut caller: Caller, call: Call, round: Round) -> Result<()> {
    loop {
        let asked = Instant::now();
        let answered = match call {
            Call::Decrement { lines } => wire.decrement(&caller.request(lines)).await?,
            Call::Pair => wire.pair(&mut caller).await?,
            Call::SelectCarrier => wire.select_carrier(&mut caller).await?,
        };
        let now = Instant::now();
        round.note(now - asked, answered)?;
        if now >= round.end {
            return Ok(());
        }
    }
}

fn framed(message: &impl Message) -> Result<Bytes> {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length)?);
    message.encode(&mut bytes)?;
    Ok(bytes.freeze())
}

fn unframed<A: Message + Default>(bytes: &[u8]) -> Result<A> {
    let (prefix, message) = bytes.split_at_checked(PREFIX_BYTES).context("an answer without a message")?;
    let length = u32::try_from(message.len())?.to_be_bytes();
    ensure!(prefix[0] == 0 && prefix[1..] == length, "an answer that is not one plain message");
    Ok(A::decode(message)?)
}

fn status(trailers: &HeaderMap) -> Result<Result<(), Status>> {
    let code = trailers.get("grpc-status").context("an answer without a status")?;
    Ok(match Code::from_bytes(code.as_bytes()) {
        Code::Ok => Ok(()),
        code => {
            let message = trailers.get("grpc-message").map(HeaderValue::as_bytes).unwrap_or_default();
            Err(Status::new(code, String::from_utf8_lossy(message)))
        }
    })
}
