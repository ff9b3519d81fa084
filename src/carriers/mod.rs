//! Where prices of carriers come from: one trait, one file per kind of source. HTTP out only, or a table in memory.
//!
//! A source is asked for quotes and answers within its own timeout. It never retries, keeps no state between calls and decides
//! nothing: breaker, rate and deadline are whoever's asks, and the choice is `domain::carrier`'s.

mod easypost;
mod http_source;
mod rate_table;
mod shipengine;
mod shippo;

use std::{pin::Pin, time::Duration};

use jiff::Timestamp;

use crate::{
    domain::carrier::{Quote, Shipment},
    outbound::ErrorText,
};

pub use easypost::EasyPost;
pub use http_source::{ACCOUNTS_MAX, ANSWER_BYTES_MAX, HttpSource, HttpSourceError};
pub use rate_table::{Mistake, RateTable, RateTableError};
pub use shipengine::ShipEngine;
pub use shippo::Shippo;

/// The answer of a source.
pub type QuoteFuture<'a> = Pin<Box<dyn Future<Output = Result<Quoted, QuoteFault>> + Send + 'a>>;

/// The most quotes one answer may have; what is beyond is left out, the dearest first.
pub const QUOTES_MAX: usize = 200;

/// A place where prices come from.
pub trait Carrier: Send + Sync {
    /// The `kind` of the settings, e.g. `easypost`.
    fn kind(&self) -> &'static str;

    /// Asks what a shipment costs that is ready at `now`, within the source's timeout.
    fn quote<'a>(&'a self, shipment: &'a Shipment, now: Timestamp) -> QuoteFuture<'a>;
}

/// What a source answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quoted {
    /// Its quotes, at most [`QUOTES_MAX`].
    pub quotes: Vec<Quote>,
    /// Carriers behind it that have none.
    pub silent: Vec<SilentCarrier>,
}

/// A carrier behind a source that has no quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentCarrier {
    /// As the source names it.
    pub carrier: ErrorText,
    /// Whether it may have one at another time: it was too slow, or could not answer. Else it does not serve this shipment.
    pub is_transient: bool,
    /// What it said.
    pub message: ErrorText,
}

/// Why a source has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuoteFault {
    /// None came in time.
    TimedOut {
        /// How long it had.
        after: Duration,
    },
    /// It could not be reached, broke off, or said that it cannot answer now.
    Failed {
        /// What happened.
        error: ErrorText,
    },
    /// It lives and asks for patience.
    Throttled {
        /// How long; None: it did not say.
        after: Option<Duration>,
        /// What it said.
        error: ErrorText,
    },
    /// It refuses this request: asking again changes nothing until the addresses change.
    RefusedShipment {
        /// What it said.
        error: ErrorText,
    },
    /// It refuses us, whatever we ask: key or address of the settings are wrong.
    RefusedUs {
        /// What it said.
        error: ErrorText,
    },
}
