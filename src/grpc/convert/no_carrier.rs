//! The statuses of CarrierService: why no carrier was chosen, and why a delivery was not recorded.

use std::time::Duration;

use tonic::Code;

use crate::domain::carrier::{Candidate, Policy};

use super::{details::Details, problem::Problem};

/// Sources are probed about so often.
const RETRY_SOURCES: Duration = Duration::from_secs(1);

/// No quote will do: none fits, or all that do come too late.
pub fn no_carrier(
    candidates: &[Candidate],
    some_are_late: bool,
    policy: Policy,
    is_partial: bool,
) -> Problem {
    let (reason, what) = if some_are_late {
        ("NO_CARRIER_IN_TIME", "no carrier arrives by the promised date")
    } else {
        ("NO_CARRIER", "no carrier has a quote that will do")
    };
    let mut details = Details::default();
    let mut list = details.preconditions();
    for candidate in candidates {
        let quote = &candidate.quote;
        let subject = format!("{}/{}", quote.carrier, quote.service);
        list.precondition(reason, &subject, format_args!("{}", candidate.reason(policy)));
    }
    let omitted = list.end();
    let count = candidates.len().to_string();
    let omitted = (omitted > 0).then(|| omitted.to_string());
    let partial = if is_partial { "true" } else { "false" };
    let pairs = [("quotes", count.as_str()), ("partial", partial)];
    details.info(reason, pairs.into_iter().chain(omitted.as_deref().map(|count| ("omitted", count))));
    let message = match candidates.first() {
        None => format!("{what}: the sources have none for this shipment"),
        Some(first) => format!(
            "{what}: {}/{}: {}; {count} quotes in all, see the details",
            first.quote.carrier,
            first.quote.service,
            first.reason(policy)
        ),
    };
    Problem { code: Code::FailedPrecondition, reason, message, details, replayed: false }
}

/// No quote came, and some sources have not answered: source and what became of it, by its word.
pub fn carriers_silent<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)> + Clone) -> Problem {
    let reason = "CARRIERS_SILENT";
    let mut details = Details::default();
    details.info(reason, sources.clone());
    details.retry(RETRY_SOURCES);
    let told: Vec<String> = sources.into_iter().map(|(source, word)| format!("{source} {word}")).collect();
    let message = format!(
        "no source of prices has a quote, and not all have answered: {}: repeat it in a moment, or configure a rate_table \
         with fallback = true",
        told.join(", ")
    );
    Problem { code: Code::Unavailable, reason, message, details, replayed: false }
}

/// No source is configured.
pub fn no_carrier_sources() -> Problem {
    let message =
        "this gateway has no source of carriers' prices: add a [[carriers.sources]] section to its settings";
    Problem::new(Code::FailedPrecondition, "NO_CARRIER_SOURCES", message.to_owned())
}

/// The key recorded another delivery.
pub fn delivery_conflict(field: &str) -> Problem {
    let reason = "IDEMPOTENCY_CONFLICT";
    let mut details = Details::default();
    details.info(reason, [("differingField", field)]);
    let message = format!(
        "the idempotency key was used for another delivery, {field} differs: use a new key for another parcel, and repeat \
         the old one unchanged"
    );
    Problem { code: Code::AlreadyExists, reason, message, details, replayed: false }
}
