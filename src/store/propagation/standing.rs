//! How far the carrying group has come at the stream of each partition: one look at all of them, all at once.

use redis::{Value, streams::StreamInfoGroupsReply};

use super::{
    super::{EntryId, Store, StoreError, scripts},
    GROUP,
};

/// How far the group has come at one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The last entry that was given to anybody.
    pub read_to: EntryId,
    /// Whether entries may be there that were given to nobody yet.
    pub has_unread: bool,
    /// Entries that were given to somebody and are not acknowledged.
    pub pending: usize,
}

impl Store {
    /// How far the group has come at each partition, in order; None: there is no stream, or no group. One command per partition.
    pub async fn standings(&self) -> Vec<Result<Option<Standing>, StoreError>> {
        let asks = self.partitions().all().map(|partition| {
            let key = self.inner.keys.events(partition);
            let mut info = redis::cmd("XINFO");
            info.arg("GROUPS").arg(&key);
            (key, info)
        });
        let answers = self.query_each(&asks.collect::<Vec<_>>()).await;
        answers.into_iter().map(standing).collect()
    }
}

fn standing(answer: Result<Value, StoreError>) -> Result<Option<Standing>, StoreError> {
    let value = match answer {
        Ok(value) => value,
        // Redis has no other code for a stream that is not there.
        Err(StoreError::Refused { source }) if source.code() == Some("ERR") => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let detail = scripts::sketch(&value);
    let corrupt = || StoreError::Corrupt { script: "XINFO GROUPS", detail };
    let Ok(groups) = redis::from_redis_value::<StreamInfoGroupsReply>(value) else { return Err(corrupt()) };
    let Some(group) = groups.groups.into_iter().find(|group| group.name == GROUP) else { return Ok(None) };
    let Some(read_to) = EntryId::parse(&group.last_delivered_id) else { return Err(corrupt()) };
    // Redis cannot always say how many.
    Ok(Some(Standing { read_to, has_unread: group.lag != Some(0), pending: group.pending }))
}
