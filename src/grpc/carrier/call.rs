//! One call to one server: a place, a permit, the call, what it tells the breaker. Goes on when its selection has been answered
//! without it; each of its steps has an end.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, SemaphorePermit, oneshot},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    carriers::{QuoteFault, Quoted},
    domain::{ChannelTerms, carrier::Shipment},
    store::{Permit, Report, Shut, Store},
};

use super::{
    CarrierSource,
    asking::{Outcome, SourceAnswer},
    cached,
    lull::Lull,
    meters::Meters,
};

/// How long a server that does not say how long is left alone.
const THROTTLED_FOR: Duration = Duration::from_secs(1);
/// How long what became of a call may take to be told.
const TELL_MAX: Duration = Duration::from_secs(2);

/// A call.
pub(super) struct Call {
    pub(super) store: Store,
    pub(super) source: CarrierSource,
    /// Which of the sources.
    pub(super) index: usize,
    pub(super) shipment: Arc<Shipment>,
    pub(super) now: Timestamp,
    /// When its selection is answered.
    pub(super) by: Instant,
    /// Names what is asked.
    pub(super) name: u128,
    pub(super) cache_ttl: Duration,
    pub(super) meters: Arc<Meters>,
    pub(super) lull: Arc<Lull>,
}

impl Call {
    /// Asks, answers, and then tells breaker and cache.
    pub(super) async fn run(self, told: oneshot::Sender<SourceAnswer>) {
        let begun = Instant::now();
        let Some(live) = self.source.live().cloned() else { return };
        // Whether anybody still listens does not matter: breaker and cache want to know too.
        let Some(_place) = self.place(&live.places).await else {
            let message = "as many calls as its concurrency allows are on their way".to_owned();
            drop(told.send(SourceAnswer::none(Outcome::RateLimited, begun.elapsed(), message)));
            return;
        };
        let permit = match self.permit(&live.terms).await {
            Ok(permit) => permit,
            Err((outcome, message)) => {
                drop(told.send(SourceAnswer::none(outcome, begun.elapsed(), message)));
                return;
            }
        };
        let called = Instant::now();
        let limit = live.terms.call_timeout;
        let answer = match timeout(limit, self.source.carrier.quote(&self.shipment, self.now)).await {
            Ok(answer) => answer,
            Err(_) => Err(QuoteFault::TimedOut { after: limit }),
        };
        self.meters.called(self.index, called.elapsed());
        let report = permit.map(|permit| report(&answer, permit));
        let kept = answer.as_ref().ok().filter(|quoted| self.is_kept(quoted)).map(cached::bytes);
        drop(told.send(SourceAnswer::of(answer, begun.elapsed())));
        if let Some(report) = report {
            self.tell(&live.terms, &report).await;
        }
        if let Some(bytes) = kept {
            let put = self.store.put_cached_quotes(self.name, &self.source.id, &bytes, self.cache_ttl);
            if let Ok(Err(fault)) = timeout(TELL_MAX, put).await {
                tracing::debug!(error = &fault as &dyn std::error::Error, "an answer is not kept");
            }
        }
    }

    /// A place among the calls of this process, in time.
    async fn place<'p>(&self, places: &'p Semaphore) -> Option<SemaphorePermit<'p>> {
        timeout_at(self.by, places.acquire()).await.ok()?.ok()
    }

    /// The permit of all gateways together; none when Redis does not answer, since prices are worth more than its order.
    async fn permit(&self, terms: &ChannelTerms) -> Result<Option<Report>, (Outcome, String)> {
        match self.lull.look(self.by, self.store.permit_source(&self.source.id, terms)).await {
            None => Ok(None),
            Some(Permit::Go { turns, .. }) => Ok(Some(Report { turns, ..Report::default() })),
            Some(Permit::Probe { token }) => Ok(Some(Report { probe: Some(token), ..Report::default() })),
            Some(Permit::Wait { wait, why }) => {
                let (outcome, what) = match why {
                    Shut::BreakerOpen => (Outcome::BreakerOpen, "it fails, and is tried again"),
                    Shut::RateLimit => (Outcome::RateLimited, "its rate allows the next call"),
                    Shut::Throttled => (Outcome::RateLimited, "it asked to be left alone: the next call is"),
                    // Nobody pauses a source.
                    Shut::Paused => (Outcome::BreakerOpen, "it is paused, and asked again"),
                };
                Err((outcome, format!("{what} in {} ms", wait.as_millis())))
            }
        }
    }

    fn is_kept(&self, quoted: &Quoted) -> bool {
        !self.cache_ttl.is_zero() && cached::is_whole(quoted)
    }

    async fn tell(&self, terms: &ChannelTerms, report: &Report) {
        let id = &self.source.id;
        match timeout(TELL_MAX, self.store.report_source(id, terms, report)).await {
            Ok(Ok(reported)) if reported.has_turned => {
                tracing::warn!(source = id.as_str(), breaker = ?reported.state, "a source of carriers' prices changed");
            }
            Ok(Ok(_)) => {}
            Ok(Err(fault)) => {
                tracing::debug!(
                    error = &fault as &dyn std::error::Error,
                    "what became of a call is not told"
                );
            }
            Err(_) => tracing::debug!("what became of a call is not told: redis does not answer"),
        }
    }
}

/// What a call tells the breaker.
fn report(answer: &Result<Quoted, QuoteFault>, permit: Report) -> Report {
    match answer {
        Ok(_) | Err(QuoteFault::RefusedShipment { .. }) => Report { worked: 1, ..permit },
        Err(QuoteFault::TimedOut { .. } | QuoteFault::Failed { .. }) => Report { failed: 1, ..permit },
        Err(QuoteFault::Throttled { after, .. }) => {
            Report { throttled: Some(after.unwrap_or(THROTTLED_FOR)), ..permit }
        }
        Err(QuoteFault::RefusedUs { .. }) => Report { refused: true, ..permit },
    }
}
