//! What a request may say about itself: channel, order, reason, actor. Recorded in the event.

use clap::Args;

/// Why a change was made, and by whom.
#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// Why, recorded in the event
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) reason: String,
    /// Who, recorded in the event
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) actor: String,
}

/// Who acts by hand on channels, and why.
#[derive(Debug, Args)]
pub(super) struct OperatorArgs {
    /// Who, for the log and the events [default: the user of this machine]
    #[arg(long, env = "USER", hide_env = true, default_value = "", hide_default_value = true)]
    pub(super) actor: String,
    /// Why, for the log and the events
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) reason: String,
}

/// Where a change came from.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// The channel it came from; it is not told about its own sales and holds
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) channel: String,
}

/// Which order a change belongs to.
#[derive(Debug, Args)]
pub(super) struct OrderArgs {
    /// The order, recorded in the event
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) order_ref: String,
}
