//! Which dead letters a command means.

use clap::Args;

/// Which dead letters; every flag narrows it down.
#[derive(Debug, Args)]
pub(super) struct FilterArgs {
    /// Only of this channel
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) channel: String,
    /// Only of this SKU
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) sku: String,
    /// Only those whose last error has this text in it, in any case of letters
    #[arg(long = "error", value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) error_contains: String,
}
