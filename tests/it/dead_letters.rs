//! Dead letters in Redis: how they are paged through, replayed and dropped, and what that leaves behind.

use stockgate::{
    domain::{ClientId, EventKind, Operator, Partitions, Sku, Text},
    store::{
        DeadLetter, DeadPosition, DeadRemedy, DeadScope, EntryId, Finding, StoreError, StreamStats, Treated,
    },
};

use crate::{
    harness::{START_MS, Shop, both},
    requests::*,
};

/// Long before every clock of a test.
const STALE_MS: i64 = START_MS - 90_000;

fn operator() -> Operator {
    Operator {
        client: ClientId::anonymous(),
        actor: Text::parse("ann".to_owned()).unwrap(),
        reason: Text::parse("mended".to_owned()).unwrap(),
    }
}

fn of_channel(name: &str) -> DeadScope {
    DeadScope { channel: Some(channel(name)), ..DeadScope::default() }
}

/// Makes a letter the way settle does.
async fn bury(shop: &Shop, on: &str, name: &str, dead_ms: i64, error: &str) {
    work(shop, on, name, &format!("20 - 0 {STALE_MS} 0 {STALE_MS} {error}")).await;
    shop.redis::<()>(redis::cmd("ZADD").arg(shop.key(name, &format!("dead:{on}"))).arg(dead_ms).arg(name))
        .await;
}

async fn work(shop: &Shop, on: &str, name: &str, text: &str) {
    shop.redis::<()>(redis::cmd("HSET").arg(shop.key(name, &format!("work:{on}"))).arg(name).arg(text)).await;
}

async fn add(shop: &Shop, key: &str, on: &str, name: &str, score: i64) {
    shop.redis::<()>(redis::cmd("ZADD").arg(shop.key(name, &format!("{key}:{on}"))).arg(score).arg(name))
        .await;
}

async fn treat(shop: &Shop, remedy: DeadRemedy, scope: &DeadScope) -> Treated {
    shop.store.treat_dead_letters(remedy, scope, None, Some(&operator())).await.unwrap()
}

/// Every page of so many, one after the other.
async fn all_pages(shop: &Shop, scope: &DeadScope, count: usize) -> Vec<DeadLetter> {
    let (mut all, mut from): (Vec<DeadLetter>, Option<DeadPosition>) = (Vec::new(), None);
    loop {
        let page = shop.store.dead_letters(scope, from.as_ref(), count).await.unwrap();
        assert!(page.letters.len() <= count);
        all.extend(page.letters);
        match page.next {
            Some(next) => from = Some(next),
            None => return all,
        }
    }
}

fn names(letters: &[DeadLetter]) -> Vec<String> {
    letters.iter().map(|letter| format!("{} {}", letter.channel, letter.sku)).collect()
}

/// What `after` has that `before` had not, and (with `-`) the other way round; streams aside.
fn difference(before: &str, after: &str) -> Vec<String> {
    let gone = before.lines().filter(|line| !after.lines().any(|other| other == *line));
    let new = after.lines().filter(|line| !before.lines().any(|other| other == *line));
    gone.map(|line| format!("-{line}")).chain(new.map(|line| format!("+{line}"))).collect()
}

/// A is dead, B has changed since it died and is due, C too and is being told, D is dead on the other channel, E is fine.
async fn graveyard() -> Shop {
    let shop = Shop::open(Partitions::ONE).await;
    shop.stock(&[("A", 1), ("B", 2), ("C", 3), ("D", 4), ("E", 5)]).await;
    for name in ["A", "B", "C"] {
        bury(&shop, "web", name, START_MS - 500, "503 busy").await;
    }
    bury(&shop, "app", "D", START_MS - 500, "503 busy").await;
    for name in ["B", "C"] {
        add(&shop, "dirty", "web", name, STALE_MS).await;
    }
    add(&shop, "due", "web", "B", START_MS + 29_500).await;
    add(&shop, "lease", "web", "C", START_MS + 10_000).await;
    work(&shop, "web", "C", "20 token 1 0 0 999000000 503 busy").await;
    shop.pass(5);
    shop
}

#[tokio::test]
async fn replay_makes_letters_due_behind_what_is_live_and_counts_anew() {
    let shop = graveyard().await;
    let before = shop.dump().await;
    let done = treat(&shop, DeadRemedy::Replay, &of_channel("web")).await;
    assert_eq!((done.matched, done.treated, done.channels), (3, 3, vec![channel("web")]));
    let after = shop.dump().await;
    let changes = [
        "-p0:dead:web A = 999999500",
        "-p0:dead:web B = 999999500",
        "-p0:dead:web C = 999999500",
        "-p0:work:web A = 20 - 0 999910000 0 999910000 503 busy",
        "-p0:work:web B = 20 - 0 999910000 0 999910000 503 busy",
        "-p0:work:web C = 20 token 1 0 0 999000000 503 busy",
        "+p0:dirty:web A = 999910000",
        "+p0:due:web A = 10001000000005",
        "+p0:ev #5 1000000005: {\"key\":\"\",\"channel\":\"web\",\"reason\":\"mended\",\"actor\":\"ann\"} \
         | y A 0 0 1 0 1 | y B 0 0 2 0 1 | y C 0 0 3 0 1",
        "+p0:work:web A = 0 - 0 0 0 0 503 busy",
        "+p0:work:web B = 0 - 0 0 0 0 503 busy",
        // Its lease goes on; the run of attempts it belongs to begins now.
        "+p0:work:web C = 0 token 1 0 0 1000000005 503 busy",
    ];
    assert_eq!(difference(&before, &after), changes);
    let again = treat(&shop, DeadRemedy::Replay, &of_channel("web")).await;
    assert_eq!((again.matched, again.treated), (0, 0));
    assert_eq!(shop.dump().await, after);
    shop.close().await;
}

#[tokio::test]
async fn discard_drops_letters_and_lets_what_is_due_go_on() {
    let shop = graveyard().await;
    let before = shop.dump().await;
    let done = treat(&shop, DeadRemedy::Discard, &of_channel("web")).await;
    assert_eq!((done.matched, done.treated), (3, 3));
    let changes = [
        "-p0:dead:web A = 999999500",
        "-p0:dead:web B = 999999500",
        "-p0:dead:web C = 999999500",
        "-p0:work:web A = 20 - 0 999910000 0 999910000 503 busy",
        "-p0:work:web B = 20 - 0 999910000 0 999910000 503 busy",
        "+p0:ev #5 1000000005: {\"key\":\"\",\"channel\":\"web\",\"reason\":\"mended\",\"actor\":\"ann\"} \
         | z A 0 0 1 0 1 | z B 0 0 2 0 1 | z C 0 0 3 0 1",
        "+p0:work:web A = 0 - 0 0 0 0 discarded by ann: mended",
        "+p0:work:web B = 20 - 0 0 0 999910000 503 busy",
    ];
    assert_eq!(difference(&before, &shop.dump().await), changes);
    shop.close().await;
}

#[tokio::test]
async fn asking_what_would_be_done_changes_nothing() {
    let shop = graveyard().await;
    let before = shop.dump().await;
    for remedy in [DeadRemedy::Replay, DeadRemedy::Discard] {
        let done = shop.store.treat_dead_letters(remedy, &DeadScope::default(), None, None).await.unwrap();
        assert_eq!((done.matched, done.treated), (4, 0));
        assert_eq!(names(&done.sample), ["web A", "web B", "web C", "app D"]);
    }
    assert_eq!(shop.dump().await, before);
    shop.close().await;
}

#[tokio::test]
async fn letters_are_paged_by_channel_and_time_and_narrowed_down() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 1), ("B", 2), ("C", 3), ("D", 4)]).await;
        bury(&shop, "app", "A", START_MS - 4, "503 Busy").await;
        // Of one moment, so that pages part them.
        for name in ["D", "A", "C", "B"] {
            bury(&shop, "web", name, START_MS - 3, "404 not found").await;
        }
        bury(&shop, "app", "B", START_MS - 1, "503 busy").await;
        let everything = DeadScope::default();
        let whole = all_pages(&shop, &everything, 100).await;
        assert_eq!(whole.len(), 6);
        if partitions == Partitions::ONE {
            assert_eq!(names(&whole), ["web A", "web B", "web C", "web D", "app A", "app B"]);
        }
        for count in 1..4 {
            assert_eq!(all_pages(&shop, &everything, count).await, whole, "pages of {count}");
        }
        let letter = whole.iter().find(|letter| letter.channel == channel("app")).unwrap();
        assert_eq!((letter.attempts, letter.oldest_unconfirmed_ms), (20, Some(STALE_MS)));
        assert_eq!((letter.confirmed_version, letter.version), (0, 1));

        let check = async |scope: DeadScope, count: usize| {
            assert_eq!(all_pages(&shop, &scope, 2).await.len(), count, "{scope:?}");
        };
        check(of_channel("app"), 2).await;
        check(of_channel("nowhere"), 0).await;
        check(DeadScope { sku: Some(sku("A")), ..DeadScope::default() }, 2).await;
        check(DeadScope { sku: Some(sku("A")), ..of_channel("web") }, 1).await;
        check(DeadScope { sku: Some(sku("E")), ..DeadScope::default() }, 0).await;
        check(DeadScope { error_contains: "503 BUSY".to_owned(), ..DeadScope::default() }, 2).await;
        check(DeadScope { error_contains: "not FOUND".to_owned(), ..of_channel("app") }, 0).await;
        check(DeadScope { until_ms: Some(START_MS - 3), ..DeadScope::default() }, 1).await;
        shop.close().await;
    }
}

#[tokio::test]
async fn a_page_goes_on_where_a_letter_was_that_is_gone() {
    let shop = Shop::open(Partitions::ONE).await;
    shop.stock(&[("A", 1), ("B", 2), ("C", 3)]).await;
    for name in ["A", "B", "C"] {
        bury(&shop, "web", name, START_MS - 3, "503 busy").await;
    }
    let first = shop.store.dead_letters(&of_channel("web"), None, 2).await.unwrap();
    assert_eq!(names(&first.letters), ["web A", "web B"]);
    shop.redis::<()>(redis::cmd("ZREM").arg(shop.key("B", "dead:web")).arg("B")).await;
    let rest = shop.store.dead_letters(&of_channel("web"), first.next.as_ref(), 2).await.unwrap();
    assert_eq!(names(&rest.letters), ["web C"]);
    assert_eq!(rest.next, None);
    shop.close().await;
}

/// Fills web with letters of as many SKUs, all at once.
async fn bury_many(shop: &Shop, count: usize) {
    shop.stock(&[("S", 9)]).await;
    let level: String = shop.redis(redis::cmd("HGET").arg(shop.key("S", "stock")).arg("S")).await;
    let mut pipeline = redis::pipe();
    for n in 0..count {
        let name = format!("S{n}");
        pipeline.hset(shop.key(&name, "stock"), &name, &level).ignore();
        let text = format!("20 - 0 {STALE_MS} 0 {STALE_MS} 503 busy");
        pipeline.hset(shop.key(&name, "work:web"), &name, text).ignore();
        let dead_ms = START_MS - 1_000 + i64::try_from(n % 7).unwrap();
        pipeline.zadd(shop.key(&name, "dead:web"), &name, dead_ms).ignore();
    }
    pipeline.query_async::<()>(&mut shop.raw().await).await.unwrap();
}

#[tokio::test]
async fn one_call_treats_ten_thousand_and_the_next_goes_on() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        bury_many(&shop, 10_030).await;
        let scope = of_channel("web");
        let first = treat(&shop, DeadRemedy::Replay, &scope).await;
        assert_eq!((first.matched, first.treated, first.sample.len()), (10_000, 10_000, 100));
        let rest = shop
            .store
            .treat_dead_letters(DeadRemedy::Replay, &scope, first.next.as_ref(), Some(&operator()))
            .await
            .unwrap();
        assert_eq!((rest.matched, rest.treated, rest.next), (30, 30, None));
        let due: usize = partitions_due(&shop).await;
        assert_eq!(due, 10_030);
        shop.close().await;
    }
}

async fn partitions_due(shop: &Shop) -> usize {
    let mut sum = 0;
    for partition in shop.partitions().all() {
        let key = format!("{}:{{p{partition}}}:due:web", shop.settings.namespace);
        sum += shop.redis::<usize>(redis::cmd("ZCARD").arg(key)).await;
    }
    sum
}

#[tokio::test]
async fn a_filter_that_matches_little_ends_its_page_and_goes_on() {
    let shop = Shop::open(Partitions::ONE).await;
    bury_many(&shop, 10_030).await;
    bury(&shop, "web", "S", START_MS, "404 not found").await;
    let scope = DeadScope { error_contains: "404".to_owned(), ..of_channel("web") };
    let first = shop.store.dead_letters(&scope, None, 5).await.unwrap();
    assert_eq!((first.letters.len(), first.next.is_some()), (0, true));
    let second = shop.store.dead_letters(&scope, first.next.as_ref(), 5).await.unwrap();
    assert_eq!((names(&second.letters), second.next), (vec!["web S".to_owned()], None));
    shop.close().await;
}

#[tokio::test]
async fn two_operators_at_once_treat_each_letter_once() {
    let shop = Shop::open(Partitions::ONE).await;
    bury_many(&shop, 1_200).await;
    let other = shop.another_gateway();
    let scope = of_channel("web");
    let (one, two) =
        tokio::join!(treat(&shop, DeadRemedy::Replay, &scope), treat(&other, DeadRemedy::Discard, &scope));
    assert_eq!(one.treated + two.treated, 1_200);
    let partition = shop.partitions().of(&sku("S"));
    let entries =
        shop.store.entries(partition, EntryId::default(), EntryId::END, 10_000, false).await.unwrap();
    let kinds: Vec<EventKind> =
        entries.into_iter().flat_map(|entry| entry.events.unwrap()).map(|event| event.kind).collect();
    let told = |kind| kinds.iter().filter(|known| **known == kind).count() as u64;
    assert_eq!((told(EventKind::Replayed), told(EventKind::Discarded)), (one.treated, two.treated));
    other.close().await;
    shop.close().await;
}

#[tokio::test]
async fn what_became_of_letters_is_no_news_to_channels_and_no_change_of_counts() {
    let shop = graveyard().await;
    for (partition, entries) in shop.read("me", 1000).await {
        shop.store.fan_out(partition, &[], &entries).await.unwrap();
    }
    treat(&shop, DeadRemedy::Replay, &of_channel("web")).await;
    treat(&shop, DeadRemedy::Discard, &of_channel("app")).await;
    let told = shop.read("me", 1000).await;
    let changes: usize =
        told.iter().flat_map(|(_, entries)| entries).map(|entry| entry.changes.iter().len()).sum();
    assert_eq!(changes, 2, "both entries are read, and parse");
    for (partition, entries) in told {
        assert_eq!(shop.store.fan_out(partition, shop.store.channels(), &entries).await.unwrap(), 0);
    }
    let pending: Vec<redis::Value> = shop
        .redis(redis::cmd("XPENDING").arg(shop.key("A", "ev")).arg("fanout").arg("-").arg("+").arg(9))
        .await;
    assert!(pending.is_empty(), "acknowledged like all others");
    let report = shop.store.verify(&[], false).await.unwrap();
    assert_eq!((report.findings, report.unreadable.len()), (Vec::<Finding>::new(), 0));
    assert_eq!(shop.level("A").await.version, 1);
    shop.close().await;
}

#[tokio::test]
async fn a_letter_of_a_broken_stock_record_stays() {
    let shop = graveyard().await;
    shop.redis::<()>(redis::cmd("HSET").arg(shop.key("A", "stock")).arg("A").arg("x y z")).await;
    for remedy in [DeadRemedy::Replay, DeadRemedy::Discard] {
        let done = treat(&shop, remedy, &DeadScope { sku: Some(sku("A")), ..of_channel("web") }).await;
        assert_eq!((done.matched, done.treated), (1, 0));
    }
    let left = shop.store.dead_letters(&of_channel("web"), None, 10).await.unwrap().letters;
    assert_eq!((left.len(), left[0].version, &left[0].sku), (3, 0, &Sku::parse("A").unwrap()));
    shop.close().await;
}

#[tokio::test]
async fn a_key_of_the_wrong_type_is_named_and_nothing_is_half_done() {
    for spoilt in ["due:web", "lease:web", "dirty:web", "work:web", "dead:web", "ev"] {
        let shop = graveyard().await;
        let key = shop.key("A", spoilt);
        shop.redis::<()>(redis::cmd("SET").arg(&key).arg("not what it must be")).await;
        let before = shop.dump().await;
        let done = shop
            .store
            .treat_dead_letters(DeadRemedy::Replay, &of_channel("web"), None, Some(&operator()))
            .await;
        let fault = done.expect_err(spoilt);
        if spoilt != "dead:web" {
            // The count before it is a plain command, whose error is Redis's own.
            assert!(matches!(&fault, StoreError::WrongType { detail } if detail.contains(&key)), "{fault:?}");
        }
        assert_eq!(shop.dump().await, before, "{spoilt}");
        shop.close().await;
    }
}

#[tokio::test]
async fn letters_are_treated_after_redis_forgot_the_scripts() {
    let shop = graveyard().await;
    shop.forget_scripts().await;
    assert_eq!(treat(&shop, DeadRemedy::Discard, &of_channel("app")).await.treated, 1);
    shop.forget_scripts().await;
    assert_eq!(treat(&shop, DeadRemedy::Replay, &of_channel("web")).await.treated, 3);
    shop.close().await;
}

#[tokio::test]
async fn streams_are_counted() {
    let shop = Shop::open(Partitions::ONE).await;
    let stats = async || shop.store.stream_stats().await.unwrap().remove(0);
    assert_eq!(stats().await, StreamStats { undelivered: Some(0), ..StreamStats::default() });
    shop.stock(&[("A", 1)]).await;
    shop.pass(7);
    shop.stock(&[("B", 1), ("C", 1)]).await;
    shop.read("me", 2).await;
    shop.redis::<()>(redis::cmd("HSET").arg(shop.key("A", "poison")).arg("0-1").arg("what is this")).await;
    let counted = StreamStats {
        entries: 3,
        first_ms: Some(START_MS),
        last_ms: Some(START_MS + 7),
        pending: 2,
        oldest_pending_ms: Some(START_MS),
        undelivered: Some(1),
        consumers: 1,
        poison: 1,
    };
    assert_eq!(stats().await, counted);
    shop.redis::<()>(redis::cmd("XGROUP").arg("DESTROY").arg(shop.key("A", "ev")).arg("fanout")).await;
    let lost =
        StreamStats { pending: 0, oldest_pending_ms: None, undelivered: Some(3), consumers: 0, ..counted };
    assert_eq!(stats().await, lost);
    shop.redis::<()>(redis::cmd("DEL").arg(shop.key("A", "ev"))).await;
    assert_eq!(stats().await, StreamStats { poison: 1, undelivered: Some(0), ..StreamStats::default() });
    shop.close().await;
}
