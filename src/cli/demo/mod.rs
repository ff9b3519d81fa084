//! The parts of `stockgate demo`: channels of its own, a flash sale over gRPC, and a report that says what is wrong.
//!
//! None of them knows how the gateway runs: they take an address, answers and metrics text. Reading order:
//! [`shelves`] (what is for sale), [`receiver`] (the channels), [`sale`] (the rush), [`report`] (the end).

mod buyer;
pub(super) mod command;
mod histogram;
mod order;
mod progress;
pub mod receiver;
pub mod report;
pub mod sale;
pub mod shelves;
mod signature;
