//! Nothing is lost on the way: random interleavings of changes, fan-outs, claims and settlements, with workers that die in
//! between. After each step every channel has confirmed the newest version, or the SKU is due, leased, or on its way there.

use std::collections::{BTreeMap, HashSet};

use futures_util::future::join_all;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use stockgate::{
    domain::{ChannelId, ChannelRules, Event, EventKind, Mutation, Partition, Partitions, Sku},
    store::{Claim, Delivery, EntryId, SettleOutcome, Settled, Settlement, StoredLevel, SyncState},
};

use crate::{
    harness::{LEASE_MS, Shop},
    requests::*,
};

const SKUS: [&str; 3] = ["A", "B", "C"];
const CHANNELS: [&str; 2] = ["web", "app"];
const STORIES: u32 = 200;
const STEPS_MAX: usize = 40;
/// Rounds after which everything must have been told, when nothing fails any more.
const ROUNDS_MAX: usize = 20;

#[derive(Debug, Clone)]
enum Change {
    Sell(i64),
    Hold(i64),
    Restock(i64),
    Set(i64),
}

#[derive(Debug, Clone)]
enum Step {
    Change {
        sku: &'static str,
        change: Change,
        source: Option<&'static str>,
    },
    FanOut,
    /// Reads entries and dies before they are marked.
    ReadAndDie,
    /// Takes over what the dead have read.
    Adopt,
    Claim {
        channel: usize,
        limit: usize,
    },
    /// Answers the oldest claim in hand, or only its first SKU and dies.
    Settle {
        channel: usize,
        fails: bool,
        first_only: bool,
    },
    /// Forgets the oldest claim in hand.
    Die {
        channel: usize,
    },
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        3 => (1..4_i64).prop_map(Change::Sell),
        2 => (1..4_i64).prop_map(Change::Hold),
        2 => (1..4_i64).prop_map(Change::Restock),
        1 => (0..6_i64).prop_map(Change::Set),
    ];
    let source = prop_oneof![2 => Just(None), 3 => prop::sample::select(&CHANNELS[..]).prop_map(Some)];
    let channel = || 0..CHANNELS.len();
    prop_oneof![
        6 => (prop::sample::select(&SKUS[..]), change, source)
            .prop_map(|(sku, change, source)| Step::Change { sku, change, source }),
        4 => Just(Step::FanOut),
        2 => Just(Step::ReadAndDie),
        2 => Just(Step::Adopt),
        4 => (channel(), 1..4_usize).prop_map(|(channel, limit)| Step::Claim { channel, limit }),
        4 => (channel(), any::<bool>(), any::<bool>())
            .prop_map(|(channel, fails, first_only)| Step::Settle { channel, fails, first_only }),
        1 => channel().prop_map(|channel| Step::Die { channel }),
        2 => prop::sample::select(&[1, 500, 1000, LEASE_MS][..]).prop_map(Step::Pass),
    ]
}

/// What one worker has in hand.
struct InHand {
    partition: Partition,
    token: String,
    claim: Claim,
}

struct Telling {
    shop: Shop,
    channels: Vec<ChannelId>,
    in_hand: Vec<Vec<InHand>>,
    acknowledged: HashSet<(Partition, EntryId)>,
    confirmed: BTreeMap<(ChannelId, Sku), i64>,
    serial: usize,
}

impl Telling {
    async fn begin(partitions: Partitions) -> Self {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 5), ("B", 5), ("C", 5)]).await;
        Self {
            shop,
            channels: CHANNELS.iter().map(|name| channel(name)).collect(),
            in_hand: CHANNELS.iter().map(|_| Vec::new()).collect(),
            acknowledged: HashSet::new(),
            confirmed: BTreeMap::new(),
            serial: 0,
        }
    }

    async fn tell(&mut self, step: &Step) {
        self.serial += 1;
        match step {
            Step::Change { sku, change, source } => {
                let mutation = self.mutation(sku, change);
                let mutation =
                    source.map_or_else(|| mutation.clone(), |source| from(source, mutation.clone()));
                self.shop.answer(&mutation).await;
            }
            Step::FanOut => {
                for (partition, entries) in self.read("alive").await {
                    self.fan_out(partition, &entries).await;
                }
            }
            Step::ReadAndDie => drop(self.read("dead").await),
            Step::Adopt => self.adopt().await,
            Step::Claim { channel, limit } => self.claim(*channel, *limit).await,
            Step::Settle { channel, fails, first_only } => {
                if !self.in_hand[*channel].is_empty() {
                    let in_hand = self.in_hand[*channel].remove(0);
                    self.settle(*channel, in_hand, *fails, *first_only).await;
                }
            }
            Step::Die { channel } => {
                if !self.in_hand[*channel].is_empty() {
                    self.in_hand[*channel].remove(0);
                }
            }
            Step::Pass(ms) => self.shop.pass(*ms),
        }
        self.check().await;
    }

    fn mutation(&self, name: &str, change: &Change) -> Mutation {
        let key = format!("k{}", self.serial);
        match change {
            Change::Sell(units) => decrement(&key, &[(name, *units)]),
            Change::Hold(units) => reserve(&key, &[(name, *units)], 1000),
            Change::Restock(units) => restock(&key, &[(name, *units)]),
            Change::Set(units) => set(&key, name, *units),
        }
    }

    async fn read(&self, consumer: &str) -> Vec<(Partition, Vec<Delivery>)> {
        self.shop.read(consumer, 1000).await
    }

    async fn fan_out(&mut self, partition: Partition, entries: &[Delivery]) {
        self.shop.store.fan_out(partition, self.shop.store.channels(), entries).await.unwrap();
        self.acknowledged.extend(entries.iter().map(|entry| (partition, entry.id)));
    }

    async fn adopt(&mut self) {
        for partition in self.homes() {
            let store = &self.shop.store;
            let adopted = store.adopt_entries(partition, "alive", 0, EntryId::default(), 1000).await;
            let entries = adopted.unwrap().0;
            if !entries.is_empty() {
                self.fan_out(partition, &entries).await;
            }
        }
    }

    fn homes(&self) -> Vec<Partition> {
        let mut homes: Vec<_> = SKUS.iter().map(|name| self.shop.partitions().of(&sku(name))).collect();
        homes.sort();
        homes.dedup();
        homes
    }

    async fn claim(&mut self, channel: usize, limit: usize) {
        for partition in self.homes() {
            self.serial += 1;
            let token = format!("t{}", self.serial);
            let (store, policy) = (&self.shop.store, ChannelRules::default());
            let claim =
                store.claim(partition, &self.channels[channel], &policy, &token, limit).await.unwrap();
            assert!(claim.broken.is_empty());
            if !claim.items.is_empty() {
                self.in_hand[channel].push(InHand { partition, token, claim });
            }
        }
    }

    async fn settle(&mut self, channel: usize, in_hand: InHand, fails: bool, first_only: bool) {
        let count = if first_only { 1 } else { in_hand.claim.items.len() };
        let answers: Vec<Settlement> = in_hand.claim.items[..count]
            .iter()
            .map(|item| Settlement {
                sku: item.desired.sku.clone(),
                version: item.desired.version,
                quantity: item.desired.published,
                paused: item.desired.paused,
                outcome: match fails {
                    true => {
                        SettleOutcome::Failed { delay_ms: 700, burns_attempt: true, error: "no".to_owned() }
                    }
                    false => SettleOutcome::Applied,
                },
            })
            .collect();
        let (store, id) = (&self.shop.store, &self.channels[channel]);
        let settled = store
            .settle(in_hand.partition, id, &ChannelRules::default(), &in_hand.token, &answers)
            .await
            .unwrap();
        for one in settled {
            let fits = match one {
                Settled::Confirmed(_) | Settled::Moved(_) => !fails,
                Settled::Parked => fails,
                Settled::Buried { .. } => false,
                Settled::Lost => true,
            };
            assert!(fits, "{one:?}");
        }
    }

    async fn events(&self) -> Vec<Event> {
        let pages = join_all(self.homes().into_iter().map(|partition| async move {
            self.shop.store.entries(partition, EntryId::default(), EntryId::END, 1000, false).await.unwrap()
        }));
        pages.await.into_iter().flatten().flat_map(|entry| entry.events.unwrap()).collect()
    }

    fn is_acknowledged(&self, event: &Event) -> bool {
        let entry = EntryId { ms: event.id.entry_ms, seq: event.id.entry_seq };
        self.acknowledged.contains(&(event.id.partition, entry))
    }

    async fn check(&mut self) {
        let skus = SKUS.map(sku);
        let pairs = || self.channels.iter().flat_map(|id| skus.iter().map(move |sku| (id, sku)));
        let states = join_all(pairs().map(|(id, sku)| self.shop.store.sync_state(id, sku)));
        let (events, levels, states) = tokio::join!(self.events(), self.shop.store.levels(&skus), states);
        let levels = levels.unwrap();
        let mut now_confirmed = BTreeMap::new();
        for ((id, sku), state) in pairs().zip(states) {
            let state = state.unwrap();
            let read = &levels[skus.iter().position(|one| one == sku).unwrap()];
            let StoredLevel::Known { level, .. } = read else { panic!("{sku}: {read:?}") };
            let of_sku: Vec<&Event> = events.iter().filter(|event| event.sku == *sku).collect();
            let on_its_way = of_sku.iter().any(|event| !self.is_acknowledged(event));
            let told = format!("{sku} on {id}: {state:?}, version {}", level.version);
            let waits = state.due_ms.is_some() || state.lease_end_ms.is_some();
            let is_newest = state.confirmed_version == level.version;
            assert!(is_newest || waits || on_its_way, "lost: {told}");
            assert!(state.due_ms.is_none() || state.lease_end_ms.is_none(), "due and leased: {told}");
            assert_eq!(waits, state.oldest_unconfirmed_ms.is_some(), "lag without work: {told}");
            let place = (id.clone(), sku.clone());
            let before = self.confirmed.get(&place).copied().unwrap_or(0);
            assert!(state.confirmed_version >= before, "went back from {before}: {told}");
            self.check_lag(&of_sku, &state, &told);
            now_confirmed.insert(place, state.confirmed_version);
        }
        self.confirmed = now_confirmed;
    }

    /// The lag is never told shorter than it is.
    fn check_lag(&self, of_sku: &[&Event], state: &SyncState, told: &str) {
        let unconfirmed = of_sku.iter().filter(|event| {
            event.kind != EventKind::Refused
                && event.version > state.confirmed_version
                && self.is_acknowledged(event)
        });
        let Some(oldest_ms) = unconfirmed.map(|event| event.at_ms).min() else { return };
        let shown = state.oldest_unconfirmed_ms;
        assert!(shown.is_some_and(|shown| shown <= oldest_ms), "a change of {oldest_ms} waits: {told}");
    }

    /// Once nothing fails any more, every channel shows the truth.
    async fn end(mut self) {
        for _ in 0..ROUNDS_MAX {
            self.shop.pass(LEASE_MS);
            self.adopt().await;
            for (partition, entries) in self.read("alive").await {
                self.fan_out(partition, &entries).await;
            }
            for channel in 0..CHANNELS.len() {
                self.in_hand[channel].clear();
                self.claim(channel, 10).await;
                for in_hand in std::mem::take(&mut self.in_hand[channel]) {
                    self.settle(channel, in_hand, false, false).await;
                }
            }
            if self.is_told().await {
                self.shop.close().await;
                return;
            }
        }
        panic!("not everything was told after {ROUNDS_MAX} rounds");
    }

    async fn is_told(&self) -> bool {
        for name in SKUS {
            let read = self.shop.store.levels(&[sku(name)]).await.unwrap().remove(0);
            let StoredLevel::Known { level, .. } = read else { panic!("{name}: {read:?}") };
            for id in &self.channels {
                let state = self.shop.store.sync_state(id, &sku(name)).await.unwrap();
                if state.confirmed_version != level.version || state.due_ms.is_some() {
                    return false;
                }
                assert_eq!(state.confirmed_quantity, level.available().max(0), "{name} on {id}");
            }
        }
        true
    }
}

fn check_stories(partitions: Partitions) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config =
        Config { cases: STORIES, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let told = TestRunner::new(config).run(&vec(steps(), 1..STEPS_MAX), |story| {
        runtime.block_on(async {
            let mut telling = Telling::begin(partitions).await;
            for step in &story {
                telling.tell(step).await;
            }
            telling.end().await;
        });
        Ok(())
    });
    if let Err(failure) = told {
        panic!("{failure}");
    }
}

#[test]
fn nothing_is_lost_over_one_partition() {
    check_stories(Partitions::ONE);
}

#[test]
fn nothing_is_lost_over_sixteen_partitions() {
    check_stories(Partitions::new(16).unwrap());
}
