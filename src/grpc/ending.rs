//! When a connection says goodbye, and when its streams must end.
//!
//! Callers keep connections for ever, and with them the gateways they found first: one that came later would have nothing to
//! do. So each connection ends at an age, a little different for each, and its caller connects anew.

use std::{future::pending, time::Duration};

use http::Extensions;
use metrics::{counter, gauge};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{store::StoreError, telemetry};

use super::convert::{self, Problem};

/// Ages are moved by up to this share, up or down, so that connections made together do not end together.
const JITTER: f64 = 0.1;

/// How old a connection may get.
#[derive(Debug, Clone, Copy)]
pub(super) struct AgeTerms {
    /// Then it says goodbye; zero: never.
    pub(super) max: Duration,
    /// How long after that its streams are told to end.
    pub(super) grace: Duration,
    /// How long after that it is cut off: whoever still is there does not read, or is no call of ours.
    pub(super) last: Duration,
}

impl AgeTerms {
    /// The age at which one connection says goodbye; None: never. `chance` is in 0..1.
    fn age(&self, chance: f64) -> Option<Duration> {
        (!self.max.is_zero()).then(|| self.max.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance))
    }
}

/// Tells the streams of one connection to end. Streams find it in the extensions of their request.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    /// Falls with `stop`, or before it when the connection is too old.
    falls: CancellationToken,
    stop: CancellationToken,
}

impl Ending {
    /// One for a new connection of a gateway that stops with `stop`.
    pub(super) fn new(stop: &CancellationToken) -> Self {
        Self { falls: stop.child_token(), stop: stop.clone() }
    }

    /// The one of the connection a request came by.
    pub(super) fn of(extensions: &Extensions, stop: &CancellationToken) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_else(|| Self::new(stop))
    }

    /// Falls when the streams must end.
    pub(super) fn falls(&self) -> &CancellationToken {
        &self.falls
    }

    /// The last word to a stream.
    pub(super) fn problem(&self) -> Problem {
        if self.stop.is_cancelled() { StoreError::Draining.into() } else { convert::connection_aged() }
    }

    /// Returns when the connection must say goodbye, and why.
    pub(super) async fn goodbye(&self, terms: AgeTerms) -> Closed {
        let old = async {
            match terms.age(fastrand::f64()) {
                Some(age) => sleep(age).await, // why: the age a connection may have
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => Closed::Drain,
            () = old => Closed::Age,
        }
    }

    /// After a goodbye: tells the streams to end when their time is over, and returns when the connection must be cut off. A
    /// gateway that stops has its own clock for that.
    pub(super) async fn overdue(&self, goodbye: Closed, terms: AgeTerms) {
        if goodbye != Closed::Age {
            return pending().await;
        }
        sleep(terms.grace).await; // why: the time long streams are given to find an end themselves
        self.falls.cancel();
        sleep(terms.last).await; // why: the time the last calls are given
    }
}

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// Its caller closed it.
    Caller,
    /// It broke, or its caller said nothing to our pings.
    Broken,
    /// It was old; its calls had ended.
    Age,
    /// It was old, and its calls did not end.
    Overdue,
    /// The gateway stops.
    Drain,
}

impl Closed {
    fn why(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Broken => "broken",
            Self::Age => "age",
            Self::Overdue => "overdue",
            Self::Drain => "drain",
        }
    }
}

/// An open connection, as the metrics see it.
pub(super) struct Open(());

impl Open {
    pub(super) fn new() -> Self {
        gauge!(telemetry::CONNECTIONS).increment(1.0);
        Self(())
    }

    pub(super) fn closed(self, closed: Closed) {
        counter!(telemetry::CONNECTIONS_CLOSED, "why" => closed.why()).increment(1);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!(telemetry::CONNECTIONS).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_either_way() {
        let [of_never, of_ten] = [0, 10].map(|secs| AgeTerms {
            max: Duration::from_secs(secs),
            grace: Duration::ZERO,
            last: Duration::ZERO,
        });
        let ages = [0.0, 0.5, 1.0].map(|chance| of_ten.age(chance).map(|age| age.as_millis()));
        assert_eq!(ages, [Some(9_000), Some(10_000), Some(11_000)]);
        assert_eq!(of_never.age(0.5), None);
    }

    #[test]
    fn a_stream_is_told_which_end_it_is() {
        let stop = CancellationToken::new();
        let ending = Ending::new(&stop);
        ending.falls().cancel();
        assert_eq!(ending.problem().reason(), "CONNECTION_AGED");
        assert!(!stop.is_cancelled(), "other connections live on");
        let another = Ending::new(&stop);
        stop.cancel();
        assert!(another.falls().is_cancelled());
        assert_eq!(another.problem().reason(), "DRAINING");
    }
}
