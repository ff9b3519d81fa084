//! Channels that sell themselves, and lower their own number when they do: what they are told must count that in.

use nix::sys::signal::Signal;
use stockgate::proto::DecrementRequest;

use crate::{
    gateway::{SOON, Setup, eventually, signal},
    gateway_calls::{count, sale},
    gateway_receiver::{Mode, Receiver, SECRET},
    gateway_redis::Redis,
};

/// A sale the web shop made itself.
fn own_sale(key: &str, quantity: i64) -> DecrementRequest {
    DecrementRequest { channel: "web".to_owned(), ..sale(key, "a", quantity) }
}

#[tokio::test]
async fn an_own_sale_made_good_before_it_was_carried_is_told() {
    let web = Receiver::start().await;
    let setup = Setup::on(Redis::shared().await).channel("web", &web.url(), SECRET, "");
    let (gateway, worker) = (setup.serve_as("gateway").await, setup.serve_as("worker").await);
    gateway.put(&[("a", 10)]).await;
    gateway.in_sync("web", "a").await;
    signal(worker.pid(), Signal::SIGSTOP);
    // The read that is open gets this one; the next read gets both others: 10 units again, and a shop that shows 7.
    gateway.put(&[("b", 10)]).await;
    gateway.stock().decrement(own_sale("k1", 3)).await.unwrap();
    gateway.inventory().set_stock(count("k2", "a", 10)).await.unwrap();
    signal(worker.pid(), Signal::SIGCONT);
    gateway.in_sync("web", "a").await;
    assert_eq!((web.versions("a"), web.shows("a").unwrap().quantity), (vec![1, 3], 10));
}

#[tokio::test]
async fn an_own_sale_made_good_while_the_channel_was_being_told_is_told() {
    let web = Receiver::start().await;
    let setup = Setup::on(Redis::shared().await).channel("web", &web.url(), SECRET, "");
    let gateway = setup.serve().await;
    gateway.put(&[("a", 10)]).await;
    gateway.in_sync("web", "a").await;
    web.set(Mode::Mute);
    gateway.sell("k1", "a", 1).await;
    eventually("it is being told", SOON, async || (web.open_calls() == 1).then_some(())).await;
    // It is told 9, has sold 3 of them, and 3 come back: its shop shows 6.
    gateway.stock().decrement(own_sale("k2", 3)).await.unwrap();
    gateway.inventory().set_stock(count("k3", "a", 9)).await.unwrap();
    web.set(Mode::Up);
    // A claim that runs ahead of these two events finds the 9 that was told, and takes it for shown until they are carried.
    eventually("it is told again", SOON, async || (web.versions("a").len() > 2).then_some(())).await;
    gateway.in_sync("web", "a").await;
    assert_eq!((web.versions("a"), web.shows("a").unwrap().quantity), (vec![1, 2, 4], 9));
}
