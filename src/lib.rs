//! Stockgate: the gateway that knows how many are left.
//!
//! The house, from the ground up; imports go down a floor, never up or across (`tests/it/tidy.rs` checks it):
//!
//! - [`domain`]: pure values and rules.
//! - [`store`] (Redis only), [`channels`] and [`carriers`] (HTTP out only): neighbours without a door.
//! - [`grpc`], [`http`], [`workers`]: what callers reach, and what runs by itself.
//! - [`app`] and [`config`]: the only place where everything meets.
//! - [`cli`]: commands; they speak gRPC to a gateway.
//! - [`telemetry`] and [`outbound`], the cellar: used by all, import nothing of ours.

pub mod app;
pub mod carriers;
pub mod channels;
pub mod cli;
pub mod config;
pub mod domain;
pub mod grpc;
pub mod http;
pub mod outbound;
pub mod store;
pub mod telemetry;
pub mod workers;

/// The contract, as compiled from `proto/`.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod proto {
    tonic::include_proto!("stockgate.v1");

    pub mod codec;

    /// What reflection serves.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stockgate_descriptor.bin"));
}
