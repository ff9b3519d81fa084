//! Who asks, why, and how durable it must be: the fields every mutation carries.

use crate::{
    domain::{Cause, ChannelId, ClientId, Durability, IdempotencyKey, Text, TextProblem},
    proto,
};

use super::{durability::durability, violations::Violations};

/// These fields as given; what an rpc does not have stays empty.
#[derive(Default)]
pub(super) struct CauseFields {
    pub(super) idempotency_key: String,
    pub(super) channel: String,
    pub(super) order_ref: String,
    pub(super) reason: String,
    pub(super) actor: String,
    pub(super) durability: Option<proto::DurabilityLevel>,
}

impl CauseFields {
    /// Checks every field, also after one was bad.
    pub(super) fn parse(self, bad: &mut Violations, client: ClientId) -> Option<(Cause, Option<Durability>)> {
        let key = idempotency_key(bad, &self.idempotency_key);
        let channel = if self.channel.is_empty() {
            Some(None)
        } else {
            bad.take("channel", ChannelId::parse(&self.channel)).map(Some)
        };
        let order_ref = bad.take("order_ref", Text::parse(self.order_ref));
        let reason = bad.take("reason", Text::parse(self.reason));
        let actor = bad.take("actor", Text::parse(self.actor));
        let durability = durability(bad, self.durability);
        let cause = Cause {
            client,
            key: key?,
            channel: channel?,
            order_ref: order_ref?,
            reason: reason?,
            actor: actor?,
        };
        Some((cause, durability?))
    }
}

/// Accepts an idempotency key.
pub(super) fn idempotency_key(bad: &mut Violations, text: &str) -> Option<IdempotencyKey> {
    match IdempotencyKey::parse(text) {
        Err(TextProblem::Empty) => {
            bad.add(
                "idempotency_key",
                "must not be empty: choose a fresh key per request, and the same for its repeats",
            );
            None
        }
        parsed => bad.take("idempotency_key", parsed),
    }
}
