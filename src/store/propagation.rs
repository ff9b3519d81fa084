//! From event to channel: marking due, claiming, settling. Each step is one script (`lua/fan_out.lua`, `claim`, `settle`).

mod claim;
mod fan_out;
mod group;
mod settle;
mod standing;
mod texts;

use redis::Value;

use super::{
    Store, StoreError,
    nodes::Ask,
    scripts::{self, Script},
};

pub use claim::{Claim, Claimed, Shown};
pub(super) use fan_out::{Marked, Tell};
pub use group::{EventReader, ReadPlace};
pub use settle::{SettleOutcome, Settled, Settlement, Told};
pub use standing::Standing;
pub(super) use texts::{Confirmed, Work};

/// The consumer group that carries events to due sets.
pub(super) const GROUP: &str = "fanout";
/// Scores of a due set from here on are told when nothing live is due (`lua/include/work.lua`).
pub(super) const LATER: i64 = 10_000_000_000_000;

impl Store {
    /// Runs a script, on the server that has its first key, whose reply is texts and numbers; all come as texts.
    pub(super) async fn run_script(
        &self,
        script: &Script,
        command: &redis::Cmd,
    ) -> Result<Vec<String>, StoreError> {
        let key = script.first_key(command);
        let value = self.inner.nodes.ask(key, Ask::Script(script, command)).await?;
        let Value::Array(items) = &value else {
            return Err(StoreError::Corrupt { script: script.name, detail: scripts::sketch(&value) });
        };
        let text = |item: &Value| match item {
            Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        };
        let texts: Option<Vec<String>> = items.iter().map(text).collect();
        texts.ok_or_else(|| StoreError::Corrupt { script: script.name, detail: scripts::sketch(&value) })
    }
}

/// The fault of a reply that is not what the script's header says.
pub(super) fn corrupt(script: &Script, reply: &[String]) -> StoreError {
    let mut detail = reply.join(" ");
    detail.truncate(detail.floor_char_boundary(200));
    StoreError::Corrupt { script: script.name, detail }
}
