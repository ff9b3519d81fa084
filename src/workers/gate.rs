//! Lets the calls of this process to one channel through. Redis is asked for a grant of calls, and these are handed out until they
//! are used up, their time is over, or a call fails: a healthy channel costs a few scripts per second, an idle one none.
//!
//! Failures and probes are reported at once. What worked is told with the next failure, or with an ask a second later.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::{BreakerState, ChannelId, ChannelTerms},
    store::{Permit, Report, Shut, Store, StoreError},
};

/// Calls in a grant for a channel without rate; nobody makes so many within one grant.
const CALLS_MAX: u32 = 10_000;
/// A grant lasts a fifth of a second: of a rate, it takes what that allows in so long.
const GRANTS_PER_SECOND: f64 = 5.0;
/// What worked is told this often, as long as nothing fails.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// A channel that says "too many" and not for how long is left alone for so long.
const THROTTLED_FOR: Duration = Duration::from_secs(1);
/// While a probe of this process is out, others look again after so long.
const PROBE_LOOK: Duration = Duration::from_secs(1);

/// Whether a call may go.
#[derive(Debug)]
pub enum Pass {
    /// It may.
    Go(Ticket),
    /// It may, as the only one: it shows whether the channel works again.
    Probe(Ticket),
    /// It may not.
    Wait {
        /// Until it is worth asking again; never zero.
        wait: Duration,
        /// Why.
        why: Shut,
    },
}

/// The right to one call: to be reported after the call, or given back without one. A probe whose ticket is dropped holds everybody up
/// until its time is over.
#[derive(Debug)]
#[must_use = "report it, or give it back"]
pub struct Ticket {
    turns: u64,
    probe: Option<String>,
}

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The channel answered, whatever it said of the items.
    Worked,
    /// It did not, or not sensibly.
    Failed,
    /// It wants to be left alone.
    Throttled {
        /// For so long; None: it did not say.
        after: Option<Duration>,
    },
    /// It refuses as a whole: nothing gets better by trying soon.
    Refused,
}

/// The gate of one channel in this process.
pub struct Gate {
    store: Store,
    channel: ChannelId,
    terms: ChannelTerms,
    state: Mutex<State>,
    /// Held while Redis is asked: many calls at once ask once.
    asking: tokio::sync::Mutex<Shutting>,
    /// How often Redis was asked.
    asked: AtomicU64,
}

struct State {
    grant: Option<Grant>,
    /// What Redis was not told yet.
    untold: Report,
    told_at: Instant,
}

struct Grant {
    left: u32,
    until: Instant,
    turns: u64,
}

/// The last answer that let nobody else through.
struct Shutting {
    serial: u64,
    wait: Duration,
    why: Shut,
}

impl Gate {
    /// A gate that has asked nothing yet.
    pub fn new(store: Store, channel: ChannelId, terms: ChannelTerms) -> Self {
        let state = State { grant: None, untold: Report::default(), told_at: Instant::now() };
        let nothing = Shutting { serial: 0, wait: PROBE_LOOK, why: Shut::BreakerOpen };
        Self {
            store,
            channel,
            terms,
            state: Mutex::new(state),
            asking: tokio::sync::Mutex::new(nothing),
            asked: AtomicU64::new(0),
        }
    }

    /// Asks for one call; Redis is asked only when no grant is left.
    pub async fn ask(&self) -> Result<Pass, StoreError> {
        if let Some(ticket) = self.take_granted() {
            return Ok(Pass::Go(ticket));
        }
        let asked_before = self.asked.load(Ordering::Acquire);
        let mut shutting = self.asking.lock().await;
        if let Some(ticket) = self.take_granted() {
            return Ok(Pass::Go(ticket));
        }
        // Somebody asked after we came, and was let through by nobody: the answer is ours too. An answer to an older question
        // may be older than what woke us.
        if shutting.serial > asked_before {
            return Ok(Pass::Wait { wait: shutting.wait, why: shutting.why });
        }
        let serial = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.tell_if_owed().await?;
        // Taken before Redis is asked: the grant ends no later than it says.
        let asked_at = Instant::now();
        match self.store.permit(&self.channel, &self.terms, self.wanted()).await? {
            Permit::Go { calls, valid, turns } => {
                let left = calls.saturating_sub(1);
                shutting.serial = 0;
                self.state().grant = Some(Grant { left, until: asked_at + valid, turns });
                Ok(Pass::Go(Ticket { turns, probe: None }))
            }
            Permit::Probe { token } => {
                *shutting = Shutting { serial, wait: PROBE_LOOK, why: Shut::BreakerOpen };
                Ok(Pass::Probe(Ticket { turns: 0, probe: Some(token) }))
            }
            Permit::Wait { wait, why } => {
                *shutting = Shutting { serial, wait, why };
                Ok(Pass::Wait { wait, why })
            }
        }
    }

    /// Gives a call back that was not made, as nothing was due. A probe and a call of a rate go back to Redis at once, for other workers.
    pub async fn give_back(&self, ticket: Ticket) -> Result<(), StoreError> {
        let report = {
            let mut state = self.state();
            if ticket.probe.is_none() && !self.is_scarce() {
                return Ok(());
            }
            let report = Report { turns: ticket.turns, unused: 1, probe: ticket.probe, ..Report::default() };
            self.end_grant(&mut state);
            state.with_untold(report)
        };
        self.tell(report).await.map(drop)
    }

    /// Says how a call went. Answers the breaker's new state when this opened or closed it.
    pub async fn report(&self, ticket: Ticket, verdict: Verdict) -> Result<Option<BreakerState>, StoreError> {
        let report = {
            let mut state = self.state();
            let is_probe = ticket.probe.is_some();
            let report = verdict.report(ticket);
            if verdict == Verdict::Worked && !is_probe {
                state.add(report);
                return Ok(None);
            }
            self.end_grant(&mut state);
            state.with_untold(report)
        };
        self.tell(report).await
    }

    /// A call of the grant at hand, if there is one.
    fn take_granted(&self) -> Option<Ticket> {
        let mut state = self.state();
        let grant = state.grant.as_mut()?;
        if grant.left == 0 || Instant::now() >= grant.until {
            self.end_grant(&mut state);
            return None;
        }
        grant.left -= 1;
        Some(Ticket { turns: grant.turns, probe: None })
    }

    fn end_grant(&self, state: &mut State) {
        let left = state.grant.take().map_or(0, |grant| grant.left);
        if self.is_scarce() {
            state.untold.unused = state.untold.unused.saturating_add(left);
        }
    }

    /// Tells what must be known before Redis decides again.
    async fn tell_if_owed(&self) -> Result<(), StoreError> {
        let report = {
            let mut state = self.state();
            let untold = &state.untold;
            let is_news = untold.failed > 0 || untold.refused || untold.throttled.is_some();
            let is_due = untold.worked > 0 && state.told_at.elapsed() >= TOLD_EVERY;
            if !is_news && untold.unused == 0 && !is_due {
                return Ok(());
            }
            std::mem::take(&mut state.untold)
        };
        self.tell(report).await.map(drop)
    }

    async fn tell(&self, report: Report) -> Result<Option<BreakerState>, StoreError> {
        let told = self.store.report(&self.channel, &self.terms, &report).await;
        let mut state = self.state();
        match told {
            Ok(reported) => {
                state.told_at = Instant::now();
                Ok(reported.has_turned.then_some(reported.state))
            }
            Err(fault) => {
                // Told with the next ask; a probe nobody heard of is given again after its time.
                if report.probe.is_none() {
                    state.add(report);
                }
                Err(fault)
            }
        }
    }

    /// Whether each call counts against a rate.
    fn is_scarce(&self) -> bool {
        self.terms.rate.per_second.is_some()
    }

    fn wanted(&self) -> u32 {
        let Some(per_second) = self.terms.rate.per_second else { return CALLS_MAX };
        // Rates are 100,000 at most.
        let wanted = (per_second / GRANTS_PER_SECOND).ceil() as u32;
        wanted.clamp(1, self.terms.rate.burst.max(1))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in the state is half changed when a thread panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps a report for later.
    fn add(&mut self, report: Report) {
        self.untold = self.with_untold(report);
    }

    /// The report and whatever was not told before, in one. Calls from before the breaker turned count no more.
    fn with_untold(&mut self, mut report: Report) -> Report {
        let untold = std::mem::take(&mut self.untold);
        report.unused = report.unused.saturating_add(untold.unused);
        report.throttled = report.throttled.max(untold.throttled);
        if report.probe.is_some() {
            return report;
        }
        if untold.turns > report.turns {
            return Report { throttled: report.throttled, unused: report.unused, ..untold };
        }
        if untold.turns == report.turns {
            report.worked = report.worked.saturating_add(untold.worked);
            report.failed = report.failed.saturating_add(untold.failed);
            report.refused |= untold.refused;
        }
        report
    }
}

impl Ticket {
    /// Whether it is the one call that shows whether the channel works again.
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

impl Verdict {
    fn report(self, ticket: Ticket) -> Report {
        let report = Report { turns: ticket.turns, probe: ticket.probe, ..Report::default() };
        match self {
            Self::Worked => Report { worked: 1, ..report },
            Self::Failed => Report { failed: 1, ..report },
            Self::Throttled { after } => Report { throttled: Some(after.unwrap_or(THROTTLED_FOR)), ..report },
            Self::Refused => Report { refused: true, ..report },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_together_is_of_the_same_turn_of_the_breaker() {
        let check = |untold: (u64, u32, u32), later: (u64, u32, u32), told: (u64, u32, u32)| {
            let report = |(turns, worked, failed)| Report { turns, worked, failed, ..Report::default() };
            let kept = Report { unused: 2, throttled: Some(TOLD_EVERY), ..report(untold) };
            let mut state = State { grant: None, untold: kept.clone(), told_at: Instant::now() };
            let whole = Report { unused: 2, throttled: Some(TOLD_EVERY), ..report(told) };
            assert_eq!(state.with_untold(report(later)), whole, "{untold:?} and {later:?}");
            assert_eq!(state.untold, Report::default());

            let probe = Report { probe: Some("token".to_owned()), ..report((0, 0, 1)) };
            state.untold = kept;
            let alone = Report { unused: 2, throttled: Some(TOLD_EVERY), ..probe.clone() };
            assert_eq!(state.with_untold(probe), alone, "a probe speaks for itself");
        };
        check((4, 7, 1), (4, 1, 1), (4, 8, 2));
        check((4, 7, 1), (5, 1, 0), (5, 1, 0));
        check((5, 7, 1), (4, 1, 3), (5, 7, 1));
    }
}
