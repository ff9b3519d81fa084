//! Messages to domain values and back, one file per theme; and the one table of errors (`status`).
//!
//! Requests are read here and trusted from here on. Whatever is wrong with one is said at once, field by field.

mod cause;
mod counts;
mod dead_letters;
mod deliveries;
mod details;
mod durability;
mod events;
mod holds;
mod import;
mod lines;
mod no_carrier;
mod operators;
mod problem;
mod queries;
mod quotes;
mod replies;
mod sales;
mod selections;
mod status;
mod stock;
mod time;
mod transact;
mod ttl;
mod violations;

#[cfg(test)]
mod bad_input;

pub use counts::{IMPORT_ROWS_MAX, adjust_stock, import_row, set_stock};
pub use dead_letters::{
    DeadQuery, RemedyQuery, discard_dead_letters, list_dead_letters, replay_dead_letters,
};
pub use deliveries::{list_carrier_events, list_carriers, performance, record_delivery};
pub use durability::achieved;
pub use events::event;
pub use holds::{commit, extend_hold, hold, hold_state, release};
pub use import::import_result;
pub use no_carrier::{carriers_silent, delivery_conflict, no_carrier, no_carrier_sources};
pub use operators::{ResyncQuery, pause_channel, resume_channel, resync};
pub use problem::Problem;
pub use queries::{
    EventsQuery, SKUS_MAX, batch_get_stock, get_hold, get_stock, get_sync_status, list_events,
    list_stock_page_size, resolve_key, verify_stock, watch_stock,
};
pub use quotes::{carrier_policy, judged_quote, silent_carrier};
pub use replies::{
    adjust_stock_response, commit_response, decrement_response, extend_hold_response, release_response,
    reserve_response, restock_response, set_stock_response,
};
pub use sales::{decrement, reserve, restock};
pub use selections::{Selection, select_carrier};
pub use status::{
    connection_aged, deadline_expired, message_too_large, outcome_unknown, refusal_reason, stream_expired,
    too_many_watches, unknown_channel,
};
pub use stock::{stock, stock_after};
pub use time::{span, timestamp};
pub use transact::{Respond, operation, transact_response};
pub use ttl::ContractLimits;
