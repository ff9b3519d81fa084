//! The contract, served: layers around every call, and conversions between the messages and the domain.
//!
//! Layers from the outside in: [`observe`] sees every status, [`size`] mends the one tonic gets wrong, [`deadline`]
//! stands closest to the services so that it gives up their work and nothing else.

pub mod convert;
pub mod deadline;
pub mod method;
pub mod observe;
pub mod size;
