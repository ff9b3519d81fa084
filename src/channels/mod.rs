//! HTTP out to the places that sell the stock: one trait, one file per kind of channel.
//!
//! A channel is handed what it should show and says, item by item, what became of it. It never retries by itself,
//! never waits beyond its own timeout and keeps no state between calls: when to push again is the workers' decision.

mod cloud_event;
mod outcome;
mod signature;
mod webhook;

use std::pin::Pin;

use crate::domain::DesiredState;

pub use outcome::PushOutcome;
pub use signature::SecretProblem;
pub use webhook::{Webhook, WebhookConfig, WebhookConfigError};

/// The answers of one push: as many as items, in their order.
pub type PushFuture<'a> = Pin<Box<dyn Future<Output = Vec<PushOutcome>> + Send + 'a>>;

/// A place that sells the stock and must be told the number.
pub trait Channel: Send + Sync {
    /// The `kind` of the settings, e.g. `webhook`.
    fn kind(&self) -> &'static str;

    /// The most items one call carries; more than that take several calls, one after the other.
    fn batch_max(&self) -> usize;

    /// Tells the channel what to show and answers item by item, each call within the channel's timeout.
    fn push<'a>(&'a self, items: &'a [DesiredState]) -> PushFuture<'a>;
}
