//! Workers that share the partitions, as on a cluster: every stream is read by one that is there, whoever comes and goes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use stockgate::{
    domain::{Partition, Partitions, partition_owner},
    store::{Address, AtomicDomain, DroppedWindows, EntryId, LinkSettings, StoreSettings},
    workers::WorkerSettings,
};

use crate::{
    gateway::{SOON, eventually},
    harness::{RETENTION_MS, START_MS, Shop},
    requests::{channel, reserve, sku},
    server::Server,
    workers_crew::*,
};

fn sixteen() -> Partitions {
    Partitions::new(16).unwrap()
}

/// A shop whose scripts touch one partition each.
async fn split(names: &[&str], change: impl FnOnce(&mut StoreSettings)) -> Shop {
    open(names, |settings| {
        settings.partitions = sixteen();
        settings.domain = AtomicDomain::Partition;
        settings.pool_max = 64;
        change(settings);
    })
    .await
}

/// A SKU of each partition.
fn one_of_each(partitions: Partitions) -> Vec<String> {
    let mut found: HashMap<Partition, String> = HashMap::new();
    for n in 0.. {
        let name = format!("s{n}");
        found.entry(partitions.of(&sku(&name))).or_insert(name);
        if found.len() == usize::from(partitions.count()) {
            break;
        }
    }
    let mut names: Vec<String> = found.into_values().collect();
    names.sort();
    names
}

/// A worker that only its own reading wakes, and its channel.
struct Member {
    name: String,
    shop: Shop,
    scripted: Arc<Scripted>,
    crew: Crew,
}

impl Member {
    async fn join(shop: &Shop, channel_name: &str, name: &str) -> Self {
        Self::join_with(shop, channel_name, name, |_| {}).await
    }

    async fn join_with(
        shop: &Shop,
        channel_name: &str,
        name: &str,
        change: impl FnOnce(&mut WorkerSettings),
    ) -> Self {
        let (shop, scripted) = (shop.another_gateway(), Scripted::new(1, |_| takes()));
        let crew = Crew::start_with(&shop.store, vec![setup(channel_name, &scripted)], |settings| {
            settings.poll_interval = HOUR;
            settings.consumer = name.to_owned();
            change(settings);
        })
        .await;
        Self { name: name.to_owned(), shop, scripted, crew }
    }

    async fn leave(self) {
        self.crew.leave().await;
        self.shop.close().await;
    }
}

/// Changes every SKU and waits until it is told: by the worker its partition belongs to, once shares have settled.
async fn everybody_reads_his_share(shop: &Shop, channel_name: &str, members: &[&Member], round: &mut i64) {
    let workers: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
    let names = one_of_each(sixteen());
    eventually("every partition is read by its worker", SOON, async || {
        *round += 1;
        let before: Vec<usize> = members.iter().map(|member| member.scripted.count()).collect();
        let counts: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), *round)).collect();
        stock(shop, &counts).await;
        for name in &names {
            confirmed(shop, channel_name, name, *round).await;
        }
        let is_by_owner = members.iter().zip(before).all(|(member, before)| {
            let told = member.scripted.told();
            let is_mine =
                |name: &str| partition_owner(sixteen().of(&sku(name)), &workers) == Some(&member.name);
            told[before..].iter().all(|item| is_mine(item.sku.as_str()))
        });
        is_by_owner.then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_partition_is_read_by_one_of_the_workers_that_come_and_go() {
    let name = "rd-share";
    let shop = split(&[name], |_| {}).await;
    let mut round = 0;
    let first = Member::join(&shop, name, "first").await;
    everybody_reads_his_share(&shop, name, &[&first], &mut round).await;
    let second = Member::join(&shop, name, "second").await;
    let third = Member::join(&shop, name, "third").await;
    everybody_reads_his_share(&shop, name, &[&first, &second, &third], &mut round).await;
    for member in [&first, &second, &third] {
        assert!(member.scripted.count() > 0, "{} has a share", member.name);
    }
    first.leave().await;
    everybody_reads_his_share(&shop, name, &[&second, &third], &mut round).await;
    let fourth = Member::join(&shop, name, "fourth").await;
    third.leave().await;
    everybody_reads_his_share(&shop, name, &[&second, &fourth], &mut round).await;
    second.leave().await;
    fourth.leave().await;
    let mut left = redis::cmd("EXISTS");
    left.arg(format!("{}:workers", shop.settings.namespace));
    assert_eq!(shop.redis::<i64>(&mut left).await, 0, "who goes says so");
    shop.close().await;
}

#[tokio::test]
async fn what_a_killed_worker_had_is_read_by_the_others() {
    let name = "rd-killed";
    let shop = split(&[name], |_| {}).await;
    let names = one_of_each(sixteen());
    let stays = Member::join_with(&shop, name, "stays", |settings| {
        settings.poll_interval = Duration::from_millis(200);
    })
    .await;
    // A process of its own, as far as Redis sees: nothing of it says goodbye.
    let killed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let settings = shop.another_gateway();
    let joined = {
        let (settings, name) = (settings, name.to_owned());
        killed.spawn(async move { Member::join(&settings, &name, "killed").await })
    };
    let member = joined.await.unwrap();
    let mut version = 0;
    eventually("it reads its share", SOON, async || {
        version += 1;
        let counts: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), version)).collect();
        stock(&shop, &counts).await;
        (member.scripted.count() > 0).then_some(())
    })
    .await;
    // In the middle of its work.
    let counts: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), version + 1)).collect();
    let (_, ()) = tokio::join!(stock(&shop, &counts), async { killed.shutdown_background() });
    stock(&shop, &counts.iter().map(|(name, count)| (*name, count + 1)).collect::<Vec<_>>()).await;
    for name_of in &names {
        // What it had leased is leased to nobody until its time is over.
        eventually("it is read, and told or leased", SOON, async || {
            let state = state(&shop, name, name_of).await;
            let is_in_hand = state.lease_end_ms.is_some();
            (state.confirmed_version >= version + 2 || is_in_hand).then_some(())
        })
        .await;
    }
    stays.leave().await;
    shop.close().await;
}

#[tokio::test]
async fn what_a_dead_worker_had_read_is_carried_by_another() {
    let name = "rd-adopt";
    let shop = split(&[name], |_| {}).await;
    shop.store.register_channels().await.unwrap();
    let names = one_of_each(sixteen());
    let counts: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 5)).collect();
    stock(&shop, &counts).await;
    let all: Vec<Partition> = sixteen().all().collect();
    for (partition, read) in shop.store.read_each("dead", &all, 100).await {
        // Long ago.
        let mut claim = redis::cmd("XCLAIM");
        claim
            .arg(format!("{}:{{p{partition}}}:ev", shop.settings.namespace))
            .arg("fanout")
            .arg("dead")
            .arg(0);
        claim.arg(read.unwrap().iter().map(|entry| entry.id.to_string()).collect::<Vec<_>>());
        shop.redis::<Vec<String>>(claim.arg("IDLE").arg(60_000).arg("JUSTID")).await;
    }
    let member = Member::join(&shop, name, "alive").await;
    for name_of in &names {
        confirmed(&shop, name, name_of, 1).await;
    }
    member.leave().await;
    shop.close().await;
}

#[tokio::test]
async fn a_worker_with_more_partitions_than_readers_reads_them_all() {
    let name = "rd-rest";
    let shop = split(&[name], |_| {}).await;
    for readers_max in [0, 3] {
        let member = Member::join_with(&shop, name, "alone", |settings| {
            settings.blocking_readers_max = readers_max;
        })
        .await;
        let names = one_of_each(sixteen());
        let versions = i64::try_from(readers_max).unwrap();
        for round in 1..=2 {
            let counts: Vec<(&str, i64)> =
                names.iter().map(|name| (name.as_str(), versions + round)).collect();
            stock(&shop, &counts).await;
            for name_of in &names {
                let before = if readers_max == 0 { 0 } else { 2 };
                confirmed(&shop, name, name_of, before + round).await;
            }
        }
        member.leave().await;
    }
    shop.close().await;
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_keeps_no_other_from_being_read() {
    let name = "rd-sick";
    let shop = split(&[name], |_| {}).await;
    let names = one_of_each(sixteen());
    let (sick, others) = names.split_first().unwrap();
    for readers_max in [256, 0] {
        let events = shop.key(sick, "ev");
        shop.redis::<()>(redis::cmd("DEL").arg(&events)).await;
        shop.redis::<()>(redis::cmd("SET").arg(&events).arg("no stream")).await;
        let member = Member::join_with(&shop, name, "reads", |settings| {
            settings.blocking_readers_max = readers_max;
        })
        .await;
        let next = async |name_of: &str| state(&shop, name, name_of).await.confirmed_version + 1;
        for name_of in others {
            let version = next(name_of).await;
            stock(&shop, &[(name_of, 100 + version)]).await;
            confirmed(&shop, name, name_of, version).await;
        }
        shop.redis::<()>(redis::cmd("DEL").arg(&events)).await;
        let version = next(sick).await;
        stock(&shop, &[(sick, 100 + version)]).await;
        confirmed(&shop, name, sick, version).await;
        member.leave().await;
    }
    shop.close().await;
}

#[tokio::test]
async fn a_partition_that_nobody_reads_is_read_all_the_same() {
    let name = "rd-patrol";
    let shop = split(&[name], |_| {}).await;
    // Somebody who is believed to be there and is not: most of the partitions are his.
    let phantoms: Vec<String> = (0..9).map(|n| format!("phantom-{n}")).collect();
    let haunting = {
        let (store, phantoms) = (shop.store.clone(), phantoms.clone());
        tokio::spawn(async move {
            loop {
                for phantom in &phantoms {
                    store.announce(phantom).await.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(200)).await; // why: those who are there say so again and again
            }
        })
    };
    let member = Member::join_with(&shop, name, "real", |settings| {
        settings.poll_interval = Duration::from_millis(100);
    })
    .await;
    let names = one_of_each(sixteen());
    let counts: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 5)).collect();
    stock(&shop, &counts).await;
    for name_of in &names {
        confirmed(&shop, name, name_of, 1).await;
    }
    haunting.abort();
    member.leave().await;
    shop.close().await;
}

/// A read whose answer is lost may be carried out while its consumer leaves.
#[tokio::test]
async fn a_consumer_that_leaves_takes_nothing_along_that_it_was_given_meanwhile() {
    let shop = split(&[], |_| {}).await;
    let reader = shop.another_gateway();
    let names = one_of_each(sixteen());
    let all: Vec<Partition> = sixteen().all().collect();
    for round in 0..100 {
        let counts: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), round)).collect();
        stock(&shop, &counts).await;
        let (read, ()) =
            tokio::join!(reader.store.read_each("leaver", &all, 10), shop.store.leave_group("leaver"));
        let given: usize = read.iter().map(|(_, entries)| entries.as_ref().unwrap().len()).sum();
        let mut left = 0;
        for partition in &all {
            let (entries, _) =
                shop.store.adopt_entries(*partition, "heir", 0, EntryId::default(), 100).await.unwrap();
            left += entries.len();
            shop.store.fan_out(*partition, &[], &entries).await.unwrap();
        }
        assert_eq!((given, left), (names.len(), names.len()), "round {round}");
    }
    shop.close().await;
}

/// Redis serves one partition's windows to nobody, as if its server were away.
#[tokio::test]
async fn old_windows_are_dropped_wherever_that_can_be_done() {
    let server = Server::start();
    let open = async |address: Address| {
        Shop::open_with(sixteen(), |settings| {
            settings.domain = AtomicDomain::Partition;
            settings.link = LinkSettings::new(address);
        })
        .await
    };
    let shop = open(server.address()).await;
    let namespace = shop.settings.namespace.clone();
    let names = one_of_each(sixteen());
    let counts: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 5)).collect();
    shop.stock(&counts).await;
    shop.pass(3 * RETENTION_MS);
    let mut rights = redis::cmd("ACL");
    rights.arg("SETUSER").arg("half").arg("on").arg(">secret").arg("+@all").arg("&*");
    rights.arg(format!("~{namespace}:meta"));
    for partition in 1..16 {
        rights.arg(format!("~{namespace}:{{p{partition}}}:*"));
    }
    shop.redis::<()>(&mut rights).await;
    let limited = Address::parse(&format!("{}?user=half&pass=secret", server.url)).unwrap();
    let half = shop.another_gateway_at(limited);
    let old = async || {
        let window = START_MS / RETENTION_MS;
        shop.redis::<Vec<String>>(redis::cmd("KEYS").arg(format!("{namespace}:*:rec:{window}"))).await
    };
    assert_eq!(old().await.len(), 16);
    let mut dropped = DroppedWindows::default();
    half.store.drop_old_windows(&mut dropped).await.unwrap_err();
    assert_eq!(old().await, [format!("{namespace}:{{p0}}:rec:{}", START_MS / RETENTION_MS)]);
    let before = ran(&shop).await["unlink"];
    half.store.drop_old_windows(&mut dropped).await.unwrap_err();
    assert_eq!(ran(&shop).await["unlink"], before, "what is dropped is dropped once");
    shop.redis::<()>(redis::cmd("ACL").arg("SETUSER").arg("half").arg("~*")).await;
    half.store.drop_old_windows(&mut dropped).await.unwrap();
    assert_eq!(old().await, Vec::<String>::new());
    half.close().await;
    shop.close().await;
}

/// How often a private Redis ran each command.
async fn ran(shop: &Shop) -> HashMap<String, u64> {
    let text: String = shop.redis(redis::cmd("INFO").arg("commandstats")).await;
    let calls = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    text.lines().filter_map(calls).collect()
}

#[tokio::test]
async fn an_idle_worker_asks_little_and_a_change_costs_the_same_over_any_number_of_partitions() {
    let names = ["rd-idle-a", "rd-idle-b", "rd-idle-c"];
    let server = Server::start();
    let count = 256;
    let shop = split(&names, |settings| {
        settings.link = LinkSettings::new(server.address());
        settings.partitions = Partitions::new(count).unwrap();
        settings.pool_max = 300;
    })
    .await;
    let scripted = Scripted::new(10, |_| takes());
    let setups = names.iter().map(|name| setup(name, &scripted)).collect();
    let crew = Crew::start_with(&shop.store, setups, |settings| {
        settings.poll_interval = Duration::from_millis(200);
    })
    .await;
    stock(&shop, &[("warm", 5)]).await;
    for name in names {
        confirmed(&shop, name, "warm", 1).await;
    }
    let held = one_of_each(Partitions::new(count).unwrap());
    for name in &held {
        stock(&shop, &[(name, 1)]).await;
        shop.applied(&reserve("held", &[(name, 1)], 3_600_000)).await;
    }
    for name in names {
        at_rest(&shop, name).await;
    }
    let of = |ran: &HashMap<String, u64>, name: &str| ran.get(name).copied().unwrap_or(0);
    let rounds = |ran: &HashMap<String, u64>| of(ran, "xinfo|groups") / u64::from(count);
    let before = ran(&shop).await;
    let after = eventually("it looks several times", SOON, async || {
        let now = ran(&shop).await;
        (rounds(&now) >= rounds(&before) + 20).then_some(now)
    })
    .await;
    let during = |name: &str| of(&after, name) - of(&before, name);
    let looks = rounds(&after) - rounds(&before) + 1;
    // Streams are looked at by the patrol and the gauges, due sets by the lookout and the gauges, holds by the sweeper.
    assert!(during("time") <= 4 * looks, "not for each partition with a hold: {}", during("time"));
    for (name, most) in [("evalsha", 0), ("xautoclaim", 0), ("exists", looks + 2), ("zrange", looks)] {
        assert!(during(name) <= most * u64::from(count), "{name}: {} in {looks} looks", during(name));
    }

    let before = ran(&shop).await;
    stock(&shop, &[("one", 5)]).await;
    for name in names {
        confirmed(&shop, name, "one", 1).await;
        at_rest(&shop, name).await;
    }
    let after = ran(&shop).await;
    let scripts = of(&after, "evalsha") - of(&before, "evalsha");
    assert!(scripts <= 20, "transact, fan_out, and for each channel permit, claim, settle: {scripts}");
    crew.leave().await;
    assert_eq!(shop.store.channel_counts(&channel(names[0])).await.unwrap().due, 0);
    shop.close().await;
}
