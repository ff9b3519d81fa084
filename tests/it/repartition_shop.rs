//! A shop that has lived: sales, holds and their ends, answers remembered, changes carried, half carried and not carried, channels
//! told, sick and dead. And ways to see that it is the same one under another number of partitions.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;
use stockgate::{
    domain::{Action, Answer, ChannelRules, Event, HoldId, Mutation, Partition, Partitions},
    store::{
        AtomicDomain, Delivery, EntryId, EventScope, Repartition, RepartitionError, Repartitioned,
        SettleOutcome, Settlement, StoreSettings, StoredLevel, repartition,
    },
};

use crate::{harness::Shop, requests::*};

/// In four partitions of sixteen at least, whatever they hash to; a test says so.
pub(crate) const SKUS: [&str; 10] = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"];
pub(crate) const CHANNELS: [&str; 2] = ["web", "app"];

/// What was asked of a shop and what it said.
pub(crate) struct Past {
    pub(crate) asked: Vec<(Mutation, Answer)>,
    pub(crate) holds: Vec<HoldId>,
    /// Mutations that were not carried to channels: SKU, version and kind.
    pub(crate) uncarried: BTreeSet<String>,
}

pub(crate) fn partitions(count: u16) -> Partitions {
    Partitions::new(count).unwrap()
}

pub(crate) fn order(to: u16) -> Repartition {
    Repartition {
        to: partitions(to),
        dry_run: false,
        quiet: Duration::from_millis(1),
        lease: Duration::from_secs(600),
    }
}

/// Changes the partitions of a shop, in silence.
pub(crate) async fn move_to(settings: &StoreSettings, to: u16) -> Result<Repartitioned, RepartitionError> {
    repartition(settings.clone(), order(to), &|_| {}).await
}

/// Opens a shop that has a past.
pub(crate) async fn lived_in(count: u16) -> (Shop, Past) {
    let shop = Shop::open(partitions(count)).await;
    let mut past = Past { asked: Vec::new(), holds: Vec::new(), uncarried: BTreeSet::new() };
    for (index, name) in SKUS.into_iter().enumerate() {
        past.ask(&shop, set(&format!("set {name}"), name, 100 + i64::try_from(index).unwrap())).await;
    }
    carry(&shop, "w").await;
    tell(&shop, "web", |_| SettleOutcome::Applied).await;
    tell(&shop, "app", |name| match name {
        "B" | "F" => SettleOutcome::Permanent { delay_ms: 5, error: "no such listing".to_owned() },
        "C" => SettleOutcome::Failed { delay_ms: 900, burns_attempt: true, error: "503 busy".to_owned() },
        _ => SettleOutcome::Applied,
    })
    .await;
    past.live(&shop, "early").await;
    let claim_for_good = shop.store.clone();
    carry(&shop, "w").await;
    for partition in shop.partitions().all() {
        let web = channel("web");
        claim_for_good.claim(partition, &web, &ChannelRules::default(), "dead worker", 1).await.unwrap();
    }
    // Read by one that dies, then by one that lives, then by nobody.
    past.live(&shop, "half").await;
    for (_, entries) in shop.read("dead", 1000).await {
        past.note_uncarried(&entries);
    }
    past.live(&shop, "carried").await;
    carry(&shop, "w").await;
    past.live(&shop, "late").await;
    let mut poison = redis::cmd("HSET");
    poison.arg(shop.key("A", "poison")).arg("7-1").arg("rubbish");
    shop.redis::<()>(&mut poison).await;
    past.note_unread(&shop).await;
    (shop, past)
}

impl Past {
    pub(crate) async fn ask(&mut self, shop: &Shop, mutation: Mutation) -> Answer {
        let answer = shop.answer(&mutation).await;
        self.asked.push((mutation, answer.clone()));
        answer
    }

    /// Some of everything.
    async fn live(&mut self, shop: &Shop, when: &str) {
        let key = |what: &str| format!("{when} {what}");
        self.ask(shop, decrement(&key("cart"), &[("A", 1), ("B", 2), ("C", 3)])).await;
        self.ask(shop, from("web", decrement(&key("web"), &[("D", 2)]))).await;
        self.ask(shop, restock(&key("back"), &[("E", 5), ("A", 1)])).await;
        self.ask(shop, adjust(&key("broken"), "F", -3)).await;
        self.ask(shop, from("app", decrement(&key("too many"), &[("G", 10_000)]))).await;
        let hold = self.reserve(shop, reserve(&key("sold"), &[("A", 2), ("H", 1)], 50_000)).await;
        self.ask(shop, commit(&key("pay"), &hold)).await;
        let hold = self.reserve(shop, reserve(&key("part"), &[("I", 4), ("J", 1)], 50_000)).await;
        self.ask(shop, commit_some(&key("some"), &hold, &[("I", 1)], false)).await;
        let hold = self.reserve(shop, reserve(&key("given back"), &[("B", 1)], 50_000)).await;
        self.ask(shop, release(&key("back again"), &hold)).await;
        self.reserve(shop, reserve(&key("forgotten"), &[("C", 1), ("D", 1)], 10)).await;
        self.reserve(shop, reserve(&key("forgotten alone"), &[("J", 1)], 10)).await;
        let unborn = hold_of(&reserve(&key("unborn"), &[("E", 1)], 10), shop.partitions());
        self.ask(shop, release(&key("never made"), &unborn)).await;
        self.holds.push(unborn);
        shop.pass(20);
        for partition in shop.partitions().all() {
            shop.store.sweep(partition, 100).await.unwrap();
        }
    }

    async fn reserve(&mut self, shop: &Shop, mutation: Mutation) -> HoldId {
        let hold = self.ask(shop, mutation).await.result.unwrap().hold.unwrap().id;
        self.holds.push(hold.clone());
        hold
    }

    fn note_uncarried(&mut self, entries: &[Delivery]) {
        self.uncarried.extend(told(entries));
    }

    /// What stands in the streams behind everything that was given to anybody.
    async fn note_unread(&mut self, shop: &Shop) {
        for partition in shop.partitions().all() {
            let key = format!("{}:{{p{partition}}}:ev", shop.settings.namespace);
            let groups: redis::streams::StreamInfoGroupsReply =
                shop.redis(redis::cmd("XINFO").arg("GROUPS").arg(&key)).await;
            let given = groups.groups[0].last_delivered_id.clone();
            let mut read = redis::cmd("XREAD");
            let reply: redis::streams::StreamReadReply =
                shop.redis(read.arg("STREAMS").arg(&key).arg(given)).await;
            for entry in reply.keys.into_iter().flat_map(|stream| stream.ids) {
                let text: String = entry.get("e").unwrap();
                self.uncarried.extend(text.lines().filter(|line| !line.starts_with('{')).map(short));
            }
        }
    }
}

/// Kind, SKU and version of a mutation as the stream keeps it.
fn short(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    format!("{} {} {}", words[0], words[1], words[6])
}

fn told(entries: &[Delivery]) -> Vec<String> {
    let changes = entries.iter().flat_map(|entry| entry.changes.as_ref().unwrap());
    let letter = |kind| {
        let letters = stockgate::domain::EventKind::LETTERS;
        letters.into_iter().find(|(known, _)| *known == kind).unwrap().1
    };
    changes.map(|change| format!("{} {} {}", letter(change.kind), change.sku, change.version)).collect()
}

/// Everything that a worker is given, without acknowledging it.
pub(crate) async fn given_to_workers(shop: &Shop) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (_, entries) in undelivered(shop, "peek").await {
        all.extend(told(&entries));
    }
    all
}

async fn undelivered(shop: &Shop, consumer: &str) -> Vec<(Partition, Vec<Delivery>)> {
    let mut all = shop.read(consumer, 1000).await;
    for partition in shop.partitions().all() {
        let (entries, next) =
            shop.store.adopt_entries(partition, consumer, 0, EntryId::default(), 1000).await.unwrap();
        assert_eq!(next, None);
        all.push((partition, entries));
    }
    all
}

/// Carries what nobody was given to the channels.
async fn carry(shop: &Shop, consumer: &str) {
    for (partition, entries) in shop.read(consumer, 1000).await {
        shop.store.fan_out(partition, shop.store.channels(), &entries).await.unwrap();
    }
}

/// Carries everything that was not carried, also what the dead had read.
pub(crate) async fn carry_all(shop: &Shop, consumer: &str) {
    for (partition, entries) in undelivered(shop, consumer).await {
        shop.store.fan_out(partition, shop.store.channels(), &entries).await.unwrap();
    }
}

/// Tells a channel everything that is due there.
pub(crate) async fn tell(shop: &Shop, name: &str, answer: impl Fn(&str) -> SettleOutcome) {
    let (id, rules) = (channel(name), ChannelRules::default());
    for partition in shop.partitions().all() {
        let claim = shop.store.claim(partition, &id, &rules, "t", 1000).await.unwrap();
        let settlement = |item: &stockgate::store::Claimed| Settlement {
            sku: item.desired.sku.clone(),
            version: item.desired.version,
            quantity: item.desired.published,
            paused: item.desired.paused,
            outcome: answer(item.desired.sku.as_str()),
        };
        let answers: Vec<Settlement> = claim.items.iter().map(settlement).collect();
        if !answers.is_empty() {
            shop.store.settle(partition, &id, &rules, "t", &answers).await.unwrap();
        }
    }
}

/// The same shop as a gateway opens it that is told of so many partitions.
pub(crate) async fn reopened(shop: &Shop, count: u16) -> Shop {
    let again = shop.gateway_of(partitions(count));
    again.store.prepare().await.unwrap();
    again
}

/// All events of a SKU, page by page, without their ids.
pub(crate) async fn events_of(shop: &Shop, name: Option<&str>) -> Vec<Event> {
    let scope = EventScope {
        sku: name.map(sku),
        first: EntryId::default(),
        last: EntryId::END,
        at_ms: i64::MIN..i64::MAX,
        newest_first: false,
    };
    let (mut all, mut position) = (Vec::new(), Vec::new());
    loop {
        let page = shop.store.event_page(&scope, &position, 7).await.unwrap();
        all.extend(page.events);
        match page.next {
            Some(next) => position = next,
            None => return all,
        }
    }
}

/// What an event says, but for its id.
pub(crate) fn sayings(events: &[Event]) -> Vec<String> {
    let anonymous = |event: &Event| {
        let mut told = format!("{event:?}");
        told.replace_range(..told.find("kind:").unwrap(), "");
        told
    };
    events.iter().map(anonymous).collect()
}

/// Every field of every key but streams, whatever its partition: what a change of partitions leaves as it is. Of counts the name of
/// their last event is left out, of ended holds the partitions of their lines.
pub(crate) async fn contents(shop: &Shop) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (key, partition, rest) in keys(shop).await {
        // Nobody is left to hear of a deadline, and a nudge is no part of a shop.
        if ["ev", "hx", "nudge"].contains(&rest.as_str()) {
            continue;
        }
        let kind: String = shop.redis(redis::cmd("TYPE").arg(&key)).await;
        let fields: BTreeMap<String, String> = match kind.as_str() {
            "hash" => shop.redis(redis::cmd("HGETALL").arg(&key)).await,
            _ => shop.redis(redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).arg("WITHSCORES")).await,
        };
        for (field, value) in fields {
            // What partitions of a cluster said to each other about carts is left behind.
            let is_internal = rest.starts_with("rec:") && field.starts_with("* ");
            if is_internal || rest.starts_with("ended:") && field.contains("~h-") {
                continue;
            }
            let home = match rest.split(':').next().unwrap() {
                "rec" => field.split(' ').nth(1).unwrap().to_owned(),
                "ended" | "holds" | "hx" => field.rsplit('-').next().unwrap().to_owned(),
                "poison" => SKUS[0].to_owned(),
                _ => field.clone(),
            };
            let at = shop.partitions().of(&sku(&home)).0;
            assert!(rest == "poison" || at == partition, "{field} of {key}");
            let (field, value) = match rest.split(':').next().unwrap() {
                "stock" => (field, value.rsplit_once(' ').unwrap().0.to_owned()),
                "ended" => (field, value.split(' ').nth(1).unwrap().to_owned()),
                // After its partition of old, when it has one.
                "poison" => (field[field.len() - 3..].to_owned(), value),
                _ => (field, value),
            };
            assert_eq!(all.insert(format!("{rest} {field}"), value), None, "{rest} {field} twice");
        }
    }
    all
}

/// Whether a repeat is told what the first was. On a cluster a cart's counts away from home are lost with the old partitions.
pub(crate) fn is_told_alike(shop: &Shop, asked: &Mutation, again: &Answer, first: &Answer) -> bool {
    let skus = match &asked.action {
        Action::Decrement(lines) | Action::Restock(lines) | Action::Reserve { lines, .. } => {
            lines.as_slice().len()
        }
        Action::Commit { hold, .. } | Action::Release { hold, .. } | Action::ExtendHold { hold, .. } => {
            hold.line_count()
        }
        Action::AdjustStock { .. } | Action::SetStock { .. } => 1,
    };
    let is_cart = shop.settings.domain == AtomicDomain::Partition && skus > 1;
    again.result == first.result || is_cart && again.result.is_ok() == first.result.is_ok()
}

/// The keys of partitions: whole, the number of the partition, the rest of the name.
pub(crate) async fn keys(shop: &Shop) -> Vec<(String, u16, String)> {
    let prefix = format!("{}:", shop.settings.namespace);
    let all: Vec<String> = shop.redis(redis::cmd("KEYS").arg(format!("{prefix}*"))).await;
    let parted = |key: String| {
        let rest = key[prefix.len()..].to_owned();
        let (number, rest) = rest.strip_prefix("{p")?.split_once("}:")?;
        Some((key.clone(), number.parse().unwrap(), rest.to_owned()))
    };
    all.into_iter().filter_map(parted).collect()
}

/// Whatever else stands in the namespace.
pub(crate) async fn is_left_over(shop: &Shop) -> Vec<String> {
    let namespace = &shop.settings.namespace;
    let mut left: Vec<String> = Vec::new();
    for pattern in [format!("{namespace}:next*"), format!("{namespace}:repartition")] {
        left.extend(shop.redis::<Vec<String>>(redis::cmd("KEYS").arg(pattern)).await);
    }
    let keys = keys(shop).await;
    left.extend(keys.into_iter().filter(|key| key.1 >= shop.partitions().count()).map(|key| key.0));
    left
}

/// Every count names an event that is there and made its version.
pub(crate) async fn check_last_events(shop: &Shop) {
    for name in SKUS {
        let read = shop.store.levels(&[sku(name)]).await.unwrap().remove(0);
        let StoredLevel::Known { level, event_id } = read else { panic!("{name}: {read:?}") };
        let event = shop.store.event(event_id).await.unwrap().expect("it is there");
        assert_eq!((event.sku, event.version), (sku(name), level.version));
    }
}
