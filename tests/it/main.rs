//! All integration tests in one binary: one link step, and what they share is started once.

#![allow(
    clippy::unwrap_used,
    reason = "a test that fails says where; what it calls besides #[test] functions too"
)]

mod batches;
mod bell;
mod broken;
mod channel_registry;
mod control_breaker;
mod control_gate;
mod control_rate;
mod counts;
mod dead_gateway;
mod dead_letters;
mod dead_rules;
mod exposure;
mod gateway;
mod gateway_bad_input;
mod gateway_calls;
mod gateway_cli;
mod gateway_contract;
mod gateway_crash;
mod gateway_events;
mod gateway_frames;
mod gateway_inventory;
mod gateway_kill;
mod gateway_load;
mod gateway_load_flaws;
mod gateway_own_sales;
mod gateway_receiver;
mod gateway_redis;
mod gateway_redis_gone;
mod gateway_rollout;
mod gateway_takeover;
mod gateway_threads;
mod gateway_transact;
mod gateway_transact_flow;
mod gateway_transact_rush;
mod gateway_webhooks;
mod gateway_workers;
mod harness;
mod history;
mod holds;
mod idempotency;
mod listing_pause;
mod model;
mod model_holds;
mod propagation_receivers;
mod propagation_scripts;
mod propagation_steps;
mod propagation_story;
mod race;
mod requests;
mod resync_rules;
mod scripts;
mod sentinel;
mod sentinel_trio;
mod server;
mod sold_out;
mod steps;
mod story;
mod street;
mod tidy;
mod tidy_blank;
mod tidy_floors;
mod tidy_lua;
mod tls;
mod verify;
mod workers_control;
mod workers_crew;
mod workers_lag;
mod workers_outcomes;
mod workers_resync;
mod workers_stop;
mod wrong_type;
