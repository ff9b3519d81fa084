//! Commands, many at once, on their way to the servers that have their keys.

use super::super::{Store, StoreError};

/// Runs commands, each about its own key, and waits for all; the first fault of any.
pub(super) async fn ask_each(store: &Store, commands: &[(String, redis::Cmd)]) -> Result<(), StoreError> {
    for answer in store.query_each(commands).await {
        answer?;
    }
    Ok(())
}
