//! Dead letters as the contract shows them, and the line in the log that says who treated them.

use crate::{
    domain::Operator,
    proto,
    store::{DeadLetter, DeadRemedy, DeadScope, Treated},
};

use super::{super::convert, ChannelInfo};

/// Shows a letter; what its channel should show is that channel's policy.
pub(super) fn message(letter: &DeadLetter, channels: &[ChannelInfo]) -> proto::DeadLetter {
    let policy = channels.iter().find(|info| info.id == letter.channel).map(|info| info.policy);
    proto::DeadLetter {
        channel: letter.channel.to_string(),
        sku: letter.sku.to_string(),
        dead_time: Some(convert::timestamp(letter.dead_ms)),
        oldest_unconfirmed_time: letter.oldest_unconfirmed_ms.map(convert::timestamp),
        attempts: i64::from(letter.attempts),
        last_error: letter.last_error.clone(),
        confirmed_version: letter.confirmed_version,
        confirmed_quantity: letter.confirmed_quantity,
        wanted_quantity: policy.unwrap_or_default().published(letter.available),
        version: letter.version,
    }
}

/// Says who treated how many, and which.
pub(super) fn log(remedy: DeadRemedy, scope: &DeadScope, operator: &Operator, done: &Treated) {
    let what = match remedy {
        DeadRemedy::Replay => "dead letters replayed",
        DeadRemedy::Discard => "dead letters discarded",
    };
    tracing::info!(
        channel = scope.channel.as_ref().map(tracing::field::display),
        sku = scope.sku.as_ref().map(tracing::field::display),
        error_contains = scope.error_contains,
        actor = operator.actor.as_str(),
        client = operator.client.as_str(),
        reason = operator.reason.as_str(),
        matched = done.matched,
        treated = done.treated,
        "{what}"
    );
}
