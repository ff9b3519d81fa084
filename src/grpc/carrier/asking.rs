//! Asks the sources side by side, and answers with what has come in time.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    carriers::{QuoteFault, Quoted},
    domain::carrier::{Quote, Shipment, Wish},
    proto,
    store::Store,
};

use super::{super::convert, CarrierSettings, CarrierSource, cached, call::Call, lull::Lull, meters::Meters};

/// What a source did when it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It answered, perhaps without a quote.
    Answered,
    /// It had answered the same a moment ago.
    Cached,
    /// It did not answer in time.
    TimedOut,
    /// It could not be reached, or cannot answer now.
    Failed,
    /// It refused.
    Refused,
    /// It was not asked: it fails.
    BreakerOpen,
    /// It was not asked: there were too many calls.
    RateLimited,
    /// A fallback that was not needed.
    NotNeeded,
}

impl Outcome {
    /// All that may become of one that is wanted.
    pub(super) const ASKED: [Self; 7] = [
        Self::Answered,
        Self::Cached,
        Self::TimedOut,
        Self::Failed,
        Self::Refused,
        Self::BreakerOpen,
        Self::RateLimited,
    ];

    /// Its word, as in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Cached => "cached",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::BreakerOpen => "breaker_open",
            Self::RateLimited => "rate_limited",
            Self::NotNeeded => "not_needed",
        }
    }

    fn message(self) -> proto::SourceOutcome {
        match self {
            Self::Answered => proto::SourceOutcome::Answered,
            Self::Cached => proto::SourceOutcome::Cached,
            Self::TimedOut => proto::SourceOutcome::TimedOut,
            Self::Failed => proto::SourceOutcome::Failed,
            Self::Refused => proto::SourceOutcome::Refused,
            Self::BreakerOpen => proto::SourceOutcome::BreakerOpen,
            Self::RateLimited => proto::SourceOutcome::RateLimited,
            Self::NotNeeded => proto::SourceOutcome::NotNeeded,
        }
    }
}

/// What came of asking one source.
#[derive(Debug)]
pub(super) struct SourceAnswer {
    pub(super) outcome: Outcome,
    pub(super) quoted: Quoted,
    /// Whether it may have had quotes that did not come.
    pub(super) is_partial: bool,
    pub(super) latency: Duration,
    /// What went wrong.
    pub(super) message: String,
}

impl SourceAnswer {
    /// An answer that came.
    pub(super) fn came(outcome: Outcome, quoted: Quoted, latency: Duration) -> Self {
        let is_partial = !cached::is_whole(&quoted);
        Self { outcome, quoted, is_partial, latency, message: String::new() }
    }

    /// None came, and it may have had quotes.
    pub(super) fn none(outcome: Outcome, latency: Duration, message: String) -> Self {
        Self { outcome, quoted: Quoted::default(), is_partial: true, latency, message }
    }

    /// What the source itself said.
    pub(super) fn of(answer: Result<Quoted, QuoteFault>, latency: Duration) -> Self {
        match answer {
            Ok(quoted) => Self::came(Outcome::Answered, quoted, latency),
            Err(QuoteFault::TimedOut { after }) => Self::none(Outcome::TimedOut, latency, late(after)),
            Err(QuoteFault::Failed { error }) => Self::none(Outcome::Failed, latency, error.to_string()),
            Err(QuoteFault::Throttled { error, .. }) => {
                Self::none(Outcome::RateLimited, latency, error.to_string())
            }
            Err(QuoteFault::RefusedUs { error }) => Self::none(Outcome::Refused, latency, error.to_string()),
            // That is an answer: it has no quote for such a shipment.
            Err(QuoteFault::RefusedShipment { error }) => {
                Self { is_partial: false, ..Self::none(Outcome::Refused, latency, error.to_string()) }
            }
        }
    }
}

/// That nothing came within so long.
pub(super) fn late(after: Duration) -> String {
    format!("no answer within {} ms", after.as_millis())
}

/// What came of asking all sources.
pub(super) struct Asked {
    pub(super) quotes: Vec<Quote>,
    /// In the order of the settings.
    pub(super) reports: Vec<proto::SourceReport>,
    /// Source and word of each that was asked.
    pub(super) words: Vec<(String, &'static str)>,
    /// Whether there may have been more quotes.
    pub(super) is_partial: bool,
    /// Whether the fallback was asked.
    pub(super) is_fallback: bool,
}

/// Who asks.
pub(super) struct Asker {
    pub(super) store: Store,
    pub(super) settings: Arc<CarrierSettings>,
    pub(super) meters: Arc<Meters>,
    pub(super) lull: Arc<Lull>,
    /// Owns the calls that outlive their selection, so that what became of them is still told to the breaker.
    pub(super) tasks: TaskTracker,
    /// Falls when nobody is left to ask for.
    pub(super) over: CancellationToken,
}

impl Asker {
    /// Asks all that have to be asked, until then at the latest.
    pub(super) async fn ask(&self, shipment: Shipment, wish: &Wish, now: Timestamp, by: Instant) -> Asked {
        let shipment = Arc::new(shipment);
        let sources = &self.settings.sources;
        let mut answers = self.ask_live(&shipment, now, by).await;
        for (answer, source) in answers.iter_mut().zip(sources) {
            if answer.is_none() && !source.is_fallback() {
                *answer = Some(from_table(source, &shipment, now).await);
            }
        }
        // Quotes that may not be chosen are as good as none: a carrier that collects money may be in the fallback only.
        let is_in_vain = |answer: &SourceAnswer| !answer.quoted.quotes.iter().any(|quote| wish.admits(quote));
        let is_fallback =
            answers.iter().flatten().all(is_in_vain) && sources.iter().any(CarrierSource::is_fallback);
        for (answer, source) in answers.iter_mut().zip(sources) {
            if answer.is_none() && is_fallback {
                *answer = Some(from_table(source, &shipment, now).await);
            }
        }
        self.gather(answers, is_fallback)
    }

    /// Asks the servers; None for tables.
    async fn ask_live(
        &self,
        shipment: &Arc<Shipment>,
        now: Timestamp,
        by: Instant,
    ) -> Vec<Option<SourceAnswer>> {
        let sources = &self.settings.sources;
        let begun = Instant::now();
        let live: Vec<usize> = (0..sources.len()).filter(|index| sources[*index].live().is_some()).collect();
        let mut answers: Vec<Option<SourceAnswer>> = sources.iter().map(|_| None).collect();
        if live.is_empty() {
            return answers;
        }
        let name = cached::name_of(shipment, now, sources);
        let kept = self.kept(name, &live, by).await;
        let mut on_their_way = Vec::with_capacity(live.len());
        for (index, kept) in live.into_iter().zip(kept) {
            if let Some(quoted) = kept {
                answers[index] = Some(SourceAnswer::came(Outcome::Cached, quoted, begun.elapsed()));
                continue;
            }
            let (told, answer) = oneshot::channel();
            let call = Call {
                store: self.store.clone(),
                source: sources[index].clone(),
                index,
                shipment: Arc::clone(shipment),
                now,
                by,
                name,
                cache_ttl: self.settings.cache_ttl,
                meters: Arc::clone(&self.meters),
                lull: Arc::clone(&self.lull),
            };
            let over = self.over.clone();
            self.tasks.spawn(async move { over.run_until_cancelled(call.run(told)).await });
            on_their_way.push((index, answer));
        }
        for (index, answer) in on_their_way {
            answers[index] = Some(match timeout_at(by, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => {
                    SourceAnswer::none(Outcome::Failed, begun.elapsed(), "this gateway broke off".to_owned())
                }
                Err(_) => SourceAnswer::none(Outcome::TimedOut, begun.elapsed(), late(begun.elapsed())),
            });
        }
        answers
    }

    /// What these sources answered to the same a moment ago.
    async fn kept(&self, name: u128, live: &[usize], by: Instant) -> Vec<Option<Quoted>> {
        if self.settings.cache_ttl.is_zero() {
            return live.iter().map(|_| None).collect();
        }
        let ids: Vec<_> = live.iter().map(|index| self.settings.sources[*index].id.clone()).collect();
        let kept = self.lull.look(by, self.store.cached_quotes(name, &ids)).await.unwrap_or_default();
        let mut kept = kept.into_iter();
        ids.iter().map(|id| cached::read(id, &kept.next().flatten()?)).collect()
    }

    fn gather(&self, answers: Vec<Option<SourceAnswer>>, is_fallback: bool) -> Asked {
        let mut asked = Asked {
            quotes: Vec::new(),
            reports: Vec::with_capacity(answers.len()),
            words: Vec::new(),
            is_partial: false,
            is_fallback,
        };
        for (index, (source, answer)) in self.settings.sources.iter().zip(answers).enumerate() {
            let source = source.id.to_string();
            let Some(answer) = answer else {
                let outcome = Outcome::NotNeeded.message().into();
                asked.reports.push(proto::SourceReport { source, outcome, ..Default::default() });
                continue;
            };
            let SourceAnswer { outcome, quoted: Quoted { quotes, silent }, is_partial, latency, message } =
                answer;
            self.meters.asked(index, outcome);
            asked.is_partial |= is_partial;
            asked.words.push((source.clone(), outcome.as_str()));
            asked.reports.push(proto::SourceReport {
                source,
                outcome: outcome.message().into(),
                quote_count: i64::try_from(quotes.len()).unwrap_or(i64::MAX),
                latency: Some(convert::span(latency)),
                silent_carriers: silent.into_iter().map(convert::silent_carrier).collect(),
                message,
            });
            asked.quotes.extend(quotes);
        }
        asked
    }
}

async fn from_table(source: &CarrierSource, shipment: &Shipment, now: Timestamp) -> SourceAnswer {
    let begun = Instant::now();
    let answer = source.carrier.quote(shipment, now).await;
    SourceAnswer::of(answer, begun.elapsed())
}
