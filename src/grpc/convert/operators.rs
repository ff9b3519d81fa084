//! What operators do to channels: pause, resume, resync; and who they say they are.

use crate::{
    domain::{ChannelId, ClientId, Operator, Sku, Text},
    proto,
};

use super::{dead_letters::optional, problem::Problem, violations::Violations};

/// Who acts and why, as given.
pub(super) struct OperatorFields {
    pub(super) actor: String,
    pub(super) reason: String,
}

impl OperatorFields {
    /// Checks both fields, also after one was bad.
    pub(super) fn parse(self, bad: &mut Violations, client: ClientId) -> Option<Operator> {
        let actor = bad.take("actor", Text::parse(self.actor));
        let reason = bad.take("reason", Text::parse(self.reason));
        Some(Operator { client, actor: actor?, reason: reason? })
    }

    pub(super) fn need_actor(&self, bad: &mut Violations) {
        if self.actor.is_empty() {
            bad.add("actor", "must not be empty: say who does this");
        }
    }

    pub(super) fn need_reason(&self, bad: &mut Violations) {
        if self.reason.is_empty() {
            bad.add("reason", "must not be empty: say why, others will ask");
        }
    }
}

/// What is to be told again.
#[derive(Debug)]
pub struct ResyncQuery {
    /// Only to this channel.
    pub channel: Option<ChannelId>,
    /// Only this SKU.
    pub sku: Option<Sku>,
    /// Who asks for it.
    pub operator: Operator,
}

/// Reads a PauseChannel.
pub fn pause_channel(
    request: proto::PauseChannelRequest,
    client: ClientId,
) -> Result<(ChannelId, Operator), Problem> {
    let mut bad = Violations::default();
    let channel = bad.take("channel", ChannelId::parse(&request.channel));
    let fields = OperatorFields { actor: request.actor, reason: request.reason };
    fields.need_actor(&mut bad);
    let operator = fields.parse(&mut bad, client);
    match channel.zip(operator) {
        Some(both) if bad.is_empty() => Ok(both),
        _ => Err(bad.into_problem()),
    }
}

/// Reads a ResumeChannel.
pub fn resume_channel(
    request: proto::ResumeChannelRequest,
    client: ClientId,
) -> Result<(ChannelId, Operator), Problem> {
    let mut bad = Violations::default();
    let channel = bad.take("channel", ChannelId::parse(&request.channel));
    let fields = OperatorFields { actor: request.actor, reason: String::new() };
    let operator = fields.parse(&mut bad, client);
    channel.zip(operator).ok_or_else(|| bad.into_problem())
}

/// Reads a Resync.
pub fn resync(request: proto::ResyncRequest, client: ClientId) -> Result<ResyncQuery, Problem> {
    let mut bad = Violations::default();
    let channel = optional(&request.channel, |text| bad.take("channel", ChannelId::parse(text)));
    let sku = optional(&request.sku, |text| bad.take("sku", Sku::parse(text)));
    let fields = OperatorFields { actor: request.actor, reason: request.reason };
    let operator = fields.parse(&mut bad, client);
    match (channel, sku, operator) {
        (Some(channel), Some(sku), Some(operator)) => Ok(ResyncQuery { channel, sku, operator }),
        _ => Err(bad.into_problem()),
    }
}
