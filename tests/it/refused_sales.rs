//! Sales that are refused to a channel which shows too much: all channels are told, each time it happens, and not without pause.

use stockgate::{
    domain::{ChannelId, ChannelRules, Mutation, Partitions},
    store::{EntryId, Settled},
};

use crate::{
    harness::{Shop, both},
    requests::*,
    street::{Street, applied, lag},
};

/// What a channel has confirmed is told again no sooner than this after.
const RETELL_PAUSE_MS: i64 = 1000;

/// A sale of more than there is.
fn too_much(source: &str, key: &str) -> Mutation {
    from(source, decrement(key, &[("A", 99)]))
}

/// Both channels have confirmed ten, long ago.
async fn at_rest(shop: Shop) -> Street {
    let street = Street::in_sync(shop).await;
    street.shop.pass(60_000);
    street
}

async fn last_entry(street: &Street) -> EntryId {
    street.shop.store.last_entry(street.home).await.unwrap()
}

/// Everything Redis holds of the shop but what callers were answered.
async fn all_but_answers(shop: &Shop) -> String {
    let dump = shop.dump().await;
    dump.lines().filter(|line| !line.contains(":rec:")).collect::<Vec<_>>().join("\n")
}

/// The mark of A's level.
async fn mark(street: &Street) -> String {
    let stock = street.shop.key("A", "stock");
    let text: String = street.shop.redis(redis::cmd("HGET").arg(stock).arg("A")).await;
    text.split(' ').nth(4).unwrap().to_owned()
}

#[tokio::test]
async fn each_refused_sale_after_a_claim_makes_its_sku_due_everywhere() {
    for partitions in both() {
        let street = at_rest(Shop::open(partitions).await).await;
        let mut messages = Vec::new();
        for (round, source) in ["web", "app", "web"].into_iter().enumerate() {
            street.change(&too_much(source, &format!("round {round}"))).await;
            for channel in [&street.web, &street.app] {
                assert!(street.is_due(channel).await, "round {round}");
                if round > 0 {
                    assert!(street.claim(channel, "early").await.items.is_empty(), "round {round}");
                }
            }
            street.shop.pass(if round == 0 { 0 } else { RETELL_PAUSE_MS });
            for channel in [&street.web, &street.app] {
                let claim = street.claim(channel, "t").await;
                let desired = &claim.items[0].desired;
                assert_eq!((desired.published, desired.version), (10, 1));
                assert!(!claim.items[0].is_shown(), "told, though it was confirmed");
                if *channel == street.web {
                    messages.push(desired.unconfirmed_since_ms);
                }
                let settled = street.settle(channel, "t", &[applied(&claim, 0)]).await;
                assert!(
                    matches!(settled[..], [Settled::Confirmed(told)] if told.versions == 0),
                    "{settled:?}"
                );
            }
        }
        messages.dedup();
        assert_eq!(messages.len(), 3, "a message of its own each time");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_refused_sale_between_the_claims_of_two_channels_is_told_to_both() {
    for partitions in both() {
        let street = at_rest(Shop::open(partitions).await).await;
        street.change(&too_much("web", "first")).await;
        assert_eq!(street.tell(&street.web).await, [Settled::Confirmed(lag(0, 0))]);
        // App was not told of the first one yet; web is wrong again.
        let before = last_entry(&street).await;
        street.change(&too_much("web", "second")).await;
        assert!(last_entry(&street).await > before);
        assert_eq!(street.state(&street.web).await.due_ms, Some(street.shop.now_ms() + RETELL_PAUSE_MS));
        assert_eq!(street.tell(&street.app).await.len(), 1, "what waited for the first one waits no longer");
        street.shop.pass(RETELL_PAUSE_MS);
        assert_eq!(street.tell(&street.web).await.len(), 1);
        street.shop.close().await;
    }
}

#[tokio::test]
async fn refused_sales_before_a_claim_change_nothing_more() {
    for partitions in both() {
        let street = at_rest(Shop::open(partitions).await).await;
        street.shop.answer(&too_much("web", "first")).await;
        let noted = all_but_answers(&street.shop).await;
        street.shop.answer(&too_much("app", "before it is fanned out")).await;
        assert_eq!(all_but_answers(&street.shop).await, noted);
        street.fan_out().await;
        let marked = all_but_answers(&street.shop).await;
        for source in ["web", "app"] {
            street.change(&too_much(source, &format!("{source} before the claim"))).await;
        }
        assert_eq!(all_but_answers(&street.shop).await, marked);
        // Without a source nobody shows a wrong number; another version is another event.
        street.change(&restock("i", &[("A", 1)])).await;
        let before = last_entry(&street).await;
        street.change(&decrement("no source", &[("A", 99)])).await;
        assert_eq!(last_entry(&street).await, before);
        street.change(&too_much("web", "another version")).await;
        assert!(last_entry(&street).await > before);
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_claim_takes_the_mark_and_writes_nothing_else_on_a_level() {
    for partitions in both() {
        let street = at_rest(Shop::open(partitions).await).await;
        let stock = street.shop.key("A", "stock");
        let text = async || -> String { street.shop.redis(redis::cmd("HGET").arg(&stock).arg("A")).await };
        let unmarked = text().await;
        street.change(&too_much("web", "first")).await;
        assert_eq!((mark(&street).await.as_str(), text().await != unmarked), ("1", true));
        street.claim(&street.web, "t").await;
        assert_eq!(text().await, unmarked);
        let report = street.shop.store.verify(&[sku("A")], false).await.unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        // A mark of an older version says nothing, and is left.
        street.change(&too_much("web", "second")).await;
        street.change(&restock("i", &[("A", 1)])).await;
        street.claim(&street.app, "t").await;
        assert_eq!(mark(&street).await, "1");
        street.shop.close().await;
    }
}

/// One that looks all the time, as workers do: whether anything was due.
async fn is_told(street: &Street, channel: &ChannelId) -> bool {
    let claim = street.claim(channel, "look").await;
    if let [_] = claim.items[..] {
        street.settle(channel, "look", &[applied(&claim, 0)]).await;
    }
    !claim.items.is_empty()
}

#[tokio::test]
async fn a_rush_of_refused_sales_calls_a_channel_once_a_second() {
    const SALES: i64 = 1000;
    const PASSES_MS: i64 = 3;
    let street = at_rest(Shop::open(Partitions::ONE).await).await;
    street.change(&decrement("all", &[("A", 10)])).await;
    for channel in [&street.web, &street.app] {
        assert!(is_told(&street, channel).await);
    }
    let (mut web, mut app) = (0, 0);
    for n in 0..SALES {
        let source = if n % 2 == 0 { "web" } else { "app" };
        street.change(&from(source, decrement(&format!("rush {n}"), &[("A", 1)]))).await;
        street.shop.pass(PASSES_MS);
        web += i64::from(is_told(&street, &street.web).await);
        // One that is a little slower.
        app += i64::from(n % 7 == 0 && is_told(&street, &street.app).await);
    }
    let most = SALES * PASSES_MS / RETELL_PAUSE_MS + 1;
    assert!((2..=most).contains(&web) && (2..=most).contains(&app), "{web} and {app} of {most}");
    let events: String = street.shop.redis(redis::cmd("XLEN").arg(street.shop.key("A", "ev"))).await;
    assert!(events.parse::<i64>().unwrap() <= 2 + web + app + 1, "{events} after {web} and {app}");
    // The last one is told to both, and a real change does not wait for it.
    street.change(&from("web", decrement("last", &[("A", 1)]))).await;
    assert!(street.is_due(&street.web).await && street.is_due(&street.app).await);
    assert!(!is_told(&street, &street.web).await);
    street.change(&restock("i", &[("A", 4)])).await;
    for channel in [&street.web, &street.app] {
        let claim = street.claim(channel, "t").await;
        assert_eq!((claim.items[0].desired.published, claim.items[0].desired.version), (4, 3));
    }
    street.shop.close().await;
}

#[tokio::test]
async fn a_refused_sale_during_a_push_is_pushed_again_after_a_pause() {
    for partitions in both() {
        // The second time it is sold out, which is told ahead of everything else when it is news.
        for (units, passes_ms) in [(10, 0), (0, 20)] {
            let street = Street::open(Shop::open(partitions).await).await;
            street.change(&set("s", "A", units)).await;
            let claim = street.claim(&street.web, "t").await;
            street.shop.pass(passes_ms);
            street.change(&too_much("web", "too much")).await;
            street.shop.pass(passes_ms);
            let settled = street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
            assert!(matches!(settled[..], [Settled::Moved(_)]), "{settled:?}");
            let state = street.state(&street.web).await;
            assert_eq!(state.due_ms, Some(street.shop.now_ms() + RETELL_PAUSE_MS));
            // Nor is it sooner for another one.
            street.shop.pass(20);
            street.change(&too_much("app", "still too much")).await;
            assert_eq!(street.state(&street.web).await, state);
            street.shop.pass(RETELL_PAUSE_MS - 20);
            let again = street.claim(&street.web, "t2").await;
            assert!(!again.items[0].is_shown(), "{again:?}");
            let since = [&claim, &again].map(|claim| claim.items[0].desired.unconfirmed_since_ms);
            assert_ne!(since[0], since[1], "another message");
            let settled = street.settle(&street.web, "t2", &[applied(&again, 0)]).await;
            assert!(matches!(settled[..], [Settled::Confirmed(_)]), "{settled:?}");
            street.shop.close().await;
        }
    }
}

#[tokio::test]
async fn what_a_push_is_told_beside_a_refused_sale_does_not_wait() {
    for partitions in both() {
        let street = at_rest(Shop::open(partitions).await).await;
        street.change(&restock("i1", &[("A", 1)])).await;
        let claim = street.claim(&street.web, "t").await;
        street.change(&too_much("web", "too much")).await;
        street.change(&restock("i2", &[("A", 1)])).await;
        let settled = street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
        assert!(matches!(settled[..], [Settled::Moved(_)]), "{settled:?}");
        assert_eq!(street.state(&street.web).await.due_ms, Some(street.shop.now_ms()), "a newer version");
        let claim = street.claim(&street.web, "t").await;
        street.settle(&street.web, "t", &[applied(&claim, 0)]).await;

        // A change the channel asked for itself, which the claim has read already: what it shows nobody knows.
        street.change(&restock("i3", &[("A", 1)])).await;
        street.shop.answer(&from("web", restock("own", &[("A", 1)]))).await;
        let claim = street.claim(&street.web, "t").await;
        street.fan_out().await;
        street.change(&too_much("web", "too much again")).await;
        let settled = street.settle(&street.web, "t", &[applied(&claim, 0)]).await;
        assert!(matches!(settled[..], [Settled::Moved(_)]), "{settled:?}");
        assert_eq!(street.state(&street.web).await.due_ms, Some(street.shop.now_ms()), "its own change");
        street.shop.close().await;
    }
}

#[tokio::test]
async fn a_listing_that_is_paused_waits_like_any_other_for_what_it_has_confirmed() {
    for partitions in both() {
        let street = Street::in_sync_by(partitions, ChannelRules::default()).await;
        street.change(&decrement("all", &[("A", 10)])).await;
        street.shop.pass(300);
        assert_eq!(street.tell(&street.web).await.len(), 1);
        assert!(street.state(&street.web).await.confirmed_paused);
        street.shop.pass(300);
        street.change(&from("web", decrement("too much", &[("A", 1)]))).await;
        let due_ms = street.state(&street.web).await.due_ms;
        assert_eq!(due_ms, Some(street.shop.now_ms() - 300 + RETELL_PAUSE_MS));
        assert_eq!(street.state(&street.app).await.due_ms, Some(0), "what it was not told goes ahead");
        // An hour later nothing was told for long.
        street.shop.pass(3_600_000);
        assert_eq!((street.tell(&street.web).await.len(), street.tell(&street.app).await.len()), (1, 1));
        street.shop.pass(RETELL_PAUSE_MS);
        street.change(&from("web", decrement("too much again", &[("A", 1)]))).await;
        assert_eq!(street.state(&street.web).await.due_ms, Some(0));
        street.shop.close().await;
    }
}
