//! Those who watch hear that a stream grew, and which.

use stockgate::{
    domain::Partitions,
    store::{AtomicDomain, EntryId, Tail},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{gateway::SOON, harness::Shop, requests::sku, workers_crew::stock};

#[tokio::test]
async fn who_watches_hears_which_stream_grew() {
    let partitions = Partitions::new(16).unwrap();
    for domain in [AtomicDomain::Node, AtomicDomain::Partition] {
        let shop = Shop::open_with(partitions, |settings| settings.domain = domain).await;
        let (tail, stop) = (Tail::default(), CancellationToken::new());
        let follower = tokio::spawn(shop.store.clone().follow(tail.clone(), stop.clone()));
        let home = partitions.of(&sku("A"));
        // The second one begins after nobody watched.
        for round in 1..=2 {
            let mut growth = tail.listen();
            let mut end = EntryId::default();
            for count in 1..=3 {
                stock(&shop, &[("A", 10 * round + count)]).await;
                let heard = async { while growth.changed().await && !growth.may_follow(home, end) {} };
                timeout(SOON, heard).await.expect("it is told that the stream grew");
                let entries =
                    shop.store.entries(home, EntryId::default(), EntryId::END, 100, false).await.unwrap();
                end = entries.last().unwrap().id;
                assert!(growth.may_follow(home, EntryId::default()));
            }
            let silent = partitions.all().filter(|partition| *partition != home);
            let told: Vec<_> =
                silent.filter(|partition| growth.may_follow(*partition, EntryId::default())).collect();
            assert_eq!(told, [], "they did not grow: {domain:?}");
        }
        stop.cancel();
        follower.await.unwrap();
        shop.close().await;
    }
}
