//! `google.rpc.Status` with its details, written straight into bytes.
//!
//! A sold-out flash sale answers little else, and going through maps and messages costs some twenty allocations per
//! refusal. A test reads the bytes back with `tonic_types`.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use bytes::Bytes;
use prost::{
    Message as _,
    encoding::{encode_varint, encoded_len_varint},
};
use tonic::Code;

use crate::proto;

/// Bytes of details at most: in base64 and beside the message they must fit the 8 KiB of metadata that common clients
/// accept, else the caller sees a broken call instead of the reason.
const DETAILS_BYTES_MAX: usize = 4096;
/// Kept free for what follows a list: error info, retry info and the tail of the list itself.
const RESERVED_BYTES: usize = 512;

const DOMAIN: &str = "stockgate";
const LENGTH_DELIMITED: u64 = 2;
/// `google.rpc.Status.details`.
const ANY_TAG: u64 = 3;

/// Encoded details of a status.
#[derive(Debug, Default, Clone)]
pub(super) struct Details(Vec<u8>);

impl Details {
    /// Adds `google.rpc.ErrorInfo`.
    pub(super) fn info<'a>(&mut self, reason: &str, metadata: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let mut info = Vec::with_capacity(128);
        text(&mut info, 1, reason);
        text(&mut info, 2, DOMAIN);
        let mut pair = Vec::with_capacity(64);
        for (key, value) in metadata {
            pair.clear();
            text(&mut pair, 1, key);
            text(&mut pair, 2, value);
            field(&mut info, 3, &pair);
        }
        self.any("type.googleapis.com/google.rpc.ErrorInfo", &info);
    }

    /// Adds `google.rpc.RetryInfo`.
    pub(super) fn retry(&mut self, after: Duration) {
        let mut delay = Vec::with_capacity(16);
        number(&mut delay, 1, after.as_secs());
        number(&mut delay, 2, u64::from(after.subsec_nanos()));
        let mut info = Vec::with_capacity(16);
        field(&mut info, 1, &delay);
        self.any("type.googleapis.com/google.rpc.RetryInfo", &info);
    }

    /// Begins a `google.rpc.PreconditionFailure`.
    pub(super) fn preconditions(&mut self) -> List<'_> {
        List::of(self, "type.googleapis.com/google.rpc.PreconditionFailure")
    }

    /// Begins a `google.rpc.BadRequest`.
    pub(super) fn bad_request(&mut self) -> List<'_> {
        List::of(self, "type.googleapis.com/google.rpc.BadRequest")
    }

    fn any(&mut self, type_url: &str, value: &[u8]) {
        let any_len = field_len(type_url.len()) + field_len(value.len());
        self.0.reserve(field_len(any_len));
        encode_varint(ANY_TAG << 3 | LENGTH_DELIMITED, &mut self.0);
        encode_varint(any_len as u64, &mut self.0);
        text(&mut self.0, 1, type_url);
        field(&mut self.0, 2, value);
    }

    /// The details one by one, for an answer inside a message.
    pub(super) fn messages(&self) -> Vec<prost_types::Any> {
        // What is kept here is that field of a status, written by this file.
        proto::Problem::decode(self.0.as_slice()).expect("details are well-formed").details
    }

    /// The whole `google.rpc.Status`, as it goes into `grpc-status-details-bin`.
    pub(super) fn encode(&self, code: Code, message: &str) -> Bytes {
        // Two bytes of code and the message before the details: an exact vector becomes bytes without a copy.
        let mut status = Vec::with_capacity(2 + field_len(message.len()) + self.0.len());
        number(&mut status, 1, u64::from((code as i32).unsigned_abs()));
        text(&mut status, 2, message);
        status.extend_from_slice(&self.0);
        status.into()
    }
}

/// A detail made of many violations; only as many as fit.
pub(super) struct List<'a> {
    details: &'a mut Details,
    type_url: &'static str,
    list: Vec<u8>,
    one: Vec<u8>,
    description: String,
    omitted: usize,
}

impl<'a> List<'a> {
    fn of(details: &'a mut Details, type_url: &'static str) -> Self {
        Self {
            details,
            type_url,
            list: Vec::with_capacity(128),
            one: Vec::with_capacity(96),
            description: String::with_capacity(48),
            omitted: 0,
        }
    }

    /// Adds a violation of a precondition.
    pub(super) fn precondition(&mut self, kind: &str, subject: &str, description: fmt::Arguments<'_>) {
        self.one.clear();
        text(&mut self.one, 1, kind);
        text(&mut self.one, 2, subject);
        self.close(3, description);
    }

    /// Adds a violation of a field's rule.
    pub(super) fn field(&mut self, path: &str, description: fmt::Arguments<'_>) {
        self.one.clear();
        text(&mut self.one, 1, path);
        self.close(2, description);
    }

    fn close(&mut self, tag: u64, description: fmt::Arguments<'_>) {
        self.description.clear();
        // Writing into a string cannot fail.
        let _ = self.description.write_fmt(description);
        text(&mut self.one, tag, &self.description);
        if self.details.0.len() + self.list.len() + self.one.len() + RESERVED_BYTES > DETAILS_BYTES_MAX {
            self.omitted += 1;
        } else {
            field(&mut self.list, 1, &self.one);
        }
    }

    /// Ends the list; returns how many violations did not fit.
    pub(super) fn end(self) -> usize {
        self.details.any(self.type_url, &self.list);
        self.omitted
    }
}

fn number(out: &mut Vec<u8>, tag: u64, value: u64) {
    if value != 0 {
        encode_varint(tag << 3, out);
        encode_varint(value, out);
    }
}

fn text(out: &mut Vec<u8>, tag: u64, value: &str) {
    field(out, tag, value.as_bytes());
}

/// Bytes of a field of so many bytes; every tag here is one byte.
fn field_len(value_len: usize) -> usize {
    1 + encoded_len_varint(value_len as u64) + value_len
}

fn field(out: &mut Vec<u8>, tag: u64, value: &[u8]) {
    encode_varint(tag << 3 | LENGTH_DELIMITED, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn google_rpc_reads_every_detail_back() {
        let mut details = Details::default();
        let mut list = details.preconditions();
        list.precondition("K", "a", format_args!("d"));
        list.precondition("K", "a", format_args!("requested {}", 3));
        assert_eq!(list.end(), 0);
        let mut list = details.bad_request();
        list.field("a", format_args!("d"));
        assert_eq!(list.end(), 0);
        details.info("WHY", [("sku", "a"), ("requested", "3")]);
        details.retry(Duration::from_millis(1_250));
        let bytes = details.encode(Code::Aborted, "no");
        let read = Status::with_details(Code::Aborted, "no", bytes).check_error_details().expect("decodes");
        let info = read.error_info().expect("info");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("WHY", "stockgate"));
        assert_eq!(info.metadata["requested"], "3");
        let failed = &read.precondition_failure().expect("failure").violations;
        assert_eq!(failed.len(), 2);
        assert_eq!(
            (&*failed[1].r#type, &*failed[1].subject, &*failed[1].description),
            ("K", "a", "requested 3")
        );
        let fields = &read.bad_request().expect("bad request").field_violations;
        assert_eq!((&*fields[0].field, &*fields[0].description), ("a", "d"));
        assert_eq!(read.retry_info().expect("retry").retry_delay, Some(Duration::from_millis(1_250)));
    }

    #[test]
    fn a_long_list_fits_what_clients_accept() {
        let long = "x".repeat(128);
        let mut details = Details::default();
        let mut list = details.preconditions();
        for _ in 0..100 {
            list.precondition("INSUFFICIENT_STOCK", &long, format_args!("requested 3, available 1"));
        }
        let omitted = list.end();
        details.info("INSUFFICIENT_STOCK", [("sku", long.as_str())]);
        assert!((1..100).contains(&omitted), "{omitted}");
        assert!(details.encode(Code::FailedPrecondition, "no").len() <= DETAILS_BYTES_MAX);
    }
}
