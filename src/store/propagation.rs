//! From event to channel: marking due, claiming, settling. Each step is one script (`lua/fan_out.lua`, `claim`, `settle`).

use std::collections::HashMap;

use redis::Value;

use crate::domain::{ChannelId, DesiredState, EventKind, Level, Partition, PublishPolicy, Sku};

use super::{
    EntryId, Store, StoreError,
    changes::{self, Change, Delivery},
    levels::StoredLevel,
    reader::Reader,
    scripts::{self, CLAIM_SCRIPT, FAN_OUT_SCRIPT, SETTLE_SCRIPT, Script},
};

/// The consumer group that carries events to due sets.
pub(super) const GROUP: &str = "fanout";
/// Distinct SKUs one fan_out takes; Lua's stack holds 8,000 values.
const FAN_OUT_SKUS_MAX: usize = 2000;

/// What the changes of one SKU mean to channels.
pub(super) struct Marked<'a> {
    sku: &'a Sku,
    first_version: i64,
    last_version: i64,
    changed_ms: i64,
    force: bool,
    /// The channel that made all of these changes and knows them already.
    source: Option<&'a ChannelId>,
    available_delta: i64,
    /// After the last change.
    available: i64,
}

impl<'a> Marked<'a> {
    /// A SKU a channel was never told about, as it is; forced, it is told even what it has confirmed.
    pub(super) fn untold(sku: &'a Sku, level: &Level, changed_ms: i64, force: bool) -> Self {
        Self {
            sku,
            first_version: level.version,
            last_version: level.version,
            changed_ms,
            force,
            source: None,
            available_delta: 0,
            available: level.available(),
        }
    }

    fn new(change: &'a Change) -> Self {
        Self {
            sku: &change.sku,
            first_version: change.version,
            last_version: change.version,
            changed_ms: change.at_ms,
            force: change.kind == EventKind::Refused,
            source: change.source.as_ref(),
            available_delta: change.available_delta,
            available: change.available,
        }
    }

    fn add(&mut self, change: &'a Change) {
        // A version that is missing here is known to nobody: the source must be told like the others.
        let is_next = change.version == self.last_version + 1;
        if self.source != change.source.as_ref() || !is_next {
            self.source = None;
        }
        if change.version >= self.last_version {
            self.last_version = change.version;
            self.available = change.available;
        }
        self.changed_ms = self.changed_ms.min(change.at_ms);
        self.force |= change.kind == EventKind::Refused;
        self.available_delta += change.available_delta;
    }
}

/// One SKU leased to a worker, with what its channel should show.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// What to show.
    pub desired: DesiredState,
    /// Failures so far.
    pub attempts: u32,
}

/// What a claim gave.
#[derive(Debug, Default)]
pub struct Claim {
    /// SKUs to tell the channel about.
    pub items: Vec<Claimed>,
    /// SKUs whose record is broken: to be settled as failed.
    pub broken: Vec<Sku>,
    /// In how many ms there is more to do; None while nothing is due or leased.
    pub next_in_ms: Option<u64>,
}

/// What a channel answered about one SKU.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The SKU.
    pub sku: Sku,
    /// The version told.
    pub version: i64,
    /// The quantity told.
    pub quantity: i64,
    /// How it went.
    pub outcome: SettleOutcome,
}

/// How telling a channel went.
#[derive(Debug, Clone)]
pub enum SettleOutcome {
    /// It shows it.
    Applied,
    /// It does not, or nobody knows.
    Failed {
        /// When to try again.
        delay_ms: i64,
        /// Whether an attempt is used up.
        burns_attempt: bool,
        /// What went wrong, on one line.
        error: String,
    },
}

/// What settling one SKU came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The channel shows the newest.
    Confirmed {
        /// Since the oldest change it had not confirmed.
        lag_ms: i64,
        /// Versions this one call brought.
        versions: i64,
    },
    /// It was confirmed, and has changed since: due again.
    Moved {
        /// Since the oldest change it had not confirmed.
        lag_ms: i64,
        /// Versions this one call brought.
        versions: i64,
    },
    /// It waits for its next attempt.
    Parked,
    /// The lease was no longer ours.
    Lost,
}

/// Reads the streams of all partitions as one consumer of the group, on a connection of its own.
pub struct EventReader {
    reader: Reader,
    connection_id: i64,
    consumer: String,
    partitions: Vec<Partition>,
    keys: Vec<String>,
}

impl EventReader {
    /// Names its connection, to [`Store::cut_short`] a read.
    pub fn connection_id(&self) -> i64 {
        self.connection_id
    }

    /// Waits up to `wait_ms` for new entries; each is given to one consumer only. After a fault, begin anew.
    pub async fn next(
        &mut self,
        count: usize,
        wait_ms: u64,
    ) -> Result<Vec<(Partition, Vec<Delivery>)>, StoreError> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&self.consumer).arg("COUNT").arg(count).arg("BLOCK").arg(wait_ms);
        command.arg("STREAMS").arg(&self.keys);
        for _ in &self.keys {
            command.arg(">");
        }
        let mut found = Vec::new();
        for (key, entries) in changes::streams(self.reader.query(&command, wait_ms).await?)? {
            if let Some(index) = self.keys.iter().position(|known| *known == key) {
                found.push((self.partitions[index], entries));
            }
        }
        Ok(found)
    }
}

impl Store {
    /// Makes the consumer group of every partition, from the beginning of the stream, where there is none.
    pub async fn ensure_group(&self) -> Result<(), StoreError> {
        for partition in self.partitions().all() {
            let key = self.inner.keys.events(partition);
            let mut connection = self.inner.link.connection().await?;
            let mut command = redis::cmd("XGROUP");
            command.arg("CREATE").arg(key).arg(GROUP).arg("0").arg("MKSTREAM");
            match command.query_async::<()>(&mut connection.redis).await {
                Err(error) if error.code() != Some("BUSYGROUP") => {
                    return Err(self.inner.link.fault(&connection, error).await);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Begins to read the streams as one consumer of the group.
    pub async fn event_reader(&self, consumer: &str) -> Result<EventReader, StoreError> {
        let partitions: Vec<_> = self.partitions().all().collect();
        let keys = partitions.iter().map(|partition| self.inner.keys.events(*partition)).collect();
        let mut reader = self.reader().await?;
        let answer = reader.query(redis::cmd("CLIENT").arg("ID"), 0).await?;
        let Value::Int(connection_id) = answer else {
            return Err(StoreError::Corrupt { script: "CLIENT ID", detail: scripts::sketch(&answer) });
        };
        Ok(EventReader { reader, connection_id, consumer: consumer.to_owned(), partitions, keys })
    }

    /// Ends a read that waits, as if its time were over: a read that is dropped instead may be given entries nobody sees.
    pub async fn cut_short(&self, connection_id: i64) -> Result<(), StoreError> {
        let _: i64 = self.query(redis::cmd("CLIENT").arg("UNBLOCK").arg(connection_id)).await?;
        Ok(())
    }

    /// Takes a consumer out of the group wherever nothing is pending for it; elsewhere it stays until others have adopted
    /// that. Only for a consumer that reads no more.
    pub async fn leave_group(&self, consumer: &str) -> Result<(), StoreError> {
        for partition in self.partitions().all() {
            let key = self.inner.keys.events(partition);
            let mut pending = redis::cmd("XPENDING");
            pending.arg(&key).arg(GROUP).arg("-").arg("+").arg(1).arg(consumer);
            let pending: Vec<Value> = self.query(&pending).await?;
            if pending.is_empty() {
                let mut command = redis::cmd("XGROUP");
                command.arg("DELCONSUMER").arg(&key).arg(GROUP).arg(consumer);
                let _: i64 = self.query(&command).await?;
            }
        }
        Ok(())
    }

    /// Takes over entries another consumer read and never acknowledged; from `cursor` on, `None` at the end.
    pub async fn adopt_entries(
        &self,
        partition: Partition,
        consumer: &str,
        idle_ms: u64,
        cursor: EntryId,
        count: usize,
    ) -> Result<(Vec<Delivery>, Option<EntryId>), StoreError> {
        let mut command = redis::cmd("XAUTOCLAIM");
        command.arg(self.inner.keys.events(partition)).arg(GROUP).arg(consumer).arg(idle_ms);
        command.arg(cursor.to_string()).arg("COUNT").arg(count);
        // Redis adds the ids of deleted entries; none is ever deleted while it is pending.
        let (next, entries, _deleted): (String, Value, Value) = self.query(&command).await?;
        let next = EntryId::parse(&next).filter(|next| *next != EntryId::default());
        Ok((changes::deliveries(entries)?, next))
    }

    /// Marks the SKUs of entries due on these channels and acknowledges the entries: they must be all that anybody serves. Entries that do not parse are left
    /// unacknowledged, so that nothing of them is lost. Returns how many marks were set.
    pub async fn fan_out(
        &self,
        partition: Partition,
        channels: &[ChannelId],
        entries: &[Delivery],
    ) -> Result<u64, StoreError> {
        let parsed: Vec<_> =
            entries.iter().filter_map(|entry| Some((entry.id, entry.changes.as_ref()?))).collect();
        let mut marked: Vec<Marked<'_>> = Vec::new();
        let mut place: HashMap<&Sku, usize> = HashMap::new();
        let concerning = parsed.iter().flat_map(|(_, changes)| changes.iter());
        for change in concerning.filter(|change| change.kind.concerns_channels()) {
            match place.get(&change.sku) {
                Some(index) => marked[*index].add(change),
                None => {
                    place.insert(&change.sku, marked.len());
                    marked.push(Marked::new(change));
                }
            }
        }
        let mut sum = 0;
        let chunks = marked.chunks(FAN_OUT_SKUS_MAX);
        let last = chunks.len().saturating_sub(1);
        for (index, chunk) in chunks.enumerate() {
            // Entries are acknowledged with the last SKUs: a crash before that marks again, which is harmless.
            let acknowledged: Vec<EntryId> =
                if index == last { parsed.iter().map(|(id, _)| *id).collect() } else { Vec::new() };
            sum += self.fan_out_script(partition, channels, &acknowledged, chunk).await?;
        }
        if marked.is_empty() && !parsed.is_empty() {
            let acknowledged: Vec<EntryId> = parsed.iter().map(|(id, _)| *id).collect();
            sum += self.fan_out_script(partition, channels, &acknowledged, &[]).await?;
        }
        Ok(sum)
    }

    pub(super) async fn fan_out_script(
        &self,
        partition: Partition,
        channels: &[ChannelId],
        entries: &[EntryId],
        marked: &[Marked<'_>],
    ) -> Result<u64, StoreError> {
        let mut keys = vec![self.inner.keys.events(partition)];
        for channel in channels {
            let of = self.inner.keys.channel(partition, channel);
            keys.extend([of.due, of.lease, of.dirty, of.work, of.sync]);
        }
        let mut command = FAN_OUT_SCRIPT.call(keys.iter().map(String::as_str));
        command.arg(self.clock_argument()).arg(GROUP).arg(channels.len());
        for channel in channels {
            command.arg(channel.as_str());
        }
        command.arg(entries.len());
        for entry in entries {
            command.arg(entry.to_string());
        }
        command.arg(marked.len());
        for one in marked {
            command.arg(one.sku.as_str()).arg(one.first_version).arg(one.last_version).arg(one.changed_ms);
            let source = one.source.filter(|source| self.inner.settings.own_sales_known.contains(source));
            command.arg(u8::from(one.force)).arg(source.map_or("", |source| source.as_str()));
            command.arg(one.available_delta).arg(one.available);
        }
        let reply = self.run_script(&FAN_OUT_SCRIPT, &command).await?;
        let [word, marks, sick] = &reply[..] else { return Err(corrupt(&FAN_OUT_SCRIPT, &reply)) };
        if word != "ok" {
            return Err(corrupt(&FAN_OUT_SCRIPT, &reply));
        }
        if !sick.is_empty() {
            tracing::error!(detail = sick, "a channel cannot be told: its key has the wrong type");
        }
        marks.parse().map_err(|_| corrupt(&FAN_OUT_SCRIPT, &reply))
    }

    /// Leases up to `limit` due SKUs of one channel in one partition to `token`, and reads their state now.
    pub async fn claim(
        &self,
        partition: Partition,
        channel: &ChannelId,
        policy: &PublishPolicy,
        token: &str,
        limit: usize,
    ) -> Result<Claim, StoreError> {
        let of = self.inner.keys.channel(partition, channel);
        let keys = [of.due, of.lease, of.dirty, of.work, self.inner.keys.stock(partition)];
        let mut command = CLAIM_SCRIPT.call(keys.iter().map(String::as_str));
        command.arg(self.clock_argument()).arg(token).arg(self.lease_ms()).arg(limit);
        let reply = self.run_script(&CLAIM_SCRIPT, &command).await?;
        let bad = || corrupt(&CLAIM_SCRIPT, &reply);
        let [word, next_in_ms, rest @ ..] = &reply[..] else { return Err(bad()) };
        if word != "claimed" || rest.len() % 4 != 0 {
            return Err(bad());
        }
        let next_in_ms: i64 = next_in_ms.parse().map_err(|_| bad())?;
        let mut claim = Claim { next_in_ms: u64::try_from(next_in_ms).ok(), ..Claim::default() };
        for item in rest.chunks_exact(4) {
            let sku = Sku::parse(&item[0]).map_err(|_| bad())?;
            let attempts = item[2].parse().map_err(|_| bad())?;
            let unconfirmed_since_ms = item[3].parse().map_err(|_| bad())?;
            match StoredLevel::read(Some(&item[1])) {
                StoredLevel::Known { level, event_id } => claim.items.push(Claimed {
                    desired: DesiredState {
                        sku,
                        published: policy.published(level.available()),
                        version: level.version,
                        updated_ms: level.updated_ms,
                        unconfirmed_since_ms,
                        event_id,
                    },
                    attempts,
                }),
                StoredLevel::Unknown | StoredLevel::Broken => claim.broken.push(sku),
            }
        }
        Ok(claim)
    }

    /// Writes down what the channel answered; one outcome per settlement, in order.
    pub async fn settle(
        &self,
        partition: Partition,
        channel: &ChannelId,
        token: &str,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, StoreError> {
        let of = self.inner.keys.channel(partition, channel);
        let keys = [of.due, of.lease, of.dirty, of.work, of.sync, self.inner.keys.stock(partition)];
        let mut command = SETTLE_SCRIPT.call(keys.iter().map(String::as_str));
        command.arg(self.clock_argument()).arg(token).arg(settlements.len());
        for one in settlements {
            command.arg(one.sku.as_str());
            match &one.outcome {
                SettleOutcome::Applied => {
                    command.arg("applied").arg(one.version).arg(one.quantity).arg(0).arg(0).arg("");
                }
                SettleOutcome::Failed { delay_ms, burns_attempt, error } => {
                    command.arg("failed").arg(one.version).arg(one.quantity).arg(*delay_ms);
                    command.arg(u8::from(*burns_attempt)).arg(error);
                }
            }
        }
        let reply = self.run_script(&SETTLE_SCRIPT, &command).await?;
        match &reply[..] {
            [word, rest @ ..] if word == "settled" && rest.len() == settlements.len() => {
                rest.iter().map(|text| settled(text).ok_or_else(|| corrupt(&SETTLE_SCRIPT, &reply))).collect()
            }
            _ => Err(corrupt(&SETTLE_SCRIPT, &reply)),
        }
    }

    pub(super) async fn run_script(
        &self,
        script: &Script,
        command: &redis::Cmd,
    ) -> Result<Vec<String>, StoreError> {
        let mut connection = self.inner.link.connection().await?;
        let value = match script.run(&mut connection.redis, command).await {
            Ok(value) => value,
            Err(error) => return Err(self.inner.link.fault(&connection, error).await),
        };
        let Value::Array(items) = &value else {
            return Err(StoreError::Corrupt { script: script.name, detail: scripts::sketch(&value) });
        };
        let text = |item: &Value| match item {
            Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        };
        let texts: Option<Vec<String>> = items.iter().map(text).collect();
        texts.ok_or_else(|| StoreError::Corrupt { script: script.name, detail: scripts::sketch(&value) })
    }
}

fn settled(text: &str) -> Option<Settled> {
    let mut words = text.split(' ');
    let word = words.next()?;
    let mut number = || words.next()?.parse().ok();
    Some(match word {
        "confirmed" => Settled::Confirmed { lag_ms: number()?, versions: number()? },
        "moved" => Settled::Moved { lag_ms: number()?, versions: number()? },
        "parked" => Settled::Parked,
        "lost" => Settled::Lost,
        _ => return None,
    })
}

pub(super) fn corrupt(script: &Script, reply: &[String]) -> StoreError {
    let mut detail = reply.join(" ");
    detail.truncate(detail.floor_char_boundary(200));
    StoreError::Corrupt { script: script.name, detail }
}
