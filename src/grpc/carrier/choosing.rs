//! SelectCarrier: prices, what is known of who wants them, the choice, its entry in the audit trail; all before the deadline.

use std::time::Duration;

use jiff::Timestamp;
use prost::Message as _;
use tokio::time::Instant;

use crate::{
    domain::carrier::{Candidate, Choice, Evidence, Lane, NoChoice, Quote, Verdict, Wish, choose},
    proto,
    store::{CarrierEntry, CarrierEventKind, StoreError},
};

use super::{
    super::{
        convert::{self, Problem, Selection},
        deadline::Deadline,
        decide::caller,
    },
    CarrierServer,
    asking::Asked,
};

/// Losers an entry of the audit trail names.
const AUDITED_LOSERS_MAX: usize = 5;
/// Carriers without a quote that an entry names, of each source.
const AUDITED_SILENT_MAX: usize = 3;
/// The most that is kept of the caller's time for what comes after the prices.
const MARGIN_MAX: Duration = Duration::from_millis(400);

/// When what must be done.
struct Budget {
    /// Prices that come later are left out.
    prices_by: Instant,
    /// The answer has to leave.
    answer_by: Instant,
}

impl Budget {
    fn of(begun: Instant, deadline: Option<Deadline>, select_timeout: Duration) -> Self {
        let most = begun + select_timeout;
        let Some(Deadline(deadline)) = deadline else {
            return Self { prices_by: most, answer_by: most + MARGIN_MAX };
        };
        let margin = (deadline.saturating_duration_since(begun) / 4).min(MARGIN_MAX);
        let prices_by = most.min(deadline - margin);
        Self { prices_by, answer_by: (prices_by + MARGIN_MAX).min(deadline - margin / 4) }
    }
}

impl CarrierServer {
    /// Chooses a carrier.
    pub(super) async fn select(
        &self,
        request: proto::SelectCarrierRequest,
        deadline: Option<Deadline>,
    ) -> Result<proto::SelectCarrierResponse, Problem> {
        let (begun, now) = (Instant::now(), Timestamp::now());
        let settings = &self.settings;
        let Selection { shipment, wish, order_ref, actor } =
            convert::select_carrier(request, settings.policy, now)?;
        if settings.sources.is_empty() {
            return Err(convert::no_carrier_sources());
        }
        let budget = Budget::of(begun, deadline, settings.select_timeout);
        let lane = Lane::between(&shipment.origin, &shipment.destination, settings.lane_postal_characters);
        let mut asked = self.asker.ask(shipment, &wish, now, budget.prices_by).await;
        let (quotes, is_guess) =
            self.with_evidence(std::mem::take(&mut asked.quotes), &lane, budget.answer_by).await;
        let Decision { candidates, misses_promise, none } = Decision::of(choose(quotes, &wish));
        let carrier = candidates.first().map(|chosen| chosen.quote.carrier.clone());
        let problem =
            none.map(|some_are_late| no_choice(some_are_late, &candidates, is_guess, &asked, &wish));

        let judged = candidates.into_iter().map(|candidate| convert::judged_quote(candidate, wish.policy));
        let mut judged: Vec<proto::JudgedQuote> = judged.collect();
        let quote_count = i64::try_from(judged.len()).unwrap_or(i64::MAX);
        let losers = judged.split_off(judged.len().min(1 + AUDITED_LOSERS_MAX));
        let decision = proto::CarrierSelection {
            policy: convert::carrier_policy(wish.policy).into(),
            quotes: judged,
            quote_count,
            sources: asked.reports.iter().map(audited).collect(),
            partial: asked.is_partial,
            fallback: asked.is_fallback,
            misses_promise,
            lane: lane.to_string(),
            reliability_unknown: is_guess,
            promised_date: wish.promised.map(|date| date.to_string()).unwrap_or_default(),
        };
        let entry = CarrierEntry {
            kind: CarrierEventKind::Selection,
            client: caller(),
            order_ref,
            actor,
            payload: decision.encode_to_vec(),
        };
        let event_id = self.trail.write(&entry, budget.answer_by).await;
        self.meters.rests_on(asked.is_partial, asked.is_fallback);
        if let Some(problem) = problem {
            return Err(problem);
        }
        if let Some(carrier) = &carrier {
            self.meters.selected(carrier, wish.policy, begun.elapsed());
        }
        let mut judged = decision.quotes.into_iter();
        Ok(proto::SelectCarrierResponse {
            chosen: judged.next(),
            others: judged.chain(losers).collect(),
            sources: asked.reports,
            partial: decision.partial,
            fallback: decision.fallback,
            misses_promise,
            reliability_unknown: is_guess,
            lane: decision.lane,
            event_id,
        })
    }

    /// What is known of who made these quotes; and whether that is no more than a guess.
    async fn with_evidence(
        &self,
        quotes: Vec<Quote>,
        lane: &Lane,
        by: Instant,
    ) -> (Vec<(Quote, Evidence)>, bool) {
        if quotes.is_empty() {
            return (Vec::new(), false);
        }
        let means = (&self.store, &*self.lull, &*self.meters);
        let known = self.knowledge.of(&quotes, lane, &self.settings, means, by).await;
        (quotes.into_iter().zip(known.evidence).collect(), known.is_guess)
    }
}

/// A choice, or none, in one shape.
struct Decision {
    candidates: Vec<Candidate>,
    misses_promise: bool,
    /// None was chosen; whether some would do but for the date.
    none: Option<bool>,
}

impl Decision {
    fn of(chosen: Result<Choice, NoChoice>) -> Self {
        match chosen {
            Ok(Choice { candidates, misses_promise, .. }) => Self { candidates, misses_promise, none: None },
            Err(NoChoice { candidates, some_are_late }) => {
                Self { candidates, misses_promise: false, none: Some(some_are_late) }
            }
        }
    }
}

/// What the audit trail keeps of what a source did.
fn audited(report: &proto::SourceReport) -> proto::SourceReport {
    let silent = report.silent_carriers.iter().take(AUDITED_SILENT_MAX).cloned().collect();
    proto::SourceReport { silent_carriers: silent, ..report.clone() }
}

fn no_choice(
    some_are_late: bool,
    candidates: &[Candidate],
    is_guess: bool,
    asked: &Asked,
    wish: &Wish,
) -> Problem {
    let is_unknown = |candidate: &Candidate| matches!(candidate.verdict, Verdict::ArrivalUnknown { .. });
    if is_guess && candidates.iter().any(is_unknown) {
        // What is usual on this lane may be known, and could not be read: that is no answer for good.
        return StoreError::Unavailable { source: None }.into();
    }
    if candidates.is_empty() && asked.is_partial {
        let words = asked.words.iter().map(|(source, word)| (source.as_str(), *word));
        return convert::carriers_silent(words);
    }
    convert::no_carrier(candidates, some_are_late, wish.policy, asked.is_partial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_leave_time_for_the_answer() {
        let begun = Instant::now();
        let check = |deadline_ms: Option<u64>, timeout_ms, prices_ms, answer_ms| {
            let deadline = deadline_ms.map(|ms| Deadline(begun + Duration::from_millis(ms)));
            let budget = Budget::of(begun, deadline, Duration::from_millis(timeout_ms));
            let ms = [budget.prices_by, budget.answer_by].map(|at| (at - begun).as_millis());
            assert_eq!(ms, [prices_ms, answer_ms], "{deadline_ms:?}");
        };
        check(None, 3_000, 3_000, 3_400);
        check(Some(5_000), 3_000, 3_000, 3_400);
        check(Some(3_000), 3_000, 2_600, 2_900);
        check(Some(400), 3_000, 300, 375);
        check(Some(0), 3_000, 0, 0);
    }
}
