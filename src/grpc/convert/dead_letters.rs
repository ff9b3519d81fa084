//! Requests about dead letters: which, and what is to be done to them.

use crate::{
    domain::{ChannelId, ClientId, Operator, Sku, Text},
    proto,
    store::DeadScope,
};

use super::{operators::OperatorFields, problem::Problem, queries::page_size, violations::Violations};

/// A page of dead letters that is asked for.
#[derive(Debug)]
pub struct DeadQuery {
    /// Which letters.
    pub scope: DeadScope,
    /// How many at most.
    pub page_size: usize,
    /// Where to go on, as an earlier answer said; not read yet.
    pub page_token: String,
}

/// Dead letters that are to be treated.
#[derive(Debug)]
pub struct RemedyQuery {
    /// Which letters.
    pub scope: DeadScope,
    /// Where to go on, as an earlier answer said; not read yet.
    pub page_token: String,
    /// Who does it; None when it is only asked what would be done.
    pub operator: Option<Operator>,
}

/// Reads a ListDeadLetters, except its token.
pub fn list_dead_letters(request: proto::ListDeadLettersRequest) -> Result<DeadQuery, Problem> {
    let mut bad = Violations::default();
    let scope = scope(&mut bad, &request.channel, &request.sku, request.error_contains);
    let page_size = page_size(&mut bad, request.page_size);
    match scope.zip(page_size) {
        Some((scope, page_size)) => Ok(DeadQuery { scope, page_size, page_token: request.page_token }),
        None => Err(bad.into_problem()),
    }
}

/// Reads a ReplayDeadLetters, except its token.
pub fn replay_dead_letters(
    request: proto::ReplayDeadLettersRequest,
    client: ClientId,
) -> Result<RemedyQuery, Problem> {
    let mut bad = Violations::default();
    let scope = scope(&mut bad, &request.channel, &request.sku, request.error_contains);
    let fields = OperatorFields { actor: request.actor, reason: request.reason };
    let operator = fields.parse(&mut bad, client);
    remedy(bad, scope, operator, request.dry_run, request.page_token)
}

/// Reads a DiscardDeadLetters, except its token. Dropping cannot be undone: who and why must be given, and that it means all.
pub fn discard_dead_letters(
    request: proto::DiscardDeadLettersRequest,
    client: ClientId,
) -> Result<RemedyQuery, Problem> {
    let mut bad = Violations::default();
    let has_filter =
        [&request.channel, &request.sku, &request.error_contains].iter().any(|text| !text.is_empty());
    match (request.all, has_filter) {
        (false, false) => bad.add("all", "must be true when no channel, sku or error_contains is given"),
        (true, true) => bad.add("all", "must not be true with a channel, sku or error_contains"),
        (true, false) | (false, true) => {}
    }
    let scope = scope(&mut bad, &request.channel, &request.sku, request.error_contains);
    let fields = OperatorFields { actor: request.actor, reason: request.reason };
    if !request.dry_run {
        fields.need_actor(&mut bad);
        fields.need_reason(&mut bad);
    }
    let operator = fields.parse(&mut bad, client);
    remedy(bad, scope, operator, request.dry_run, request.page_token)
}

fn remedy(
    bad: Violations,
    scope: Option<DeadScope>,
    operator: Option<Operator>,
    dry_run: bool,
    page_token: String,
) -> Result<RemedyQuery, Problem> {
    match scope.zip(operator) {
        Some((scope, operator)) if bad.is_empty() => {
            Ok(RemedyQuery { scope, page_token, operator: (!dry_run).then_some(operator) })
        }
        _ => Err(bad.into_problem()),
    }
}

fn scope(bad: &mut Violations, channel: &str, sku: &str, error_contains: String) -> Option<DeadScope> {
    let channel = optional(channel, |text| bad.take("channel", ChannelId::parse(text)));
    let sku = optional(sku, |text| bad.take("sku", Sku::parse(text)));
    let error = bad.take("error_contains", Text::<256>::parse(error_contains));
    let error_contains = error?.as_str().to_owned();
    Some(DeadScope { channel: channel?, sku: sku?, error_contains, until_ms: None })
}

/// An empty field is not given.
pub(super) fn optional<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { read(text).map(Some) }
}
