//! Nothing is lost on the way, and no channel is silently wrong: random interleavings of changes, fan-outs, claims and answers,
//! with workers that die in between, calls that arrive though nobody hears of it, dead letters and resyncs. After each step every
//! channel has confirmed the newest version, or the SKU is due, leased, dead, or on its way there; and what is none of these is
//! what the channel really shows.

use std::collections::{BTreeMap, HashSet};

use futures_util::future::join_all;
use proptest::{
    collection::vec,
    test_runner::{Config, TestRunner},
};
use stockgate::{
    domain::{
        ChannelId, ClientId, Event, EventKind, Level, Mutation, Operator, Partition, Partitions, Sku, Text,
    },
    store::{
        Claim, Claimed, DeadRemedy, DeadScope, Delivery, EntryId, SettleOutcome, Settled, Settlement,
        StoredLevel, SyncState, WalkPosition,
    },
};

use crate::{
    harness::{LEASE_MS, Shop},
    propagation_receivers::{CHANNELS, Receiver, ids, rules},
    propagation_steps::{Answer, Change, SKUS, Seed, Step, steps},
    requests::*,
};

const STORIES: u32 = 150;
const STEPS_MAX: usize = 50;
/// Rounds after which everything must have been told, when nothing fails any more.
const ROUNDS_MAX: usize = 20;

/// What one worker has in hand.
struct InHand {
    partition: Partition,
    token: String,
    claim: Claim,
    /// No call goes out from here on.
    lease_end_ms: i64,
    has_arrived: bool,
}

struct Telling {
    shop: Shop,
    channels: Vec<ChannelId>,
    receivers: Vec<Receiver>,
    in_hand: Vec<Vec<InHand>>,
    acknowledged: HashSet<(Partition, EntryId)>,
    confirmed: BTreeMap<(usize, Sku), i64>,
    /// The version with which a person gave a dead letter up: its lag is forgiven.
    given_up: BTreeMap<(usize, Sku), i64>,
    serial: usize,
}

impl Telling {
    async fn begin(partitions: Partitions) -> Self {
        let shop = Shop::open_with(partitions, |settings| {
            settings.channels = ids();
            settings.policies = ids().into_iter().zip((0..).map(|index| rules(index).policy)).collect();
        })
        .await;
        shop.stock(&[("A", 5), ("B", 5), ("C", 5)]).await;
        Self {
            shop,
            channels: ids(),
            receivers: vec![Receiver::default(); CHANNELS.len()],
            in_hand: CHANNELS.iter().map(|_| Vec::new()).collect(),
            acknowledged: HashSet::new(),
            confirmed: BTreeMap::new(),
            given_up: BTreeMap::new(),
            serial: 0,
        }
    }

    async fn tell(&mut self, step: &Step) {
        self.serial += 1;
        match step {
            Step::Change { sku, change, source } => self.change(sku, change, *source).await,
            Step::FanOut => self.carry().await,
            Step::ReadAndDie => drop(self.read("dead").await),
            Step::Adopt => self.adopt().await,
            Step::Claim { channel, limit, arrives } => self.claim(*channel, *limit, *arrives).await,
            Step::Settle { channel, answer, arrives, first_only } => {
                if !self.in_hand[*channel].is_empty() {
                    let in_hand = self.in_hand[*channel].remove(0);
                    self.settle(*channel, in_hand, *answer, *arrives, *first_only).await;
                }
            }
            Step::Die { channel } => {
                if !self.in_hand[*channel].is_empty() {
                    self.in_hand[*channel].remove(0);
                }
            }
            Step::Resync { channel, sku: name } => self.resync(*channel, name).await,
            Step::Treat { channel, remedy } => self.treat(*channel, *remedy).await,
            Step::Seed { channel, seed } => self.seed(*channel, *seed).await,
            Step::Pass(ms) => self.shop.pass(*ms),
        }
        self.check().await;
    }

    async fn change(&mut self, name: &str, change: &Change, source: Option<usize>) {
        let mutation = self.mutation(name, change);
        let Some(source) = source else {
            self.shop.answer(&mutation).await;
            return;
        };
        let home = self.shop.partitions().of(&sku(name));
        let before = self.shop.store.last_entry(home).await.unwrap();
        let answer = self.shop.answer(&from(CHANNELS[source], mutation)).await;
        let is_told = self.shop.store.last_entry(home).await.unwrap() > before;
        let moved = match change {
            Change::Sell(units) | Change::Hold(units) if answer.result.is_ok() => -units,
            // A return may go back into the shop's own number too.
            Change::Restock(units) => self.serial as i64 % 2 * units,
            Change::Oversell if is_told => 7,
            Change::Sell(_) | Change::Hold(_) if is_told => 1,
            Change::Sell(_) | Change::Hold(_) | Change::Set(_) | Change::Oversell => 0,
        };
        self.receivers[source].moves(&sku(name), moved);
    }

    fn mutation(&self, name: &str, change: &Change) -> Mutation {
        let key = format!("k{}", self.serial);
        match change {
            Change::Sell(units) => decrement(&key, &[(name, *units)]),
            Change::Hold(units) => reserve(&key, &[(name, *units)], 1000),
            Change::Restock(units) => restock(&key, &[(name, *units)]),
            Change::Set(units) => set(&key, name, *units),
            Change::Oversell => decrement(&key, &[(name, 999)]),
        }
    }

    async fn read(&self, consumer: &str) -> Vec<(Partition, Vec<Delivery>)> {
        self.shop.read(consumer, 1000).await
    }

    async fn carry(&mut self) {
        for (partition, entries) in self.read("alive").await {
            self.fan_out(partition, &entries).await;
        }
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

    async fn resync(&self, channel: usize, name: &str) {
        let channel = std::slice::from_ref(&self.channels[channel]);
        assert!(self.shop.store.resync(channel, Some(&sku(name))).await.unwrap());
    }

    async fn treat(&mut self, channel: usize, remedy: DeadRemedy) {
        let (states, levels) = tokio::join!(self.states(), self.levels());
        for (on, name, state) in states {
            if remedy == DeadRemedy::Discard && on == channel && state.dead_ms.is_some() {
                self.given_up.insert((channel, sku(SKUS[name])), levels[name].version);
            }
        }
        let scope = DeadScope { channel: Some(self.channels[channel].clone()), ..DeadScope::default() };
        let operator =
            Operator { client: ClientId::anonymous(), actor: Text::default(), reason: Text::default() };
        self.shop.store.treat_dead_letters(remedy, &scope, None, Some(&operator)).await.unwrap();
    }

    async fn seed(&self, channel: usize, seed: Seed) {
        let (store, id) = (&self.shop.store, &self.channels[channel]);
        let fingerprint = match seed {
            Seed::OtherPolicy => format!("address:{}", self.serial),
            Seed::OtherAddress => format!("address{}:policy", self.serial),
            Seed::Asked => "address:policy".to_owned(),
        };
        if matches!(seed, Seed::Asked) {
            store.resync(std::slice::from_ref(id), None).await.unwrap();
        }
        let seeding = store.seeding(id, Some(&fingerprint)).await.unwrap().expect("has a cause");
        let mut at = Some(WalkPosition::default());
        while let Some(position) = at {
            at = store.seed_channel(&seeding, position).await.unwrap();
        }
        store.mark_seeded(&seeding, &fingerprint).await.unwrap();
    }

    async fn claim(&mut self, channel: usize, limit: usize, arrives: bool) {
        for partition in self.homes() {
            self.serial += 1;
            let token = format!("t{}", self.serial);
            let (store, id) = (&self.shop.store, &self.channels[channel]);
            let claim = store.claim(partition, id, &rules(channel), &token, limit).await.unwrap();
            assert!(claim.broken.is_empty());
            if claim.items.is_empty() {
                continue;
            }
            let events = self.events().await;
            for item in &claim.items {
                self.check_shown(channel, item, &events);
                if arrives && !item.is_shown() {
                    self.receivers[channel].deliver(&item.desired);
                }
            }
            let lease_end_ms = self.shop.now_ms() + LEASE_MS;
            self.in_hand[channel].push(InHand {
                partition,
                token,
                claim,
                lease_end_ms,
                has_arrived: arrives,
            });
        }
    }

    /// What is confirmed without a call is what the channel shows; but for a change that is still on its way, after which it is
    /// told.
    fn check_shown(&self, channel: usize, item: &Claimed, events: &[Event]) {
        let sku = &item.desired.sku;
        if item.is_shown() && !self.is_on_its_way(sku, events) {
            let display = self.receivers[channel].display(sku);
            let shows = (display.quantity, display.paused);
            assert_eq!(shows, (item.desired.published, item.desired.paused), "not shown: {item:?}");
        }
    }

    async fn settle(
        &mut self,
        channel: usize,
        in_hand: InHand,
        answer: Answer,
        arrives: bool,
        first_only: bool,
    ) {
        let InHand { partition, token, claim, lease_end_ms, has_arrived } = in_hand;
        let can_call = self.shop.now_ms() < lease_end_ms;
        let answer = match answer {
            Answer::Applied if !can_call && !has_arrived => Answer::Failed { burns_attempt: true },
            answer => answer,
        };
        let count = if first_only { 1 } else { claim.items.len() };
        let mut answers = Vec::new();
        for item in &claim.items[..count] {
            let goes = match answer {
                Answer::Applied => true,
                Answer::Failed { .. } => arrives,
                Answer::Permanent | Answer::Returned => false,
            };
            if goes && can_call && !has_arrived && !item.is_shown() {
                self.receivers[channel].deliver(&item.desired);
            }
            answers.push(settlement(item, answer, has_arrived));
        }
        let (store, id) = (&self.shop.store, &self.channels[channel]);
        let settled = store.settle(partition, id, &rules(channel), &token, &answers).await.unwrap();
        for (one, answer) in settled.iter().zip(&answers) {
            let fits = match one {
                Settled::Confirmed(_) | Settled::Moved(_) => matches!(answer.outcome, SettleOutcome::Applied),
                Settled::Parked => !matches!(answer.outcome, SettleOutcome::Applied),
                Settled::Buried { .. } => {
                    matches!(answer.outcome, SettleOutcome::Failed { .. } | SettleOutcome::Permanent { .. })
                }
                Settled::Lost => true,
            };
            assert!(fits, "{one:?} after {answer:?}");
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

    fn is_on_its_way(&self, sku: &Sku, events: &[Event]) -> bool {
        events.iter().any(|event| event.sku == *sku && !self.is_acknowledged(event))
    }

    async fn levels(&self) -> Vec<Level> {
        let known = |read| match read {
            StoredLevel::Known { level, .. } => level,
            other => panic!("{other:?}"),
        };
        self.shop.store.levels(&SKUS.map(sku)).await.unwrap().into_iter().map(known).collect()
    }

    async fn states(&self) -> Vec<(usize, usize, SyncState)> {
        let pairs = (0..CHANNELS.len()).flat_map(|channel| (0..SKUS.len()).map(move |sku| (channel, sku)));
        let read = async |(channel, name): (usize, usize)| {
            let state = self.shop.store.sync_state(&self.channels[channel], &sku(SKUS[name])).await;
            (channel, name, state.unwrap())
        };
        join_all(pairs.map(read)).await
    }

    async fn check(&mut self) {
        let (events, levels, states) = tokio::join!(self.events(), self.levels(), self.states());
        let mut now_confirmed = BTreeMap::new();
        for (channel, name, state) in states {
            let (sku, level) = (sku(SKUS[name]), &levels[name]);
            let told = format!("{sku} on {}: {state:?}, version {}", CHANNELS[channel], level.version);
            let on_its_way = self.is_on_its_way(&sku, &events);
            let waits = state.due_ms.is_some() || state.lease_end_ms.is_some();
            let is_dead = state.dead_ms.is_some();
            let is_newest = state.confirmed_version == level.version;
            let place = (channel, sku.clone());
            let before = self.confirmed.get(&place).copied().unwrap_or(0);
            assert!(state.confirmed_version >= before, "went back from {before}: {told}");
            now_confirmed.insert(place, state.confirmed_version);
            // A person gave it up: it keeps showing what it shows.
            if state.last_error.starts_with("discarded by") && !waits && !is_dead {
                assert_eq!(state.oldest_unconfirmed_ms, None, "{told}");
                continue;
            }
            assert!(is_newest || waits || is_dead || on_its_way, "lost: {told}");
            assert!(state.due_ms.is_none() || state.lease_end_ms.is_none(), "due and leased: {told}");
            assert_eq!(waits || is_dead, state.oldest_unconfirmed_ms.is_some(), "lag without work: {told}");
            if !waits && !is_dead && !on_its_way {
                self.check_truth(channel, &sku, level, &state, &told);
            }
            let of_sku: Vec<&Event> = events.iter().filter(|event| event.sku == sku).collect();
            let given_up = self.given_up.get(&(channel, sku)).copied().unwrap_or(0);
            self.check_lag(&of_sku, given_up, &state, &told);
        }
        self.confirmed = now_confirmed;
    }

    /// The channel shows what it should, and what is written down of it.
    fn check_truth(&self, channel: usize, sku: &Sku, level: &Level, state: &SyncState, told: &str) {
        let policy = rules(channel).policy;
        let display = self.receivers[channel].display(sku);
        let shows = (display.quantity, display.paused);
        assert_eq!(shows, (state.confirmed_quantity, state.confirmed_paused), "silently wrong: {told}");
        let published = policy.published(level.available());
        assert_eq!(display.quantity, published, "{told}");
        assert_eq!(display.paused, policy.paused(published, display.paused), "{told}");
    }

    /// The lag is never told shorter than it is.
    fn check_lag(&self, of_sku: &[&Event], given_up: i64, state: &SyncState, told: &str) {
        let unconfirmed = of_sku.iter().filter(|event| {
            event.kind != EventKind::Refused
                && event.kind.concerns_channels()
                && event.version > state.confirmed_version.max(given_up)
                && self.is_acknowledged(event)
        });
        let Some(oldest_ms) = unconfirmed.map(|event| event.at_ms).min() else { return };
        let shown = state.oldest_unconfirmed_ms;
        assert!(shown.is_some_and(|shown| shown <= oldest_ms), "a change of {oldest_ms} waits: {told}");
    }

    /// Once nothing fails any more, every channel shows the truth; dead letters as soon as somebody asks for it.
    async fn end(mut self) {
        self.converge().await;
        for channel in 0..CHANNELS.len() {
            for name in SKUS {
                self.resync(channel, name).await;
            }
        }
        self.converge().await;
        for (_, _, state) in self.states().await {
            assert_eq!(state.dead_ms, None, "superseded by the success: {state:?}");
        }
        self.shop.close().await;
    }

    async fn converge(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.shop.pass(LEASE_MS);
            self.adopt().await;
            self.carry().await;
            for channel in 0..CHANNELS.len() {
                self.in_hand[channel].clear();
                self.claim(channel, 10, false).await;
                for in_hand in std::mem::take(&mut self.in_hand[channel]) {
                    self.settle(channel, in_hand, Answer::Applied, true, false).await;
                }
            }
            self.check().await;
            let is_at_rest = |state: &SyncState| state.due_ms.is_none() && state.lease_end_ms.is_none();
            if self.states().await.iter().all(|(_, _, state)| is_at_rest(state)) {
                return;
            }
        }
        panic!("not everything was told after {ROUNDS_MAX} rounds");
    }
}

fn settlement(item: &Claimed, answer: Answer, has_arrived: bool) -> Settlement {
    let error = || "no".to_owned();
    let outcome = match answer {
        _ if item.is_shown() => SettleOutcome::Applied,
        Answer::Applied => SettleOutcome::Applied,
        Answer::Failed { burns_attempt } => {
            SettleOutcome::Failed { delay_ms: 700, burns_attempt, error: error() }
        }
        Answer::Permanent => SettleOutcome::Permanent { delay_ms: 700, error: error() },
        Answer::Returned => SettleOutcome::Returned { sure: item.sure && !has_arrived },
    };
    let told = &item.desired;
    Settlement {
        sku: told.sku.clone(),
        version: told.version,
        quantity: told.published,
        paused: told.paused,
        outcome,
    }
}

fn check_stories(partitions: Partitions) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut config = Config { failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    // The crate reads it; its own default is not ours.
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = STORIES;
    }
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
