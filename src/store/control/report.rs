//! How calls to a channel went: `lua/report.lua` counts, and turns the breaker.

use std::time::Duration;

use crate::domain::{BreakerState, ChannelId, ChannelTerms};

use super::{
    super::{Store, StoreError, propagation::corrupt, scripts::REPORT_SCRIPT},
    millis, permille, tokens_per_ms,
};

/// How calls went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What [`Permit::Go`](super::Permit::Go) said; of no meaning for a probe.
    pub turns: u64,
    /// The token of the probe, when it was one.
    pub probe: Option<String>,
    /// Calls the channel answered, whatever it said of the items.
    pub worked: u32,
    /// Calls it did not answer, or not sensibly.
    pub failed: u32,
    /// It refuses as a whole: the breaker opens at once, for its longest.
    pub refused: bool,
    /// It wants no calls for so long, from now on.
    pub throttled: Option<Duration>,
    /// Calls that were granted and not made.
    pub unused: u32,
}

/// What a report came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// The breaker now.
    pub state: BreakerState,
    /// Whether this report opened it or closed it; opening it again after a probe is no turn.
    pub has_turned: bool,
}

impl Store {
    /// Tells how calls went.
    pub async fn report(
        &self,
        channel: &ChannelId,
        terms: &ChannelTerms,
        report: &Report,
    ) -> Result<Reported, StoreError> {
        self.report_by(&self.inner.keys.control(channel), terms, report).await
    }

    /// The same by the key of what steers the calls.
    pub(super) async fn report_by(
        &self,
        key: &str,
        terms: &ChannelTerms,
        report: &Report,
    ) -> Result<Reported, StoreError> {
        let mut command = REPORT_SCRIPT.call([key].into_iter());
        command.arg(self.clock_argument()).arg(report.turns).arg(report.probe.as_deref().unwrap_or_default());
        command.arg(report.worked).arg(report.failed).arg(u8::from(report.refused));
        match report.throttled {
            Some(wait) => command.arg(millis(wait)),
            None => command.arg(-1),
        };
        command.arg(report.unused).arg(tokens_per_ms(terms)).arg(terms.rate.burst.max(1));
        let breaker = &terms.breaker;
        command.arg(breaker.failures.max(1)).arg(permille(breaker.rate).max(1)).arg(breaker.calls_min);
        command.arg((millis(breaker.window) / 2).max(1));
        command.arg(millis(breaker.open_first)).arg(millis(breaker.open_cap));
        command.arg(permille(1.0 + breaker.jitter * (2.0 * fastrand::f64() - 1.0)));
        let reply = self.run_script(&REPORT_SCRIPT, &command).await?;
        let [word, state, turned] = &reply[..] else { return Err(corrupt(&REPORT_SCRIPT, &reply)) };
        match (word.as_str(), BreakerState::parse(state), turned.as_str()) {
            ("reported", Some(state), "0") => Ok(Reported { state, has_turned: false }),
            ("reported", Some(state), "1") => Ok(Reported { state, has_turned: true }),
            _ => Err(corrupt(&REPORT_SCRIPT, &reply)),
        }
    }
}
