//! Dead letters and streams as operators see them: over gRPC, and on the command line.

use serde_json::Value;
use stockgate::proto::{
    BreakerState, DiscardDeadLettersRequest, EventKind, GetStreamStatsRequest, GetSyncStatusRequest,
    ListChannelsRequest, ListDeadLettersRequest, ListEventsRequest, PauseChannelRequest,
    ReplayDeadLettersRequest, ResumeChannelRequest, ResyncRequest,
};
use tonic::Code;

use crate::{
    gateway::{Gateway, Setup},
    gateway_calls::check_status,
    gateway_receiver::SECRET,
    gateway_redis::Redis,
};

/// A moment long ago, in ms.
const DEAD_MS: i64 = 1_700_000_000_000;

/// A gateway without workers, whose channel web has dead letters of `skus`.
async fn graveyard(skus: &[&str]) -> (Setup, Gateway) {
    let redis = Redis::shared().await;
    let setup = Setup::on_one_partition(redis)
        .channel("web", "http://127.0.0.1:9/stock", SECRET, "buffer = 1")
        .channel("app", "http://127.0.0.1:9/stock", SECRET, "");
    let gateway = setup.serve_as("gateway").await;
    let counts: Vec<(&str, i64)> = skus.iter().map(|name| (*name, 5)).collect();
    gateway.put(&counts).await;
    let key = |rest: &str| format!("{}:{{p0}}:{rest}", setup.namespace);
    let mut pipeline = redis::pipe();
    for (name, n) in skus.iter().zip(0..) {
        pipeline.hset(key("work:web"), name, format!("20 - 0 {} 0 1 503 busy", DEAD_MS - 1_000)).ignore();
        pipeline.zadd(key("dead:web"), name, DEAD_MS + n).ignore();
    }
    pipeline.query_async::<()>(&mut redis.connection().await).await.unwrap();
    (setup, gateway)
}

#[tokio::test]
async fn letters_are_listed_replayed_and_told_of_in_status_and_events() {
    let (_setup, mut gateway) = graveyard(&["a", "b", "c"]).await;
    let mut channels = gateway.channels();
    let first = ListDeadLettersRequest { page_size: 2, ..ListDeadLettersRequest::default() };
    let page = channels.list_dead_letters(first.clone()).await.unwrap().into_inner();
    let letter = &page.dead_letters[0];
    assert_eq!((letter.channel.as_str(), letter.sku.as_str(), letter.attempts), ("web", "a", 20));
    assert_eq!(letter.dead_time.as_ref().unwrap().seconds, DEAD_MS / 1_000);
    assert_eq!(letter.oldest_unconfirmed_time.as_ref().unwrap().seconds, DEAD_MS / 1_000 - 1);
    assert_eq!((letter.wanted_quantity, letter.version, letter.last_error.as_str()), (4, 1, "503 busy"));
    let rest = ListDeadLettersRequest { page_token: page.next_page_token.clone(), ..first };
    let rest = channels.list_dead_letters(rest).await.unwrap().into_inner();
    assert_eq!((page.dead_letters.len(), rest.dead_letters.len()), (2, 1));
    assert_eq!(rest.next_page_token, "");

    let listed = channels.list_channels(ListChannelsRequest {}).await.unwrap().into_inner().channels;
    let dead: Vec<i64> = listed.iter().map(|status| status.dead_count).collect();
    assert_eq!(dead, [3, 0]);
    let status = channels.get_sync_status(GetSyncStatusRequest { sku: "a".to_owned() }).await.unwrap();
    let on_web = &status.get_ref().channels[0];
    assert!(on_web.dead && !on_web.in_sync, "{on_web:?}");
    assert!(on_web.explanation.starts_with("dead since 2023-11-14T22:13:20Z"), "{on_web:?}");

    let replay = ReplayDeadLettersRequest {
        channel: "web".to_owned(),
        sku: "b".to_owned(),
        dry_run: true,
        actor: "ann".to_owned(),
        reason: "mended".to_owned(),
        ..ReplayDeadLettersRequest::default()
    };
    let would = channels.replay_dead_letters(replay.clone()).await.unwrap().into_inner();
    assert_eq!((would.matched_count, would.replayed_count, would.sample.len()), (1, 0, 1));
    assert_eq!(gateway.log_count("dead letters replayed"), 0);
    let did = channels.replay_dead_letters(ReplayDeadLettersRequest { dry_run: false, ..replay }).await;
    assert_eq!(did.unwrap().into_inner().replayed_count, 1);
    let line = gateway.logged("dead letters replayed").await;
    assert_eq!(
        (&line["actor"], &line["reason"], &line["treated"]),
        (&"ann".into(), &"mended".into(), &1.into())
    );

    let discard = DiscardDeadLettersRequest {
        error_contains: "BUSY".to_owned(),
        actor: "ann".to_owned(),
        reason: "gone there".to_owned(),
        ..DiscardDeadLettersRequest::default()
    };
    let did = channels.discard_dead_letters(discard).await.unwrap().into_inner();
    assert_eq!((did.matched_count, did.discarded_count), (2, 2));
    let events =
        gateway.inventory().list_events(ListEventsRequest::default()).await.unwrap().into_inner().events;
    let told: Vec<_> = events[3..]
        .iter()
        .map(|event| {
            (event.kind(), event.sku.as_str(), event.channel.as_str(), event.actor.as_str(), event.version)
        })
        .collect();
    let replayed = (EventKind::Replayed, "b", "web", "ann", 1);
    let discarded = |name| (EventKind::Discarded, name, "web", "ann", 1);
    assert_eq!(told, [replayed, discarded("a"), discarded("c")]);
}

#[tokio::test]
async fn a_token_carries_the_moment_of_the_first_call() {
    let (setup, gateway) = graveyard(&["a"]).await;
    let mut channels = gateway.channels();
    let request = ListDeadLettersRequest { page_size: 1, ..ListDeadLettersRequest::default() };
    let listed = channels.list_dead_letters(request).await.unwrap().into_inner();
    let foreign = ReplayDeadLettersRequest {
        page_token: listed.next_page_token.clone(),
        ..ReplayDeadLettersRequest::default()
    };
    let refused = channels.replay_dead_letters(foreign).await.unwrap_err();
    check_status(&refused, Code::InvalidArgument, "MALFORMED_REQUEST");
    // What will die after this call is not treated by it, however far its pages go.
    let later = DEAD_MS * 3;
    let key = format!("{}:{{p0}}:dead:web", setup.namespace);
    let mut connection = Redis::shared().await.connection().await;
    redis::cmd("ZADD").arg(key).arg(later).arg("a").query_async::<()>(&mut connection).await.unwrap();
    let did = channels.replay_dead_letters(ReplayDeadLettersRequest::default()).await.unwrap().into_inner();
    assert_eq!((did.matched_count, did.replayed_count, did.next_page_token.as_str()), (0, 0, ""));
}

#[tokio::test]
async fn unknown_channels_are_named_with_those_there_are() {
    let (_setup, gateway) = graveyard(&["a"]).await;
    let mut channels = gateway.channels();
    let name = || "wbe".to_owned();
    let (actor, reason) = (|| "ann".to_owned(), || "x".to_owned());
    let list = ListDeadLettersRequest { channel: name(), ..ListDeadLettersRequest::default() };
    let replay = ReplayDeadLettersRequest { channel: name(), ..ReplayDeadLettersRequest::default() };
    let discard = DiscardDeadLettersRequest {
        channel: name(),
        actor: actor(),
        reason: reason(),
        ..DiscardDeadLettersRequest::default()
    };
    let pause = PauseChannelRequest { channel: name(), actor: actor(), reason: reason() };
    let resync = ResyncRequest { channel: name(), ..ResyncRequest::default() };
    let refused = [
        channels.list_dead_letters(list).await.unwrap_err(),
        channels.replay_dead_letters(replay).await.unwrap_err(),
        channels.discard_dead_letters(discard).await.unwrap_err(),
        channels.pause_channel(pause).await.unwrap_err(),
        channels.resume_channel(ResumeChannelRequest { channel: name(), actor: actor() }).await.unwrap_err(),
        channels.resync(resync).await.unwrap_err(),
    ];
    for status in refused {
        check_status(&status, Code::NotFound, "UNKNOWN_CHANNEL");
        assert_eq!(status.message(), "no channel wbe: configured are web, app");
    }
}

#[tokio::test]
async fn streams_are_counted_for_operators() {
    let (_setup, gateway) = graveyard(&["a", "b"]).await;
    let stats = gateway.channels().get_stream_stats(GetStreamStatsRequest {}).await.unwrap().into_inner();
    let stream = &stats.streams[0];
    assert_eq!((stats.streams.len(), stream.partition, stream.entry_count), (1, 0, 2));
    assert_eq!((stream.pending_count, stream.undelivered_count, stream.poison_count), (0, Some(2), 0));
    let seconds = |time: &Option<prost_types::Timestamp>| time.as_ref().unwrap().seconds;
    assert!(seconds(&stream.first_entry_time) <= seconds(&stream.last_entry_time));
}

#[tokio::test]
async fn channels_are_resynced_paused_and_resumed_and_say_so() {
    let (setup, mut gateway) = graveyard(&["a"]).await;
    let mut channels = gateway.channels();
    let key = |rest: &str| format!("{}:{{p0}}:{rest}", setup.namespace);
    let (code, said, _) = run(&setup, &gateway, "channels resync app --sku a").await;
    assert_eq!((code, said.as_str()), (0, "a is told again, on 1 channels\n"));
    let status = channels.get_sync_status(GetSyncStatusRequest { sku: "a".to_owned() }).await.unwrap();
    let on_app = &status.get_ref().channels[1];
    assert_eq!(on_app.next_attempt_time, None, "it has no moment of its own");
    assert!(on_app.explanation.starts_with("waiting to be told when nothing live is due"), "{on_app:?}");
    let (code, _, said) = run(&setup, &gateway, "channels resync app --sku nobody").await;
    assert_eq!((code, said.contains("UNKNOWN_SKU")), (1, true), "{said}");
    let mut connection = Redis::shared().await.connection().await;
    redis::cmd("ZADD").arg(key("due:app")).arg(1).arg("a").query_async::<()>(&mut connection).await.unwrap();
    redis::cmd("ZADD")
        .arg(key("dirty:app"))
        .arg(1)
        .arg("a")
        .query_async::<()>(&mut connection)
        .await
        .unwrap();

    let (code, said, _) = run(&setup, &gateway, "channels pause app --reason check").await;
    assert_eq!((code, said.starts_with("app is paused")), (0, true), "{said}");
    let line = gateway.logged("a channel was paused").await;
    assert_eq!(
        (&line["channel"], &line["actor"], &line["reason"]),
        (&"app".into(), &"mia".into(), &"check".into())
    );
    let listed = channels.list_channels(ListChannelsRequest {}).await.unwrap().into_inner().channels;
    assert!(!listed[0].paused && listed[1].paused, "{listed:?}");
    assert_eq!((listed[1].paused_by.as_str(), listed[1].pause_reason.as_str()), ("mia", "check"));
    assert!(listed[1].pause_time.is_some());
    assert_eq!(listed[1].breaker(), BreakerState::Closed);
    let status = channels.get_sync_status(GetSyncStatusRequest { sku: "a".to_owned() }).await.unwrap();
    let why = &status.get_ref().channels[1].explanation;
    assert!(why.starts_with("the channel is paused by mia: check, behind for "), "{why}");

    let (code, said, _) = run(&setup, &gateway, "channels resume app").await;
    assert_eq!((code, said.as_str()), (0, "app is told again\n"));
    gateway.logged("a channel was resumed").await;
    let listed = channels.list_channels(ListChannelsRequest {}).await.unwrap().into_inner().channels;
    assert!(!listed[1].paused, "{listed:?}");
    let nameless = PauseChannelRequest { channel: "app".to_owned(), ..PauseChannelRequest::default() };
    let refused = channels.pause_channel(nameless).await.unwrap_err();
    check_status(&refused, Code::InvalidArgument, "MALFORMED_REQUEST");
}

/// Runs a command of the binary: exit code, stdout, stderr.
async fn run(setup: &Setup, gateway: &Gateway, line: &str) -> (i32, String, String) {
    let mut command = setup.command();
    command
        .args(line.split(' '))
        .env("STOCKGATE_GATEWAY", format!("http://{}", gateway.grpc))
        .env("USER", "mia");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn dead_letters_are_treated_on_the_command_line() {
    let (setup, gateway) = graveyard(&["a", "b", "c"]).await;
    let (code, listed, said) = run(&setup, &gateway, "dead list -o json --limit 2").await;
    assert_eq!((code, said.contains("raise --limit")), (0, true), "{said}");
    let rows: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[1]["sku"], &rows[1]["wanted_quantity"]), (2, &"b".into(), &4.into()));

    let (code, shown, _) = run(&setup, &gateway, "dead replay --dry-run --error BUSY").await;
    assert_eq!((code, shown.starts_with("3 dead letters would be replayed:\n")), (0, true), "{shown}");
    let (code, done, _) = run(&setup, &gateway, "dead replay --sku b --reason mended").await;
    assert_eq!((code, done.as_str()), (0, "1 dead letters replayed\n"));
    let (code, _, said) = run(&setup, &gateway, "dead discard --channel web").await;
    assert_eq!((code, said.contains("--reason")), (2, true), "{said}");
    let (code, _, said) = run(&setup, &gateway, "dead discard --reason gone").await;
    assert_eq!((code, said.contains("all: must be true")), (2, true), "{said}");
    let (code, done, _) = run(&setup, &gateway, "dead discard --all --reason gone -o json").await;
    let done: Value = serde_json::from_str(&done).unwrap();
    assert_eq!((code, &done["treated_count"], &done["dry_run"]), (0, &2.into(), &false.into()));
    let (_, events, _) = run(&setup, &gateway, "events list --newest-first --limit 1 -o json").await;
    let event: Value = serde_json::from_str(&events).unwrap();
    assert_eq!(
        (&event["kind"], &event["actor"], &event["channel"]),
        (&"discarded".into(), &"mia".into(), &"web".into())
    );
    let (code, none, _) = run(&setup, &gateway, "dead replay").await;
    assert_eq!((code, none.as_str()), (0, "no dead letters there\n"));

    let (code, _, said) = run(&setup, &gateway, "channels resync wbe").await;
    assert_eq!((code, said.contains("configured are web, app")), (1, true), "{said}");
    let (code, stats, _) = run(&setup, &gateway, "channels stats").await;
    assert_eq!((code, stats.starts_with("PARTITION")), (0, true), "{stats}");
    let (code, listed, _) = run(&setup, &gateway, "channels list").await;
    assert_eq!((code, listed.contains("DEAD")), (0, true), "{listed}");
}
