//! What a value may be, and what is said when it is not.

use std::{net::SocketAddr, time::Duration};

use ::config::{Value, ValueKind};

use crate::{
    domain::ChannelId,
    store::{self, AddressError},
    telemetry,
};

use super::{Origin, layers};

/// The values a setting may have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Any text; never printed, since it may be a secret.
    Secret,
    /// Any text; empty is not set.
    Text,
    /// True or false.
    Flag,
    /// Texts that are not empty; in a variable with commas between them.
    Names,
    /// Text that is not empty.
    Name,
    /// 1 to 32 letters, digits, `-` or `_`.
    Label,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Address and port.
    Address,
    /// Empty, or where Redis is; never printed.
    RedisUrl,
    /// Where a channel is told; never printed.
    HttpUrl,
    /// What is logged.
    LogFilter,
    /// A whole number from..=to.
    Integer(i64, i64),
    /// A number from..=to.
    Number(f64, f64),
    /// A duration from..=to.
    Span(&'static str, &'static str),
}

use Shape::{
    Address, Flag, HttpUrl, Integer, Label, LogFilter, Name, Names, Number, RedisUrl, Secret, Span, Text,
    Words,
};

impl Shape {
    /// Says what the value must be when it may not be what it is.
    pub(super) fn check(self, value: &Value) -> Result<(), String> {
        let is = |expected: String| format!("{expected}, is {}", shown(value));
        let text = match &value.kind {
            ValueKind::String(text) => Some(text.as_str()),
            _ => None,
        };
        match self {
            Secret | Text => text.map(drop).ok_or_else(|| "must be text in quotes".to_owned()),
            Name if text.is_some_and(|text| !text.is_empty()) => Ok(()),
            Name => Err("must be text in quotes, and not empty".to_owned()),
            Flag => match &value.kind {
                ValueKind::Boolean(_) => Ok(()),
                ValueKind::String(text) if is_from_variable(value) && text.parse::<bool>().is_ok() => Ok(()),
                _ => Err(is("must be true or false".to_owned())),
            },
            Names if are_names(value) => Ok(()),
            Names => Err("must be texts in quotes, none of them empty: [\"…\", \"…\"]".to_owned()),
            Label => match text.map(ChannelId::parse) {
                Some(Ok(_)) => Ok(()),
                Some(Err(problem)) => Err(is(problem.to_string())),
                None => Err(is("must be 1 to 32 letters, digits, - or _ in quotes".to_owned())),
            },
            Words(words) if text.is_some_and(|text| words.contains(&text)) => Ok(()),
            Words(words) => Err(is(format!("must be {}", quoted(words)))),
            Address if text.is_some_and(|text| text.parse::<SocketAddr>().is_ok()) => Ok(()),
            Address => {
                Err(is("must be an IP address and a port such as \"127.0.0.1:8080\" or \"[::1]:8080\""
                    .to_owned()))
            }
            RedisUrl if text.is_some_and(str::is_empty) => Ok(()),
            RedisUrl => match text.map(store::Address::parse) {
                Some(Ok(_)) => Ok(()),
                Some(Err(wrong)) => Err(wrong.to_string()),
                None => Err(AddressError::Malformed.to_string()),
            },
            HttpUrl if text.is_some_and(is_http_url) => Ok(()),
            HttpUrl => Err("must be a url such as \"https://shop.example/stock\"".to_owned()),
            LogFilter => match text.map(telemetry::log_filter) {
                Some(Ok(_)) => Ok(()),
                _ => Err(is("must be a level such as \"info\", or levels by target such as \
                             \"info,stockgate::workers=debug\""
                    .to_owned())),
            },
            Integer(from, to) => match integer(value) {
                Some(number) if (from..=to).contains(&number) => Ok(()),
                Some(_) => Err(is(format!("must be {from} to {to}"))),
                None => Err(is(format!("must be a whole number, {from} to {to}"))),
            },
            Number(from, to) => match number(value) {
                Some(number) if (from..=to).contains(&number) => Ok(()),
                _ => Err(is(format!("must be a number, {from} to {to}"))),
            },
            Span(from, to) => match text.map(humantime::parse_duration) {
                Some(Ok(given)) if (limit(from)..=limit(to)).contains(&given) => Ok(()),
                Some(Ok(_)) => Err(is(format!("must be {from} to {to}"))),
                _ => Err(is(format!("must be a duration with a unit such as \"5s\", {from} to {to}"))),
            },
        }
    }
}

fn limit(text: &str) -> Duration {
    humantime::parse_duration(text).expect("the limits are durations: a test compares them with the manual")
}

// Numbers from the environment are text; deserializing parses them again. Booleans and rounded fractions, which the
// config crate would also take for a whole number, are refused here.
fn integer(value: &Value) -> Option<i64> {
    match &value.kind {
        ValueKind::I64(number) => Some(*number),
        ValueKind::String(text) if is_from_variable(value) => text.parse().ok(),
        _ => None,
    }
}

fn is_from_variable(value: &Value) -> bool {
    matches!(layers::origin(value), Origin::Variable(_))
}

fn number(value: &Value) -> Option<f64> {
    match &value.kind {
        ValueKind::Float(number) => Some(*number),
        ValueKind::String(text) if is_from_variable(value) => text.parse().ok(),
        _ => integer(value).map(|whole| whole as f64),
    }
}

fn are_names(value: &Value) -> bool {
    match &value.kind {
        ValueKind::Array(items) => {
            items.iter().all(|item| matches!(&item.kind, ValueKind::String(text) if !text.trim().is_empty()))
        }
        ValueKind::String(text) => {
            is_from_variable(value) && text.split(',').all(|name| !name.trim().is_empty())
        }
        _ => false,
    }
}

fn is_http_url(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or ")
}

fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Table(_) => "a section".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        plain => plain.to_string(),
    }
}
