//! The bell every worker hears, and the entries that are set aside.

use redis::streams::StreamPendingReply;
use stockgate::{
    domain::{ChannelId, Partition},
    store::Ring,
};

use crate::{
    harness::{Shop, both},
    requests::*,
};

/// Longer than a ring needs; a read ends as soon as it rings.
const WAIT_MS: u64 = 5000;

#[tokio::test]
async fn a_ring_is_heard_by_every_reader_with_its_names() {
    let shop = Shop::open(both()[0]).await;
    let longest = "c".repeat(32);
    let names: Vec<ChannelId> =
        ["web", "a-b_c.1", &longest].into_iter().filter_map(|name| ChannelId::parse(name).ok()).collect();
    assert!(names.len() > 1, "{names:?}");
    shop.store.ring(&[channel("before")]).await.unwrap();
    let mut readers = [shop.store.bell_reader().await.unwrap(), shop.store.bell_reader().await.unwrap()];
    shop.store.ring(&names).await.unwrap();
    shop.store.ring(&[channel("app")]).await.unwrap();
    for reader in &mut readers {
        let mut heard = reader.next(WAIT_MS).await.unwrap();
        while heard.len() <= names.len() {
            heard.extend(reader.next(WAIT_MS).await.unwrap());
        }
        let expected: Vec<Ring> = names.iter().cloned().map(Ring::Channel).collect();
        assert_eq!(heard[..names.len()], expected, "and not what rang before");
        assert_eq!(heard[names.len()..], [Ring::Channel(channel("app"))]);
    }
    // Nobody rings: the read ends by itself; what was heard is not heard again.
    assert_eq!(readers[0].next(1).await.unwrap(), []);
    shop.close().await;
}

#[tokio::test]
async fn nobody_rings_for_no_channel_and_the_first_ring_of_all_is_heard() {
    let shop = Shop::open(both()[0]).await;
    let mut reader = shop.store.bell_reader().await.unwrap();
    shop.store.ring(&[]).await.unwrap();
    assert_eq!(reader.next(1).await.unwrap(), []);
    shop.store.ring(&[channel("web")]).await.unwrap();
    assert_eq!(reader.next(WAIT_MS).await.unwrap(), [Ring::Channel(channel("web"))]);
    shop.close().await;
}

#[tokio::test]
async fn a_ring_says_where_and_that_workers_came_or_went() {
    let shop = Shop::open(both()[1]).await;
    let mut reader = shop.store.bell_reader().await.unwrap();
    shop.store.ring_in(&[channel("web"), channel("app")], Partition(7)).await.unwrap();
    shop.store.ring_crew().await.unwrap();
    let mut heard = reader.next(WAIT_MS).await.unwrap();
    while heard.len() < 3 {
        heard.extend(reader.next(WAIT_MS).await.unwrap());
    }
    let marked = |name: &str| Ring::Marked { channel: channel(name), partition: Partition(7) };
    assert_eq!(heard, [marked("web"), marked("app"), Ring::Crew]);
    shop.close().await;
}

#[tokio::test]
async fn an_operators_resync_rings() {
    let shop = Shop::open(both()[0]).await;
    shop.stock(&[("A", 1)]).await;
    let mut reader = shop.store.bell_reader().await.unwrap();
    for wanted in [Some(sku("A")), None] {
        shop.store.resync(&[channel("web")], wanted.as_ref()).await.unwrap();
        assert_eq!(reader.next(WAIT_MS).await.unwrap(), [Ring::Channel(channel("web"))]);
    }
    shop.close().await;
}

async fn pending(shop: &Shop) -> usize {
    let mut command = redis::cmd("XPENDING");
    command.arg(shop.key("A", "ev")).arg("fanout");
    shop.redis::<StreamPendingReply>(&mut command).await.count()
}

#[tokio::test]
async fn an_entry_set_aside_is_acknowledged_and_its_text_is_kept() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        let home = partitions.of(&sku("A"));
        let events = shop.key("A", "ev");
        let mut add = redis::cmd("XADD");
        add.arg(&events).arg("*").arg("t").arg("5").arg("e").arg("no event at all");
        let id: String = shop.redis(&mut add).await;
        shop.applied(&set("good", "A", 5)).await;
        let read = shop.read("me", 10).await;
        let entries = &read[0].1;
        assert_eq!(entries.iter().map(|entry| entry.changes.is_some()).collect::<Vec<_>>(), [false, true]);
        // The good one is not kept waiting, and the bad one not thrown away.
        shop.store.fan_out(home, shop.store.channels(), entries).await.unwrap();
        assert_eq!(pending(&shop).await, 1);
        let text = async || {
            let mut read = redis::cmd("HGET");
            read.arg(shop.key("A", "poison")).arg(&id);
            shop.redis::<String>(&mut read).await
        };
        let entry = entries[0].id;
        shop.store.quarantine(home, entry).await.unwrap();
        assert_eq!(pending(&shop).await, 0);
        let kept = text().await;
        assert!(kept.contains("no event at all") && kept.contains(&id), "{kept}");
        shop.store.quarantine(home, entry).await.unwrap();
        assert_eq!(text().await, kept);
        // Set aside once more by a slow worker, after the stream was trimmed.
        shop.redis::<i64>(redis::cmd("XDEL").arg(&events).arg(&id)).await;
        shop.store.quarantine(home, entry).await.unwrap();
        assert_eq!(text().await, kept);
        shop.close().await;
    }
}
