//! Stories: random sequences of every verb, told to Redis and to the model; answers, balances and events must agree after
//! each step. A failing story shrinks to the shortest one that still fails.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use futures_util::future::join_all;
use proptest::{
    collection::vec,
    test_runner::{Config, TestRunner},
};
use stockgate::{
    domain::{
        Action, Answer, EventKind, Hold, HoldId, HoldState, Level, Line, Lines, Mutation, Partition,
        Partitions, Quantity, Refusal, SetCondition, Sku, SkuQuantity, Text, WhenExpired,
    },
    store::{EntryId, Resolved, StoredLevel},
};

use crate::{
    harness::{RETENTION_MS, START_MS, Shop},
    model::{Done, Model, Pledge, Promise, Resolution, Told},
    requests::*,
    shared_redis::is_left_out,
    steps::{Ask, Cart, Expect, Key, Request, SKUS, Step, steps},
};

/// Stories per partition count.
const STORIES: u32 = 200;
const STEPS_MAX: usize = 60;

/// One run of a story.
struct Telling {
    shop: Shop,
    model: Model,
    asked: Vec<Mutation>,
    holds: Vec<HoldId>,
    /// Reserves whose hold was released before.
    unborn: Vec<Mutation>,
    /// Per SKU what on hand was after each of its events.
    history: BTreeMap<Sku, Vec<i64>>,
    versions: BTreeMap<Sku, i64>,
    on_hand_sums: BTreeMap<Sku, i64>,
    read_to: BTreeMap<Partition, EntryId>,
    keys: usize,
}

impl Telling {
    async fn begin(partitions: Partitions) -> Self {
        let shop = Shop::open(partitions).await;
        let model = Model::new(START_MS, RETENTION_MS, partitions);
        let mut telling = Self {
            shop,
            model,
            asked: Vec::new(),
            holds: Vec::new(),
            unborn: Vec::new(),
            history: BTreeMap::new(),
            versions: BTreeMap::new(),
            on_hand_sums: BTreeMap::new(),
            read_to: BTreeMap::new(),
            keys: 0,
        };
        for name in &SKUS[..3] {
            telling.ask_all(&[set(&format!("stock {name}"), name, 10)]).await;
        }
        telling
    }

    async fn tell(&mut self, step: &Step) {
        match step {
            Step::Request(request) => {
                let mutation = self.mutation(request);
                self.ask_all(&[mutation]).await;
            }
            Step::Together(requests) => {
                let mutations: Vec<Mutation> =
                    requests.iter().map(|request| self.mutation(request)).collect();
                // With more partitions a refusal may be sent again behind its neighbours.
                if self.shop.partitions() == Partitions::ONE {
                    self.ask_all(&mutations).await;
                } else {
                    for mutation in mutations {
                        self.ask_all(&[mutation]).await;
                    }
                }
            }
            Step::Resolve { sku: name, key: which } => self.resolve(name, which).await,
            Step::Sweep { sku: name, limit } => {
                let partition = self.shop.partitions().of(&sku(name));
                let swept = self.shop.store.sweep(partition, u32::from(*limit)).await.unwrap();
                let ended = self.model.sweep(partition, usize::from(*limit));
                assert_eq!(usize::try_from(swept.ended).unwrap(), ended);
            }
            Step::Pass(ms) => {
                self.shop.pass(*ms);
                self.model.now_ms = self.shop.clock.load(Ordering::SeqCst);
            }
        }
        self.check().await;
    }

    async fn resolve(&mut self, name: &str, which: &Key) {
        let (home, text) = match which {
            Key::Repeat(index) | Key::Reused(index) if !self.asked.is_empty() => {
                let asked = &self.asked[usize::from(*index) % self.asked.len()];
                (asked.home().clone(), asked.cause.key.as_str().to_owned())
            }
            // Burnt now, used by the next fresh request that is at home at this SKU.
            _ => (sku(name), format!("k{}", self.keys)),
        };
        let resolved = self.shop.resolve(&client(), home.as_str(), &text).await;
        let got = match resolved {
            Resolved::Burnt => Resolution::Burnt,
            Resolved::Applied { rpc, event_ids, .. } => Resolution::Applied { rpc, events: event_ids.len() },
            Resolved::Refused { rpc, refusal } => Resolution::Refused { rpc, refusal },
        };
        assert_eq!(got, self.model.resolve(&home, &text));
    }

    /// Asks all at once; they are decided in this order.
    async fn ask_all(&mut self, mutations: &[Mutation]) {
        let answers = join_all(mutations.iter().map(|mutation| self.shop.answer(mutation))).await;
        for (mutation, answer) in mutations.iter().zip(answers) {
            let (result, replayed) = self.model.ask(mutation);
            assert_eq!(plain(answer), (result, replayed), "{mutation:?}");
        }
    }

    fn mutation(&mut self, request: &Request) -> Mutation {
        if let Key::Repeat(index) = request.key
            && !self.asked.is_empty()
        {
            return self.asked[usize::from(index) % self.asked.len()].clone();
        }
        let text = match request.key {
            Key::Reused(index) if !self.asked.is_empty() => {
                self.asked[usize::from(index) % self.asked.len()].cause.key.as_str().to_owned()
            }
            _ => {
                self.keys += 1;
                format!("k{}", self.keys - 1)
            }
        };
        let mut mutation = self.build(&request.ask, &text);
        if let Some(source) = request.source {
            mutation = from(source, mutation);
        }
        if matches!(mutation.action, Action::Reserve { .. }) {
            mutation.cause.order_ref = Text::parse(format!("order {text}")).unwrap();
            self.holds.push(hold_of(&mutation, self.shop.partitions()));
        }
        self.asked.push(mutation.clone());
        mutation
    }

    fn build(&mut self, asked: &Ask, text: &str) -> Mutation {
        match asked {
            Ask::Decrement(cart, expect) => ask(text, Action::Decrement(self.expecting(cart, *expect))),
            Ask::Restock(cart) => restock(text, cart),
            Ask::Reserve { cart, ttl_ms } => reserve(text, cart, *ttl_ms),
            Ask::LateReserve(which) => match self.unborn.len() {
                0 => reserve(text, &[("A", 1)], 1000),
                count => self.unborn[usize::from(*which) % count].clone(),
            },
            Ask::Commit { hold, some, keep_open, reacquire } => {
                let when_expired = if *reacquire { WhenExpired::Reacquire } else { WhenExpired::Strict };
                let (hold, lines) = (self.hold(*hold), parts(some));
                ask(text, Action::Commit { hold, lines, keep_open: *keep_open, when_expired })
            }
            Ask::Release { hold, some } => {
                ask(text, Action::Release { hold: self.hold(*hold), lines: parts(some) })
            }
            Ask::ReleaseUnborn(cart) => {
                let mut late = reserve(&format!("late {text}"), cart, 1000);
                late.cause.order_ref = Text::parse("late".to_owned()).unwrap();
                let hold = hold_of(&late, self.shop.partitions());
                self.unborn.push(late);
                release(text, &hold)
            }
            Ask::Extend { hold, ttl_ms } => extend(text, &self.hold(*hold), *ttl_ms),
            Ask::Adjust(name, delta, expect) => {
                let expected_version = self.expected(name, *expect);
                ask(text, Action::AdjustStock { sku: sku(name), delta: *delta, expected_version })
            }
            Ask::Set { sku: name, quantity, expect } => {
                let condition =
                    self.expected(name, *expect).map_or(SetCondition::Force, SetCondition::Version);
                set_if(text, name, *quantity, condition)
            }
            Ask::SetAsOf { sku: name, quantity, back } => {
                let counts = self.history.get(&sku(name)).map_or(&[][..], Vec::as_slice);
                let index = counts.len().saturating_sub(1 + usize::from(*back));
                let (on_hand_then, as_of_event) = (counts.get(index).copied(), format!("event {index}"));
                let condition = SetCondition::Force;
                let (sku, quantity) = (sku(name), *quantity);
                ask(text, Action::SetStock { sku, quantity, condition, on_hand_then, as_of_event })
            }
        }
    }

    fn hold(&self, which: u8) -> HoldId {
        match self.holds.len() {
            0 => hold_of(&reserve("nobody", &[("A", 1)], 1000), self.shop.partitions()),
            // The newest first: old ones have ended.
            count => self.holds[count - 1 - usize::from(which) % count].clone(),
        }
    }

    fn expected(&self, name: &str, expect: Expect) -> Option<i64> {
        let current = self.model.items.get(&sku(name)).map_or(0, |item| item.version);
        match expect {
            Expect::Any => None,
            Expect::Current => Some(current),
            Expect::Older => Some(current - 1).filter(|version| *version >= 0),
        }
    }

    fn expecting(&self, cart: &Cart, expect: Expect) -> Lines {
        let line = |(name, units): &(&str, i64)| Line {
            sku: sku(name),
            quantity: Quantity::parse(*units).unwrap(),
            expected_version: self.expected(name, expect),
        };
        Lines::parse(cart.iter().map(line).collect()).unwrap()
    }

    /// The invariants, and that Redis and the model hold the same.
    async fn check(&mut self) {
        self.check_events().await;
        let skus: Vec<Sku> = SKUS.iter().map(|name| sku(name)).collect();
        let levels = self.shop.store.levels(&skus).await.unwrap();
        for (sku, stored) in skus.iter().zip(levels) {
            let level = match stored {
                StoredLevel::Known { level, .. } => level,
                StoredLevel::Unknown => Level::default(),
                StoredLevel::Broken => panic!("{sku} is broken"),
            };
            let item = self.model.items.get(sku).cloned().unwrap_or_default();
            let shown = (level.on_hand, level.held, level.version, level.updated_ms);
            assert_eq!(shown, (item.on_hand, item.held, item.version, item.updated_ms), "{sku}");
            assert_eq!(level.on_hand, *self.on_hand_sums.get(sku).unwrap_or(&0), "{sku}: sum of deltas");
            assert_eq!(level.held, self.model.promised(sku), "{sku}: sum of live holds");
            let before = self.versions.insert(sku.clone(), level.version).unwrap_or(0);
            assert!(level.version >= before, "{sku} went back to version {}", level.version);
            assert!(level.available() >= 0 || item.oversold_by_hand, "{sku} is oversold: {level:?}");
        }
    }

    /// Every change has its event and every event its change, in order.
    async fn check_events(&mut self) {
        let partitions = self.shop.partitions();
        let mut places: Vec<Partition> = SKUS.iter().map(|name| partitions.of(&sku(name))).collect();
        places.sort();
        places.dedup();
        let wanted = std::mem::take(&mut self.model.events);
        let store = &self.shop.store;
        let read_to = &self.read_to;
        let pages = join_all(places.iter().map(|partition| async move {
            let start = read_to.get(partition).copied().and_then(EntryId::next).unwrap_or_default();
            store.entries(*partition, start, EntryId::END, 1000, false).await.unwrap()
        }));
        for (partition, page) in places.iter().zip(pages.await) {
            if let Some(last) = page.last() {
                self.read_to.insert(*partition, last.id);
            }
            let events = page.into_iter().flat_map(|entry| entry.events.unwrap());
            let told: Vec<Told> = events
                .map(|event| {
                    let e = event;
                    (e.kind, e.sku, e.on_hand_delta, e.held_delta, e.on_hand, e.held, e.version, e.key)
                })
                .collect();
            let here = wanted.iter().filter(|event| partitions.of(&event.1) == *partition);
            assert_eq!(told.iter().collect::<Vec<_>>(), here.collect::<Vec<_>>(), "events of {partition}");
            for event in told {
                *self.on_hand_sums.entry(event.1.clone()).or_default() += event.2;
                if event.0 != EventKind::Refused {
                    self.history.entry(event.1).or_default().push(event.4);
                }
            }
        }
    }

    /// At the end: every hold as it can be read, and counters as verifying finds them.
    async fn end(self) {
        for id in &self.holds {
            let read = self.shop.store.hold(id).await.unwrap();
            let mut known = self.model.hold(id.as_str()).cloned();
            if let Some(pledge) = &mut known
                && pledge.state == HoldState::Held
                && pledge.deadline_ms <= self.model.now_ms
            {
                pledge.state = HoldState::Expired;
            }
            assert_eq!(read.map(pledge).ok(), known, "{id}");
        }
        let report = self.shop.store.verify(&[], false).await.unwrap();
        assert_eq!(report.findings, []);
        self.shop.close().await;
    }
}

fn parts(cart: &Cart) -> Vec<SkuQuantity> {
    some_of(cart)
}

fn pledge(hold: Hold) -> Pledge {
    let promise = |line: stockgate::domain::HoldLine| Promise {
        sku: line.sku,
        reserved: line.reserved,
        held: line.held,
        committed: line.committed,
    };
    Pledge {
        state: hold.state,
        deadline_ms: hold.deadline_ms,
        lines: hold.lines.into_iter().map(promise).collect(),
        order_ref: hold.order_ref,
    }
}

fn plain(answer: Answer) -> (Result<Done, Refusal>, bool) {
    let result = answer.result.map(|applied| Done {
        changes: applied
            .lines
            .into_iter()
            .map(|line| (line.sku, line.quantity, line.level.on_hand, line.level.held, line.level.version))
            .collect(),
        hold: applied.hold.map(pledge),
    });
    (result, answer.replayed)
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
fn redis_and_the_model_agree_over_one_partition() {
    check_stories(Partitions::ONE);
}

#[test]
fn redis_and_the_model_agree_over_sixteen_partitions() {
    if is_left_out() {
        return;
    }
    check_stories(Partitions::new(16).unwrap());
}
