//! Redis, and only Redis: keys, scripts, group commit, and what is read and written through them.

mod error;

pub use error::StoreError;
