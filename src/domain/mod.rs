//! Pure values and rules: what stock is and what may happen to it. No tokio, no Redis, no tonic.
//!
//! Values are parsed once, at the edge; whoever holds a [`Sku`] or a [`Quantity`] may trust it.

mod blind_window;
mod breaker;
pub mod carrier;
mod durability;
mod event;
mod fingerprint;
mod hold;
mod ids;
mod lines;
mod mutation;
mod operator;
mod publish;
mod retry;
mod rules;
mod shares;
mod stock;
mod text;

pub use blind_window::{BlindOrders, Demand};
pub use breaker::{BreakerState, BreakerTerms, ChannelTerms, RateTerms};
pub use durability::{Achieved, Durability, DurabilityProblem, Replicas};
pub use event::{Cause, Event, EventId, EventKind};
pub use fingerprint::Fingerprint;
pub use hold::{Hold, HoldId, HoldKind, HoldLine, HoldState};
pub use ids::{ChannelId, ClientId, IdempotencyKey, Partition, Partitions, Sku};
pub use lines::{LINES_MAX, Line, LineProblem, Lines, SkuQuantity};
pub use mutation::{
    Action, Answer, Applied, LineResult, Mutation, Refusal, Rpc, Shortage, Versions, WhenExpired,
};
pub use operator::{DISCARDED, Operator};
pub use publish::{DesiredState, PublishPolicy};
pub use retry::Backoff;
pub use rules::{ChannelRules, Patience};
pub use shares::partition_owner;
pub use stock::{Level, QUANTITY_MAX, Quantity, QuantityProblem, SetCondition, Ttl, TtlProblem};
pub use text::{Text, TextProblem};
