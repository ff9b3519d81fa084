//! Stockgate: the gateway that knows how many are left.
//!
//! The house, from the ground up; imports go down a floor, never up or across (`tests/it/tidy.rs` checks it):
//!
//! - [`domain`]: pure values and rules.
pub mod domain;

/// The contract, as compiled from `proto/`.
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod proto {
    tonic::include_proto!("stockgate.v1");

    /// What reflection serves.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stockgate_descriptor.bin"));
}
pub mod grpc;
pub mod store;
