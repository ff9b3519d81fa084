//! On which terms a channel is called: when its breaker opens, how fast calls may go, how long one may take.

use std::time::Duration;

/// When calls to a channel stop, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerTerms {
    /// Failures in a row that open it.
    pub failures: u32,
    /// Share of failed calls in the window that opens it: above 0, up to 1.
    pub rate: f64,
    /// Calls in the window before their share counts.
    pub calls_min: u32,
    /// The share is taken over the calls of so long at most, and of half of it at least.
    pub window: Duration,
    /// How long it stays open at first; twice as long each time without a success.
    pub open_first: Duration,
    /// It is never open for longer, before jitter.
    pub open_cap: Duration,
    /// Each such time is moved by up to this share in either direction: 0 to 1.
    pub jitter: f64,
}

impl Default for BreakerTerms {
    fn default() -> Self {
        Self {
            failures: 5,
            rate: 0.5,
            calls_min: 20,
            window: Duration::from_secs(30),
            open_first: Duration::from_secs(1),
            open_cap: Duration::from_secs(30),
            jitter: 0.2,
        }
    }
}

/// How fast calls to a channel may go, over all workers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateTerms {
    /// Calls per second, 0.01 to 100,000; None: as many as there are.
    pub per_second: Option<f64>,
    /// Calls that may go at once after a quiet time, 1 and up; of no meaning without a rate.
    pub burst: u32,
}

impl Default for RateTerms {
    fn default() -> Self {
        Self { per_second: None, burst: 1 }
    }
}

/// On which terms a channel is called.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChannelTerms {
    /// When calls stop.
    pub breaker: BreakerTerms,
    /// How fast they may go.
    pub rate: RateTerms,
    /// How long one call may take.
    pub call_timeout: Duration,
}

/// Whether calls to a channel go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// They go.
    #[default]
    Closed,
    /// None goes until a probe is due.
    Open,
    /// One probe is out.
    HalfOpen,
}

impl BreakerState {
    /// Its word: `closed`, `open` or `half_open`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// Returns None for a word that is none of a state.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Closed, Self::Open, Self::HalfOpen].into_iter().find(|state| state.as_str() == word)
    }
}
