//! Telling a channel again what it was told: behind live changes, and shared by worker sets.

use std::time::Duration;

use stockgate::{channels::PushOutcome, domain::Partitions, store::WalkPosition};

use crate::{
    gateway::{SOON, eventually},
    requests::*,
    workers_crew::*,
};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("s{n:04}")).collect()
}

#[tokio::test]
async fn one_sku_is_told_again_and_no_other() {
    let (web, app) = ("rs-one-web", "rs-one-app");
    let shop = open(&[web, app], |_| {}).await;
    let channels = [Scripted::new(1, |_| takes()), Scripted::new(1, |_| takes())];
    let setups = vec![setup(web, &channels[0]), setup(app, &channels[1])];
    let crew = Crew::start(&shop.store, setups).await;
    stock(&shop, &[("a", 5), ("b", 5)]).await;
    for (name, of) in [(web, "a"), (web, "b"), (app, "a"), (app, "b")] {
        confirmed(&shop, name, of, 1).await;
    }
    assert!(shop.store.resync(&[channel(web)], Some(&sku("a"))).await.unwrap());
    eventually("it is told again", SOON, async || (channels[0].times("a") == 2).then_some(())).await;
    assert!(!shop.store.resync(&[channel(web)], Some(&sku("none"))).await.unwrap());
    at_rest(&shop, web).await;
    assert_eq!((channels[0].times("b"), channels[1].count()), (1, 2));
    let again = channels[0].told().pop().unwrap();
    assert_eq!((again.sku.as_str(), again.version, again.published), ("a", 1, 5));
    crew.leave().await;
    shop.close().await;
}

#[tokio::test]
async fn a_whole_channel_is_told_again_once_by_two_worker_sets() {
    let name = "rs-whole";
    let shop = open(&[name], |settings| settings.partitions = Partitions::new(16).unwrap()).await;
    let scripted = Scripted::new(10, |_| takes());
    let another = shop.another_gateway();
    let crews = [
        Crew::start(&shop.store, vec![setup(name, &scripted)]).await,
        Crew::start(&another.store, vec![setup(name, &scripted)]).await,
    ];
    let skus = names(600);
    for sku in &skus {
        stock(&shop, &[(sku, 5)]).await;
    }
    for sku in &skus {
        confirmed(&shop, name, sku, 1).await;
    }
    let before = scripted.told().len();
    assert_eq!(before, 600);
    assert!(shop.store.resync(&[channel(name)], None).await.unwrap());
    eventually("it is told everything again", SOON, async || (scripted.told().len() >= 1200).then_some(()))
        .await;
    eventually("the walk is over", SOON, async || {
        shop.store.seeding(&channel(name), None).await.unwrap().is_none().then_some(())
    })
    .await;
    at_rest(&shop, name).await;
    let told = scripted.told();
    for sku in &skus {
        let times = told.iter().filter(|item| item.sku.as_str() == sku).count();
        assert!((2..=3).contains(&times), "{sku} was told {times} times");
    }
    println!("a resync of 600 SKUs by two worker sets told {}", told.len() - before);
    for crew in crews {
        crew.leave().await;
    }
    another.close().await;
    shop.close().await;
}

#[tokio::test]
async fn live_changes_overtake_a_resync() {
    let name = "rs-behind";
    let shop = open(&[name], |_| {}).await;
    let scripted = Scripted::new(1, |_| Reply::Later(Duration::from_millis(10), PushOutcome::Applied));
    let skus = names(2000);
    for sku in &skus {
        stock(&shop, &[(sku, 5)]).await;
    }
    // What was sold before the channel came is not told live.
    for (partition, entries) in shop.read("nobody", 10_000).await {
        shop.store.fan_out(partition, &[], &entries).await.unwrap();
    }
    let crew = Crew::start(&shop.store, vec![setup(name, &scripted)]).await;
    assert!(shop.store.resync(&[channel(name)], None).await.unwrap());
    eventually("the resync runs", SOON, async || (scripted.count() > 50).then_some(())).await;
    for round in 0..5 {
        let before = scripted.count();
        let live = &skus[1990 - 100 * round];
        stock(&shop, &[(live, 4)]).await;
        confirmed(&shop, name, live, 2).await;
        // How many others went first: those on their way, and a few while the sale was carried. A loaded machine carries slowly.
        let others = scripted.calls()[before..].iter().position(|call| call.has(live)).unwrap();
        assert!(others < 300, "round {round}: {others} others were told first");
        println!("{others} were told before a live change");
    }
    let rest = shop.store.channel_counts(&channel(name)).await.unwrap();
    assert!(rest.behind > 300, "the test proves nothing: {rest:?}");
    crew.leave().await;
    shop.close().await;
}

#[tokio::test]
async fn a_worker_hears_of_marks_of_one_that_does_not_serve_its_channel() {
    let (ours, theirs) = ("rs-bell-ours", "rs-bell-theirs");
    let shop = open(&[ours], |_| {}).await;
    let other = shop.gateway_for(&[theirs]);
    // As long as it runs: who carries the first entry has heard of both.
    other.store.register_channels().await.unwrap();
    let (here, there) = (Scripted::new(1, |_| takes()), Scripted::new(1, |_| takes()));
    let crews = [
        Crew::start_with(&shop.store, vec![setup(ours, &here)], |settings| settings.poll_interval = HOUR)
            .await,
        Crew::start_with(&other.store, vec![setup(theirs, &there)], |settings| settings.poll_interval = HOUR)
            .await,
    ];
    // Each entry is carried by one of the two: some by the one that does not serve the channel.
    for sku in &names(60) {
        stock(&shop, &[(sku, 5)]).await;
        confirmed(&shop, ours, sku, 1).await;
        confirmed(&shop, theirs, sku, 1).await;
    }
    assert_eq!((here.count(), there.count()), (60, 60));
    for crew in crews {
        crew.leave().await;
    }
    other.close().await;
    shop.close().await;
}

#[tokio::test]
async fn a_page_of_the_walk_is_marked_once_whoever_walks() {
    let name = "rs-page";
    let shop = open(&[name], |_| {}).await;
    stock(&shop, &[("a", 5), ("b", 5)]).await;
    let seeding = shop.store.seeding(&channel(name), Some("here:so")).await.unwrap().unwrap();
    for _ in 0..2 {
        let next = shop.store.seed_channel(&seeding, WalkPosition::default()).await.unwrap();
        assert_eq!(next, None);
    }
    let counts = shop.store.channel_counts(&channel(name)).await.unwrap();
    assert_eq!((counts.due, counts.behind), (2, 2));
    assert!(shop.store.hold_walk(&channel(name), "one").await.unwrap());
    assert!(shop.store.hold_walk(&channel(name), "one").await.unwrap());
    assert!(!shop.store.hold_walk(&channel(name), "two").await.unwrap());
    shop.close().await;
}
