//! What one channel was told: the newest number per SKU, how late, and whether it ever went back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::{
    body,
    plan::{Behaviour, SLOW},
};

/// The longest lag the histogram can tell: beyond it a channel is lost anyway.
const LAG_US_MAX: u64 = 600_000_000;
/// Two digits, so that forty histograms stay in the cache of a core.
const LAG_DIGITS: u8 = 2;
/// Of so many calls the throttled one lets one through.
const THROTTLED_PASSES_ONE_OF: u64 = 5;

/// One channel.
pub(crate) struct Book {
    pub(crate) behaviour: Behaviour,
    /// Calls received, however answered.
    pub(crate) calls: u64,
    /// Calls answered 200.
    pub(crate) calls_taken: u64,
    /// Events in them.
    pub(crate) events: u64,
    /// From the oldest unconfirmed change to its arrival here.
    pub(crate) lag_us: Histogram<u64>,
    /// Versions below one that was answered 200. Must stay 0.
    pub(crate) went_back: u64,
    /// Events not understood. Must stay 0.
    pub(crate) malformed: u64,
    /// When the last call was answered 200.
    pub(crate) taken_at: Instant,
    /// By the number of the SKU.
    shown: Vec<Shown>,
}

#[derive(Clone, Copy, Default)]
struct Shown {
    version: i64,
    quantity: i64,
}

/// What a call is answered.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Taken,
    TakenLate,
    Dead,
    Throttled,
}

/// For lags in microseconds, all of one shape so that they can be added up.
pub(crate) fn lag_histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(LAG_US_MAX, LAG_DIGITS)?)
}

impl Book {
    pub(crate) fn new(skus: usize) -> Result<Self> {
        Ok(Self {
            behaviour: Behaviour::Healthy,
            calls: 0,
            calls_taken: 0,
            events: 0,
            lag_us: lag_histogram()?,
            went_back: 0,
            malformed: 0,
            taken_at: Instant::now(),
            shown: vec![Shown::default(); skus],
        })
    }

    /// Counts a call that has arrived and decides what becomes of it.
    pub(crate) fn decide(&mut self) -> Answer {
        self.calls += 1;
        match self.behaviour {
            Behaviour::Healthy => Answer::Taken,
            Behaviour::Dead => Answer::Dead,
            Behaviour::Slow => Answer::TakenLate,
            Behaviour::Throttled if self.calls.is_multiple_of(THROTTLED_PASSES_ONE_OF) => Answer::Taken,
            Behaviour::Throttled => Answer::Throttled,
        }
    }

    /// Writes down a call that is answered 200 now.
    pub(crate) fn take(&mut self, body: &str) {
        let now_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
        self.calls_taken += 1;
        self.taken_at = Instant::now();
        for event in body::events(body) {
            self.events += 1;
            let Some(event) = event else {
                self.malformed += 1;
                continue;
            };
            let Some(shown) = self.shown.get_mut(event.sku) else {
                self.malformed += 1;
                continue;
            };
            let lag_us = now_us.saturating_sub(event.since_ms.saturating_mul(1000));
            self.lag_us.saturating_record(u64::try_from(lag_us).unwrap_or(0));
            if event.version < shown.version {
                self.went_back += 1;
            } else {
                *shown = Shown { version: event.version, quantity: event.quantity };
            }
        }
    }

    /// SKUs for which it does not show what is there.
    pub(crate) fn wrong(&self, available: &[i64]) -> u64 {
        let pairs = self.shown.iter().zip(available);
        pairs.filter(|(shown, available)| shown.quantity != **available).count() as u64
    }
}

impl Answer {
    /// The whole response.
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Self::Taken | Self::TakenLate => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            Self::Dead => b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            Self::Throttled => {
                b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
            }
        }
    }

    /// Whether the call is written down, and after how long.
    pub(crate) fn is_taken_after(self) -> Option<Duration> {
        match self {
            Self::Taken => Some(Duration::ZERO),
            Self::TakenLate => Some(SLOW),
            Self::Dead | Self::Throttled => None,
        }
    }
}
