//! A shop per test: a store in a namespace of its own on the shared Redis, with a clock that is moved by hand.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::streams::StreamRangeReply;
use stockgate::{
    domain::{Answer, Applied, ClientId, Level, Mutation, Partition, Partitions, PublishPolicy, Refusal},
    store::{
        Address, AtomicDomain, Clock, Delivery, DurabilitySettings, EntryId, LinkSettings, Resolved, Store,
        StoreError, StoreSettings, StoredLevel,
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cluster_client::Raw,
    requests::{channel, key, set, sku},
    server::Server,
    shared_redis::StandIn,
};

/// Where every clock starts, in ms: the beginning of a window.
pub(crate) const START_MS: i64 = 1_000_000_000;
/// How long records live at least in these tests.
pub(crate) const RETENTION_MS: i64 = 100_000;
/// How long a partition holds its part of a cart nobody has decided.
pub(crate) const CART_TTL_MS: i64 = 10_000;
/// How long a claim keeps others away in these tests.
pub(crate) const LEASE_MS: i64 = 30_000;

/// A store, its clock and its Redis.
pub(crate) struct Shop {
    pub(crate) store: Store,
    pub(crate) settings: StoreSettings,
    pub(crate) clock: Arc<AtomicI64>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The Redis all shops share.
fn shared_address() -> Address {
    match StandIn::shared() {
        Some(stand_in) => Address::parse(&stand_in.url()).unwrap(),
        None => Server::shared().address(),
    }
}

/// Both partition counts every test must hold for.
pub(crate) fn both() -> [Partitions; 2] {
    [Partitions::ONE, Partitions::new(16).unwrap()]
}

impl Shop {
    /// Opens a shop on the shared Redis.
    pub(crate) async fn open(partitions: Partitions) -> Self {
        Self::open_with(partitions, |_| {}).await
    }

    /// Opens a shop whose settings are changed first.
    pub(crate) async fn open_with(partitions: Partitions, change: impl FnOnce(&mut StoreSettings)) -> Self {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let clock = Arc::new(AtomicI64::new(START_MS));
        let mut settings = StoreSettings {
            link: LinkSettings {
                connect_timeout: Duration::from_secs(10),
                response_timeout: Duration::from_secs(10),
                ..LinkSettings::new(shared_address())
            },
            namespace: format!("t{}", OPENED.fetch_add(1, Ordering::Relaxed)),
            partitions,
            domain: AtomicDomain::Node,
            cluster_wait: Duration::from_secs(1),
            retention: Duration::from_millis(RETENTION_MS.unsigned_abs()),
            cart_ttl: Duration::from_millis(CART_TTL_MS.unsigned_abs()),
            batch_max: 512,
            lines_max: 2000,
            queue_max: 4096,
            scripts_in_flight_max: 2,
            overlap_calls_min: 16,
            pool_max: 8,
            channels: vec![channel("web"), channel("app")],
            policies: [channel("web"), channel("app")].map(|id| (id, PublishPolicy::default())).into(),
            lease: Duration::from_millis(LEASE_MS.unsigned_abs()),
            clock: Clock::Moved(Arc::clone(&clock)),
            durability: DurabilitySettings::default(),
        };
        change(&mut settings);
        if settings.link.address.is_cluster() {
            settings.domain = AtomicDomain::Partition;
        }
        let shop = Self::again(settings, clock);
        shop.store.prepare().await.unwrap();
        shop
    }

    fn again(settings: StoreSettings, clock: Arc<AtomicI64>) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let store = Store::open(settings.clone(), &tasks, stop.clone()).unwrap();
        Self { store, settings, clock, tasks, stop }
    }

    /// Another gateway on the same stock, by the same clock.
    pub(crate) fn another_gateway(&self) -> Self {
        Self::again(self.settings.clone(), Arc::clone(&self.clock))
    }

    /// Another one that finds Redis elsewhere.
    pub(crate) fn another_gateway_at(&self, address: Address) -> Self {
        let mut settings = self.settings.clone();
        settings.link.address = address;
        Self::again(settings, Arc::clone(&self.clock))
    }

    /// Another one that serves other channels.
    pub(crate) fn gateway_for(&self, channels: &[&str]) -> Self {
        let channels = channels.iter().map(|name| channel(name)).collect();
        Self::again(StoreSettings { channels, ..self.settings.clone() }, Arc::clone(&self.clock))
    }

    /// Another one that is told of another number of partitions.
    pub(crate) fn gateway_of(&self, partitions: Partitions) -> Self {
        Self::again(StoreSettings { partitions, ..self.settings.clone() }, Arc::clone(&self.clock))
    }

    /// Goes down as a gateway does: what is queued is answered, tasks are joined.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(crate) fn partitions(&self) -> Partitions {
        self.settings.partitions
    }

    /// Whether SKUs of several partitions need several scripts.
    pub(crate) fn is_apart(&self) -> bool {
        self.store.atomic_domain() == AtomicDomain::Partition && self.partitions() != Partitions::ONE
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Moves time on.
    pub(crate) fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets counts, one after the other.
    pub(crate) async fn stock(&self, counts: &[(&str, i64)]) {
        for (name, units) in counts {
            self.applied(&set(&format!("stock {name}"), name, *units)).await;
        }
    }

    pub(crate) async fn answer(&self, mutation: &Mutation) -> Answer {
        self.store.mutate(mutation, None).await.unwrap_or_else(|fault| panic!("{mutation:?}: {fault}"))
    }

    /// The same for a request made on the spot.
    pub(crate) async fn answer_owned(&self, mutation: Mutation) -> Answer {
        self.answer(&mutation).await
    }

    /// The most mutations one run of the script wrote into a stream.
    pub(crate) async fn longest_run(&self) -> usize {
        let mut longest = 0;
        for partition in self.partitions().all() {
            let all = self.store.entries(partition, EntryId::default(), EntryId::END, 10_000, false).await;
            let counts = all.unwrap().into_iter().map(|entry| entry.events.unwrap().len());
            longest = longest.max(counts.max().unwrap_or(0));
        }
        longest
    }

    /// Asks what must be carried out.
    pub(crate) async fn applied(&self, mutation: &Mutation) -> Applied {
        let answer = self.answer(mutation).await;
        answer.result.unwrap_or_else(|refusal| panic!("{mutation:?}: {refusal:?}"))
    }

    /// Asks what must be refused.
    pub(crate) async fn refused(&self, mutation: &Mutation) -> Refusal {
        self.answer(mutation).await.result.expect_err("must be refused")
    }

    /// What a key was answered; burnt when it was never used.
    pub(crate) async fn resolve(&self, client: &ClientId, home: &str, text: &str) -> Resolved {
        self.store.resolve_key(client, &sku(home), &key(text), None, None).await.unwrap().0
    }

    /// Asks what must fail.
    pub(crate) async fn fault(&self, mutation: &Mutation) -> StoreError {
        self.store.mutate(mutation, None).await.expect_err("must fail")
    }

    pub(crate) async fn level(&self, name: &str) -> Level {
        match self.store.levels(&[sku(name)]).await.unwrap().remove(0) {
            StoredLevel::Known { level, .. } => level,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// On hand and held.
    pub(crate) async fn units(&self, name: &str) -> (i64, i64) {
        let level = self.level(name).await;
        (level.on_hand, level.held)
    }

    /// A connection for what no store does.
    pub(crate) async fn raw(&self) -> Raw {
        let is_shared = self.settings.link.address.to_string() == shared_address().to_string();
        match StandIn::shared().filter(|_| is_shared) {
            Some(stand_in) => stand_in.connection().await,
            None => Raw::One(self.store.connections().await.unwrap().remove(0)),
        }
    }

    /// Reads what nobody read before, as one consumer of the group.
    pub(crate) async fn read(&self, consumer: &str, count: usize) -> Vec<(Partition, Vec<Delivery>)> {
        let all: Vec<Partition> = self.partitions().all().collect();
        let mut read = Vec::new();
        for together in all.chunks(if self.is_apart() { 1 } else { all.len() }) {
            let mut reader = self.store.event_reader(consumer, together).await.unwrap();
            read.extend(reader.next(count, 1).await.unwrap());
        }
        read
    }

    /// Runs one plain command.
    pub(crate) async fn redis<T: redis::FromRedisValue>(&self, command: &mut redis::Cmd) -> T {
        command.query_async(&mut self.raw().await).await.unwrap()
    }

    /// The whole name of a key of the partition a SKU lives in.
    pub(crate) fn key(&self, name: &str, rest: &str) -> String {
        format!("{}:{{p{}}}:{rest}", self.settings.namespace, self.partitions().of(&sku(name)))
    }

    /// Makes Redis forget every script of everybody.
    pub(crate) async fn forget_scripts(&self) {
        self.redis::<()>(redis::cmd("SCRIPT").arg("FLUSH")).await;
    }

    /// Everything in the namespace as text: one line per field, member or entry. Entry ids become `#0`, `#1`…, and a
    /// fingerprint its rpc letter.
    pub(crate) async fn dump(&self) -> String {
        let prefix = format!("{}:{{", self.settings.namespace);
        let mut keys: Vec<String> = self.redis(redis::cmd("KEYS").arg(format!("{prefix}*"))).await;
        // Signs of life say nothing of a shop.
        keys.retain(|key| !key.ends_with(":nudge"));
        keys.sort();
        let mut text = String::new();
        let mut entry_ids = Vec::new();
        for key in &keys {
            let name = key[prefix.len()..].replacen('}', "", 1);
            let kind: String = self.redis(redis::cmd("TYPE").arg(key)).await;
            for line in self.dump_key(key, &name, &kind, &mut entry_ids).await {
                writeln!(text, "{name} {line}").unwrap();
            }
        }
        // The highest partition first: "15-…" ends in "5-…".
        entry_ids.sort_by_key(|(partition, ..)| std::cmp::Reverse(*partition));
        for (partition, id, index) in entry_ids {
            text = match partition {
                Some(partition) => {
                    text.replace(&format!("{partition}-{id}-"), &format!("{partition}-#{index}-"))
                }
                None => text.replace(&id, &format!("#{index}")),
            };
        }
        text
    }

    async fn dump_key(
        &self,
        key: &str,
        name: &str,
        kind: &str,
        entry_ids: &mut Vec<(Option<u16>, String, usize)>,
    ) -> Vec<String> {
        match kind {
            "hash" => {
                let all: BTreeMap<String, String> = self.redis(redis::cmd("HGETALL").arg(key)).await;
                let is_record = name.contains(":rec:");
                let shown = |value: &str| match value.split_once(' ') {
                    Some((fingerprint, answer)) if is_record => format!("{} {answer}", &fingerprint[..1]),
                    _ => value.to_owned(),
                };
                all.iter().map(|(field, value)| format!("{field} = {}", shown(value))).collect()
            }
            "zset" => {
                let all: Vec<(String, f64)> =
                    self.redis(redis::cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES")).await;
                all.iter().map(|(member, score)| format!("{member} = {score}")).collect()
            }
            "stream" => {
                let all: StreamRangeReply = self.redis(redis::cmd("XRANGE").arg(key).arg("-").arg("+")).await;
                // The audit trail of carriers is no partition's.
                let partition = name[1..].split(':').next().unwrap().parse().ok();
                let mut shown = Vec::new();
                for (index, entry) in all.ids.iter().enumerate() {
                    if partition.is_none() {
                        let fields: BTreeMap<&String, String> =
                            entry.map.keys().map(|field| (field, entry.get(field).unwrap())).collect();
                        shown.push(format!("#{index} {fields:?}"));
                        entry_ids.push((partition, entry.id.clone(), index));
                        continue;
                    }
                    let (at, mutations): (i64, String) = (entry.get("t").unwrap(), entry.get("e").unwrap());
                    shown.push(format!("#{index} {at}: {}", mutations.replace('\n', " | ")));
                    entry_ids.push((partition, entry.id.clone(), index));
                }
                shown
            }
            other => vec![format!("is a {other}")],
        }
    }
}
