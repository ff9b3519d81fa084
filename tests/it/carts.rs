//! Carts over partitions, where one script touches one partition only: to callers they are what they are where one script does
//! everything.

use std::{collections::BTreeMap, time::Duration};

use proptest::{
    collection::vec,
    test_runner::{Config, TestRunner},
};
use stockgate::{
    domain::{Action, Answer, EventKind, Hold, HoldId, Mutation, Partition, Partitions, Refusal, Rpc, Sku},
    store::{AtomicDomain, EntryId, Resolved},
};

use crate::{
    gateway::{SOON, eventually},
    harness::{CART_TTL_MS, RETENTION_MS, START_MS, Shop, both},
    requests::*,
    server::Server,
    steps::{Ask, Key, Request, SKUS, Step, steps},
};

/// Stories told to both shops.
const STORIES: u32 = 60;
const STEPS_MAX: usize = 40;
/// No hold of these tests lives longer.
const OVER_MS: i64 = 60_000;

/// A shop of sixteen partitions, of which one script touches so much; on one server, wherever other tests run.
pub(crate) async fn shop_of(domain: AtomicDomain) -> Shop {
    Shop::open_with(both()[1], |settings| {
        settings.domain = domain;
        settings.link.address = Server::shared().address();
        // No replica is waited for long.
        settings.durability.wait_timeout = Duration::from_millis(10);
    })
    .await
}

/// The same where one script touches one partition.
pub(crate) async fn shop_apart() -> Shop {
    shop_of(AtomicDomain::Partition).await
}

/// So many SKUs, each in a partition of its own; the first is home to a cart of them.
pub(crate) fn apart(count: usize) -> Vec<String> {
    let mut taken: Vec<Partition> = Vec::new();
    let names = (0..).map(|n| format!("sku-{n:03}"));
    let own = names.filter(|name| {
        let partition = both()[1].of(&sku(name));
        !taken.contains(&partition) && {
            taken.push(partition);
            true
        }
    });
    own.take(count).collect()
}

/// Ends whatever is overdue, everywhere.
pub(crate) async fn sweep_all(shop: &Shop) {
    for partition in shop.partitions().all() {
        while shop.store.sweep(partition, 100).await.unwrap().more {}
    }
}

/// SKU, quantity moved, on hand, held.
type Moved = (Sku, i64, i64, i64);

/// What a caller sees, without versions and events: a child's part of a sale takes two of them.
#[derive(Debug, PartialEq)]
struct Seen {
    result: Result<(Vec<Moved>, Option<Hold>), Refusal>,
    replayed: bool,
}

fn seen(answer: Answer) -> Seen {
    let result = match answer.result {
        Ok(applied) => {
            let lines = applied.lines.into_iter();
            Ok((lines.map(|l| (l.sku, l.quantity, l.level.on_hand, l.level.held)).collect(), applied.hold))
        }
        Err(Refusal::VersionMismatch(mut versions)) => {
            versions.iter_mut().for_each(|version| version.current = 0);
            Err(Refusal::VersionMismatch(versions))
        }
        Err(refusal) => Err(refusal),
    };
    Seen { result, replayed: answer.replayed }
}

/// The same requests to a shop where one script does everything, and to one where it does not.
struct Both {
    whole: Shop,
    apart: Shop,
}

impl Both {
    async fn open() -> Self {
        Self { whole: shop_of(AtomicDomain::Node).await, apart: shop_apart().await }
    }

    async fn stock(&self, counts: &[(&str, i64)]) {
        self.whole.stock(counts).await;
        self.apart.stock(counts).await;
    }

    async fn ask(&self, asked: &Mutation) -> Seen {
        let (whole, apart) = tokio::join!(self.whole.answer(asked), self.apart.answer(asked));
        let apart = seen(apart);
        assert_eq!(apart, seen(whole), "{asked:?}");
        apart
    }

    /// Asks, and asks again.
    async fn ask_twice(&self, asked: &Mutation) {
        let first = self.ask(asked).await;
        let again = self.ask(asked).await;
        assert_eq!(again.result, first.result, "{asked:?}");
    }

    async fn pass(&self, ms: i64) {
        self.whole.pass(ms);
        self.apart.pass(ms);
        sweep_all(&self.whole).await;
        sweep_all(&self.apart).await;
    }

    async fn same_units(&self, names: &[&str]) {
        for name in names {
            assert_eq!(self.apart.units(name).await, self.whole.units(name).await, "{name}");
        }
    }

    async fn close(self) {
        // Homes end, then they tell their children; after that nothing is left to look at.
        for _ in 0..2 {
            self.pass(OVER_MS).await;
        }
        for shop in [self.whole, self.apart] {
            let report = shop.store.verify(&[], false).await.unwrap();
            assert_eq!((report.findings, report.unreadable.len()), (vec![], 0));
            for partition in shop.partitions().all() {
                assert_eq!(shop.store.first_deadline_ms(partition).await.unwrap(), None, "{partition}");
            }
            shop.close().await;
        }
    }
}

/// Of the request, with a version expected of one SKU.
fn expecting(mut asked: Mutation, name: &str, version: i64) -> Mutation {
    let lines = match &mut asked.action {
        Action::Decrement(lines) | Action::Restock(lines) | Action::Reserve { lines, .. } => lines,
        _ => panic!("has no versions"),
    };
    let mut changed = lines.as_slice().to_vec();
    changed
        .iter_mut()
        .filter(|line| line.sku == sku(name))
        .for_each(|line| line.expected_version = Some(version));
    *lines = stockgate::domain::Lines::parse(changed).unwrap();
    asked
}

#[tokio::test]
async fn every_verb_answers_as_where_one_script_does_it() {
    for count in [2, 5] {
        let names = apart(count);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (home, last) = (names[0], names[count - 1]);
        let partitions = both()[1];
        // The last SKU first, so that home is not the first line.
        let cart = |units: i64| names.iter().rev().map(|name| (*name, units)).collect::<Vec<_>>();
        let shops = Both::open().await;
        shops.stock(&names.iter().map(|name| (*name, 20)).collect::<Vec<_>>()).await;
        let held = reserve("held", &cart(2), 50_000);
        let short_lived = reserve("short-lived", &cart(3), 1000);
        let part = reserve("part", &cart(2), 1000);
        let unborn = reserve("unborn", &cart(1), 1000);
        let ids = [&held, &short_lived, &part, &unborn].map(|made| hold_of(made, partitions));
        for asked in [
            decrement("sold", &cart(1)),
            decrement("sold", &cart(2)),
            restock("sold", &cart(1)),
            from("web", decrement("from web", &cart(1))),
            decrement("all short", &cart(100)),
            from("web", decrement("all short, from web", &cart(100))),
            decrement("home short", &[(last, 1), (home, 100)]),
            decrement("the other short", &[(last, 100), (home, 1)]),
            from("app", decrement("the other short, from app", &[(last, 100), (home, 1)])),
            decrement("unknown there", &[("zz-nobody", 1), (home, 100)]),
            decrement("unknown at home", &[("a-nobody", 1), (last, 100)]),
            expecting(decrement("version there", &cart(1)), last, 1),
            expecting(decrement("version at home", &cart(1)), home, 1),
            expecting(restock("version of a restock", &cart(1)), last, 1),
            expecting(decrement("version and short", &cart(100)), last, 1),
            restock("in", &cart(4)),
            restock("in, unknown", &[(home, 1), ("zz-nobody", 1)]),
            held.clone(),
            reserve("held short", &cart(100), 1000),
            extend("longer", &ids[0], 60_000),
            commit_some("too much", &ids[0], &[(last, 9)], true),
            commit_some("one there", &ids[0], &[(last, 1)], true),
            release_some("one at home", &ids[0], &[(home, 1)]),
            commit("rest", &ids[0]),
            commit("over", &ids[0]),
            release("over too", &ids[0]),
            release("unborn gone", &ids[3]),
            unborn.clone(),
            short_lived.clone(),
            part.clone(),
            commit_some("part sold", &ids[2], &[(last, 1), (home, 1)], true),
        ] {
            shops.ask_twice(&asked).await;
        }
        shops.same_units(&names).await;
        shops.pass(1000).await;
        shops.same_units(&names).await;
        for asked in [
            commit("strict", &ids[1]),
            reacquire("too much again", &ids[1], &[(last, 4)]),
            reacquire("some again", &ids[1], &[(last, 2)]),
            reacquire("again and again", &ids[1], &[]),
            reacquire("the rest again", &ids[2], &[]),
            reserve("later", &cart(1), 1000),
            release("given back", &hold_of(&reserve("later", &cart(1), 1000), partitions)),
        ] {
            shops.ask_twice(&asked).await;
        }
        shops.same_units(&names).await;
        // Home has enough, another has not any more.
        let gone = reserve("gone", &cart(1), 1000);
        shops.ask_twice(&gone).await;
        shops.pass(1000).await;
        for name in &names[1..] {
            shops.ask_twice(&set(&format!("none of {name}"), name, 0)).await;
        }
        shops.ask_twice(&reacquire("nothing there", &hold_of(&gone, partitions), &[])).await;
        shops.pass(CART_TTL_MS).await;
        shops.same_units(&names).await;
        shops.close().await;
    }
}

#[tokio::test]
async fn a_burnt_key_sells_no_cart_and_a_used_one_tells_all_its_events() {
    let (shop, names) = (shop_apart().await, apart(3));
    let cart: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    shop.stock(&cart.iter().map(|(name, _)| (*name, 5)).collect::<Vec<_>>()).await;
    assert_eq!(shop.resolve(&client(), &names[0], "burnt").await, Resolved::Burnt);
    assert_eq!(shop.refused(&decrement("burnt", &cart)).await, Refusal::KeyBurnt);
    let sold = shop.applied(&decrement("sold", &cart)).await;
    let event_ids: Vec<_> = sold.lines.iter().map(|line| line.event_id.unwrap()).collect();
    let partitions: Vec<Partition> = event_ids.iter().map(|event| event.partition).collect();
    assert_eq!(partitions, names.iter().map(|name| shop.partitions().of(&sku(name))).collect::<Vec<_>>());
    let resolved = shop.resolve(&client(), &names[0], "sold").await;
    assert_eq!(resolved, Resolved::Applied { rpc: Rpc::Decrement, event_ids, hold: None });
    let held = reserve("held", &cart, 1000);
    let event_ids = shop.applied(&held).await.lines.iter().map(|line| line.event_id.unwrap()).collect();
    let id = hold_of(&held, shop.partitions());
    let resolved = shop.resolve(&client(), &names[0], "held").await;
    assert_eq!(resolved, Resolved::Applied { rpc: Rpc::Reserve, event_ids, hold: Some(id.clone()) });
    // In the order of the hold, only what it sold.
    let asked = commit_some("one", &id, &[(&names[1], 1)], true);
    let event_ids: Vec<_> =
        shop.applied(&asked).await.lines.iter().map(|line| line.event_id.unwrap()).collect();
    assert_eq!(event_ids.len(), 1);
    let resolved = shop.resolve(&client(), &names[0], "one").await;
    assert_eq!(resolved, Resolved::Applied { rpc: Rpc::Commit, event_ids, hold: Some(id) });
    shop.close().await;
}

/// Once its children have followed, a home has nothing to wait for but its deadline.
#[tokio::test]
async fn a_home_is_not_met_again_for_children_that_have_followed() {
    let (shop, names) = (shop_apart().await, apart(3));
    let cart: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    shop.stock(&cart).await;
    let held = reserve("held", &cart, 50_000);
    shop.applied(&held).await;
    let id = hold_of(&held, shop.partitions());
    let deadline_ms = shop.now_ms() + OVER_MS;
    for (asked, next_ms) in [
        (extend("longer", &id, OVER_MS), Some(deadline_ms)),
        (commit_some("one", &id, &[(&names[1], 1)], true), Some(deadline_ms)),
        (release("rest", &id), None),
    ] {
        shop.applied(&asked).await;
        eventually("home has heard that they have followed", SOON, async || {
            (shop.store.first_deadline_ms(id.home()).await.unwrap() == next_ms).then_some(())
        })
        .await;
    }
    // Hearing of it is no revision: those were its reserve, the extension, the sale and the release.
    let ended = shop.key(&names[0], &format!("ended:{}", shop.now_ms() / RETENTION_MS));
    let text: String = shop.redis(redis::cmd("HGET").arg(ended).arg(id.as_str())).await;
    assert_eq!(text.split(' ').nth(2), Some(format!("{START_MS}#0.4").as_str()), "{text}");
    shop.close().await;
}

/// Every line's units are held before anything is sold, and told once.
#[tokio::test]
async fn a_carts_events_stand_in_each_partition_in_the_order_of_its_steps() {
    let (shop, names) = (shop_apart().await, apart(2));
    shop.stock(&[(&names[0], 5), (&names[1], 5)]).await;
    let cart = [(names[0].as_str(), 1), (names[1].as_str(), 2)];
    shop.applied(&decrement("sold", &cart)).await;
    shop.applied(&restock("back", &cart)).await;
    let mut told: BTreeMap<&str, Vec<(EventKind, i64, i64)>> = BTreeMap::new();
    for name in &names {
        let partition = shop.partitions().of(&sku(name));
        let entries =
            shop.store.entries(partition, EntryId::default(), EntryId::END, 100, false).await.unwrap();
        let events = entries.into_iter().flat_map(|entry| entry.events.unwrap());
        let of_sku = events.filter(|event| event.sku == sku(name));
        told.insert(name, of_sku.map(|event| (event.kind, event.on_hand_delta, event.held_delta)).collect());
    }
    let wanted = [
        (
            names[0].as_str(),
            vec![(EventKind::Set, 5, 0), (EventKind::Decremented, -1, 0), (EventKind::Restocked, 1, 0)],
        ),
        (
            names[1].as_str(),
            vec![
                (EventKind::Set, 5, 0),
                (EventKind::Reserved, 0, 2),
                (EventKind::Committed, -2, -2),
                (EventKind::Restocked, 2, 0),
            ],
        ),
    ];
    assert_eq!(told, BTreeMap::from(wanted));
    shop.close().await;
}

/// The steps of a story, told to both.
struct Telling {
    shops: Both,
    asked: Vec<Mutation>,
    holds: Vec<HoldId>,
    unborn: Vec<Mutation>,
}

impl Telling {
    fn mutation(&mut self, request: &Request, partitions: Partitions) -> Option<Mutation> {
        let text = match request.key {
            Key::Repeat(index) if !self.asked.is_empty() => {
                return Some(self.asked[usize::from(index) % self.asked.len()].clone());
            }
            Key::Reused(index) if !self.asked.is_empty() => {
                self.asked[usize::from(index) % self.asked.len()].cause.key.as_str().to_owned()
            }
            _ => format!("k{}", self.asked.len()),
        };
        let hold = |which: u8| match self.holds.len() {
            0 => hold_of(&reserve("nobody", &[("A", 1), ("B", 1)], 1000), partitions),
            count => self.holds[count - 1 - usize::from(which) % count].clone(),
        };
        let mut mutation = match &request.ask {
            Ask::Decrement(cart, _) => decrement(&text, cart),
            Ask::Restock(cart) => restock(&text, cart),
            Ask::Reserve { cart, ttl_ms } => reserve(&text, cart, *ttl_ms),
            Ask::LateReserve(which) if !self.unborn.is_empty() => {
                self.unborn[usize::from(*which) % self.unborn.len()].clone()
            }
            Ask::LateReserve(_) => return None,
            Ask::Commit { hold: which, some, reacquire: true, .. } => reacquire(&text, &hold(*which), some),
            Ask::Commit { hold: which, some, keep_open, .. } => {
                commit_some(&text, &hold(*which), some, *keep_open)
            }
            Ask::Release { hold: which, some } => release_some(&text, &hold(*which), some),
            Ask::ReleaseUnborn(cart) => {
                let late = reserve(&format!("late {text}"), cart, 1000);
                let unborn = hold_of(&late, partitions);
                self.unborn.push(late);
                release(&text, &unborn)
            }
            Ask::Extend { hold: which, ttl_ms } => extend(&text, &hold(*which), *ttl_ms),
            Ask::Adjust(name, delta, _) => adjust(&text, name, *delta),
            Ask::Set { sku, quantity, .. } => set(&text, sku, *quantity),
            Ask::SetAsOf { .. } => return None,
        };
        if let Some(source) = request.source {
            mutation = from(source, mutation);
        }
        if matches!(mutation.action, Action::Reserve { .. }) {
            self.holds.push(hold_of(&mutation, partitions));
        }
        self.asked.push(mutation.clone());
        Some(mutation)
    }

    async fn tell(&mut self, step: &Step) {
        match step {
            Step::Request(request) => self.ask(request).await,
            Step::Together(requests) => {
                for request in requests {
                    self.ask(request).await;
                }
            }
            Step::Pass(ms) => self.shops.pass(*ms).await,
            Step::Resolve { .. } | Step::Sweep { .. } => {}
        }
        self.shops.same_units(&SKUS[..3]).await;
    }

    async fn ask(&mut self, request: &Request) {
        if let Some(mutation) = self.mutation(request, both()[1]) {
            self.shops.ask(&mutation).await;
        }
    }
}

#[test]
fn both_kinds_of_shop_tell_every_story_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config =
        Config { cases: STORIES, failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    let told = TestRunner::new(config).run(&vec(steps(), 1..STEPS_MAX), |story| {
        runtime.block_on(async {
            let (shops, asked) = (Both::open().await, Vec::new());
            shops.stock(&[("A", 10), ("B", 10), ("C", 10)]).await;
            let mut telling = Telling { shops, asked, holds: Vec::new(), unborn: Vec::new() };
            for step in &story {
                telling.tell(step).await;
            }
            for id in &telling.holds {
                let [whole, apart] = [&telling.shops.whole, &telling.shops.apart];
                assert_eq!(apart.store.hold(id).await.unwrap(), whole.store.hold(id).await.unwrap());
            }
            telling.shops.close().await;
        });
        Ok(())
    });
    if let Err(failure) = told {
        panic!("{failure}");
    }
}
