//! The cluster of the tests is one: without this, what is green on it would mean nothing.

use nix::sys::signal::Signal;

use crate::{
    cluster_nodes::{Cluster, Extras, MASTERS, command},
    cluster_proxy::Cut,
    gateway::eventually,
    guarded::WITHIN,
};

/// Adds one to a number in the slot of `x`.
const SCRIPT: &str = "return redis.call('INCR', KEYS[1])";

#[tokio::test]
async fn each_master_has_its_slots_and_a_replica_takes_over_from_a_dead_and_from_a_frozen_one() {
    let mut cluster = Cluster::start().await;
    let keys = ["{p3}x", "{p2}x", "{p0}x"];
    for (node, key) in keys.into_iter().enumerate() {
        assert_eq!(cluster.master_of(key).await, node);
        cluster.tell::<()>(node, &["SET", key, "1"]).await;
        cluster.replicate(node).await;
    }
    let wrong = cluster.connection(0).await.unwrap();
    let refused = command(&["GET", keys[1]]).query_async::<i64>(&mut wrong.clone()).await.unwrap_err();
    assert_eq!(cluster.node_at(refused.redirect_node().unwrap().0), 1);

    cluster.kill(0).await;
    assert_eq!(cluster.successor_of(0, keys[0]).await, MASTERS);
    assert_eq!(cluster.tell::<i64>(MASTERS, &["GET", keys[0]]).await, 1);
    cluster.signal(1, Signal::SIGSTOP);
    assert_eq!(cluster.successor_of(1, keys[1]).await, 1 + MASTERS);
    cluster.signal(1, Signal::SIGCONT);
    cluster.raise(0);
    for node in [0, 1] {
        eventually("the old master follows the new one", WITHIN, async || {
            let role: redis::Value = cluster.ask(node, &command(&["ROLE"])).await?;
            let redis::Value::Array(role) = role else { return None };
            (role[0] == redis::Value::BulkString(b"slave".to_vec())).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_slot_moves_with_all_its_keys() {
    let cluster = Cluster::start_with(Extras::patient()).await;
    for key in 0..5 {
        cluster.tell::<()>(0, &["SET", &format!("{{p3}}{key}"), "1"]).await;
    }
    let begun = cluster.begin_move("{p3}").await;
    assert_eq!(begun.some_keys().await, 2);
    assert_eq!(begun.finish().await, 1);
    assert_eq!(cluster.tell::<i64>(1, &["CLUSTER", "COUNTKEYSINSLOT", "3689"]).await, 5);
    assert_eq!(cluster.master_of("{p3}").await, 1);
}

#[tokio::test]
async fn a_proxy_loses_what_it_is_told_to_lose() {
    let cluster = Cluster::start_with(Extras { has_proxies: true, ..Extras::patient() }).await;
    let proxies = cluster.proxies();
    let open = async || {
        let client =
            redis::Client::open(format!("redis://{}:{}", cluster.place(0).0, proxies.port(0))).unwrap();
        let settings = redis::AsyncConnectionConfig::new()
            .set_response_timeout(Some(std::time::Duration::from_millis(200)));
        client.get_multiplexed_async_connection_with_config(&settings).await
    };
    let sha: String = cluster.tell(0, &["SCRIPT", "LOAD", SCRIPT]).await;
    let run = command(&["EVALSHA", &sha, "1", "{p3}x"]);
    let read = async || cluster.tell::<i64>(0, &["GET", "{p3}x"]).await;
    let mut first = open().await.unwrap();
    run.query_async::<()>(&mut first).await.unwrap();
    for (cut, adds, is_cut) in
        [(Cut::Before, 0, true), (Cut::After, 1, true), (Cut::Answer, 1, false), (Cut::Silence, 1, false)]
    {
        let (done, before) = (proxies.done_count(), read().await);
        proxies.plan(cut, 2);
        let (mut used, mut other) = (open().await.unwrap(), open().await.unwrap());
        run.query_async::<()>(&mut used).await.unwrap();
        let fault = run.query_async::<()>(&mut used).await.unwrap_err();
        assert_eq!(fault.is_timeout(), cut == Cut::Silence, "{cut:?}: {fault}");
        eventually("it is done", WITHIN, async || (proxies.done_count() > done).then_some(())).await;
        assert_eq!(read().await, before + 1 + adds, "{cut:?}");
        let is_open = command(&["PING"]).query_async::<()>(&mut other).await.is_ok();
        assert_eq!(is_open, !is_cut, "{cut:?}: another connection");
        if is_cut {
            assert!(open().await.is_err());
        }
        proxies.heal();
        run.query_async::<()>(&mut open().await.unwrap()).await.unwrap();
        assert_eq!(proxies.script_count(), 1);
    }
}
