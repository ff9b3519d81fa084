//! Redis, and only Redis: keys, scripts, group commit, and what is read and written through them.

pub mod embedded;
mod error;
pub mod inspect;

pub use error::StoreError;
