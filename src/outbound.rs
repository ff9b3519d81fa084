//! HTTP out, as channels and carriers have it in common: the client, how long a server asks to wait, what it said.
//!
//! A second cellar room: it imports nothing of ours, and knows neither stock nor parcels.

mod answer;
mod client;
mod error_text;
mod retry_after;

pub use answer::{body_start, root_cause};
pub use client::client;
pub use error_text::ErrorText;
pub use retry_after::{RETRY_AFTER_MAX, retry_after};
