//! What a call leaves in Redis, to the last byte: state before, call, whole keyspace after.
//!
//! Lines of a dump are `partition:key field = value`; entry ids are `#0`, `#1`… (see `Shop::dump`).

use stockgate::domain::{Mutation, Partitions};

use crate::{
    harness::{Shop, both},
    requests::*,
    shared_redis::is_left_out,
};

/// A and B at 10; window 10000 began at 1000000000.
async fn stocked() -> Shop {
    let shop = Shop::open(Partitions::ONE).await;
    shop.stock(&[("A", 10), ("B", 10)]).await;
    shop
}

fn hold_text(reserve: &Mutation) -> String {
    hold_of(reserve, Partitions::ONE).to_string()
}

/// What `after` has that `before` had not, and (with `-`) the other way round.
fn difference(before: &str, after: &str) -> Vec<String> {
    let gone = before.lines().filter(|line| !after.lines().any(|other| other == *line));
    let new = after.lines().filter(|line| !before.lines().any(|other| other == *line));
    gone.map(|line| format!("-{line}")).chain(new.map(|line| format!("+{line}"))).collect()
}

async fn check(shop: &Shop, mutation: &Mutation, changes: &[&str]) {
    let before = shop.dump().await;
    shop.answer(mutation).await;
    let after = shop.dump().await;
    let told: Vec<String> = changes.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(difference(&before, &after), told, "{mutation:?}\n{after}");
}

#[tokio::test]
async fn a_new_count_is_a_level_a_record_and_an_event() {
    let shop = Shop::open(Partitions::ONE).await;
    shop.applied(&set("k", "A", 10)).await;
    let all = "p0:ev #0 1000000000: {\"key\":\"k\"} | s A 10 0 10 0 1\n\
               p0:rec:10000 - A k = s ok 1 10 0 1 0-#0-0 10\n\
               p0:stock A = 10 0 1 1000000000 0 0-#0-0\n";
    assert_eq!(shop.dump().await, all);
    shop.close().await;
}

#[tokio::test]
async fn a_sale_writes_its_levels_its_record_and_one_entry() {
    let shop = stocked().await;
    shop.pass(5);
    check(
        &shop,
        &from("web", decrement("d", &[("B", 2), ("A", 1)])),
        &[
            "-p0:stock A = 10 0 1 1000000000 0 0-#0-0",
            "-p0:stock B = 10 0 1 1000000000 0 0-#1-0",
            "+p0:ev #2 1000000005: {\"key\":\"d\",\"channel\":\"web\"} | d B -2 0 8 0 2 | d A -1 0 9 0 2",
            "+p0:rec:10000 - A d = d ok 2 8 0 2 0-#2-0 9 0 2 0-#2-1",
            "+p0:stock A = 9 0 2 1000000005 0 0-#2-1",
            "+p0:stock B = 8 0 2 1000000005 0 0-#2-0",
        ],
    )
    .await;
    shop.close().await;
}

#[tokio::test]
async fn a_refusal_leaves_its_record_and_nothing_else() {
    let shop = stocked().await;
    let record = "+p0:rec:10000 - A d = d insufficient 1 A 11 10";
    check(&shop, &decrement("d", &[("A", 11), ("B", 1)]), &[record]).await;
    let record = "+p0:rec:10000 - A r = r unknown_sku 1 nobody";
    check(&shop, &reserve("r", &[("A", 1), ("nobody", 1)], 9), &[record]).await;
    let record = "+p0:rec:10000 - A a = a insufficient 1 A 11 10";
    check(&shop, &adjust("a", "A", -11), &[record]).await;
    let hold = reserve("none", &[("A", 1)], 9);
    let record = "+p0:rec:10000 - A c = c unknown_hold";
    check(&shop, &commit("c", &hold_of(&hold, Partitions::ONE)), &[record]).await;
    // The same key for another request: not even a record.
    check(&shop, &decrement("d", &[("A", 1)]), &[]).await;
    shop.close().await;
}

#[tokio::test]
async fn a_refusal_that_names_its_channel_is_an_event_too() {
    let shop = stocked().await;
    check(
        &shop,
        &from("web", decrement("d", &[("A", 11)])),
        &[
            "-p0:stock A = 10 0 1 1000000000 0 0-#0-0",
            "+p0:ev #2 1000000000: {\"key\":\"d\",\"channel\":\"web\"} | f A 0 0 10 0 1",
            "+p0:rec:10000 - A d = d insufficient 1 A 11 10",
            "+p0:stock A = 10 0 1 1000000000 1 0-#0-0",
        ],
    )
    .await;
    let record = "+p0:rec:10000 - A d2 = d insufficient 1 A 12 10";
    check(&shop, &from("app", decrement("d2", &[("A", 12)])), &[record]).await;
    shop.close().await;
}

#[tokio::test]
async fn a_hold_is_made_and_committed() {
    let shop = stocked().await;
    let made = reserve("r", &[("A", 4), ("B", 1)], 1000);
    let id = hold_text(&made);
    let cause = format!("{{\"key\":\"r\",\"hold\":\"{id}\"}}");
    check(
        &shop,
        &made,
        &[
            "-p0:stock A = 10 0 1 1000000000 0 0-#0-0",
            "-p0:stock B = 10 0 1 1000000000 0 0-#1-0",
            &format!("+p0:ev #2 1000000000: {cause} | r A 0 4 10 4 2 | r B 0 1 10 1 2"),
            &format!("+p0:holds {id} = h 1000001000 1000000000 2 0 A 4 4 0 0 B 1 1 0 {cause}"),
            &format!("+p0:hx {id} = 1000001000"),
            &format!("+p0:rec:10000 - A r = r ok 2 10 4 2 0-#2-0 10 1 2 0-#2-1 {id} 1000001000"),
            "+p0:stock A = 10 4 2 1000000000 0 0-#2-0",
            "+p0:stock B = 10 1 2 1000000000 0 0-#2-1",
        ],
    )
    .await;
    let hold = hold_of(&made, Partitions::ONE);
    let own = format!("{{\"key\":\"c\",\"hold\":\"{id}\"}}");
    check(
        &shop,
        &commit_some("c", &hold, &[("A", 3)], false),
        &[
            &format!("-p0:holds {id} = h 1000001000 1000000000 2 0 A 4 4 0 0 B 1 1 0 {cause}"),
            &format!("-p0:hx {id} = 1000001000"),
            "-p0:stock A = 10 4 2 1000000000 0 0-#2-0",
            "-p0:stock B = 10 1 2 1000000000 0 0-#2-1",
            &format!("+p0:ended:10000 {id} = c 1000001000 1000000000 2 0 A 4 0 3 0 B 1 0 0 {cause}"),
            &format!("+p0:ev #3 1000000000: {own} {cause} | c A -3 -4 7 0 3 | l B 0 -1 10 0 3"),
            &format!(
                "+p0:rec:10000 - A c = c ok 2 A 3 7 0 3 0-#3-0 B 0 10 0 3 0-#3-1 {id} c 1000001000 2 A 4 0 3 B 1 0 0 {cause}"
            ),
            "+p0:stock A = 7 0 3 1000000000 0 0-#3-0",
            "+p0:stock B = 10 0 3 1000000000 0 0-#3-1",
        ],
    )
    .await;
    shop.close().await;
}

#[tokio::test]
async fn a_hold_expires_and_its_units_go_back() {
    let shop = stocked().await;
    let made = reserve("r", &[("A", 4)], 1000);
    shop.applied(&made).await;
    let id = hold_text(&made);
    let cause = format!("{{\"key\":\"r\",\"hold\":\"{id}\"}}");
    shop.pass(1000);
    let before = shop.dump().await;
    shop.store.sweep(Partitions::ONE.of(&sku("A")), 10).await.unwrap();
    let changes = [
        format!("-p0:holds {id} = h 1000001000 1000000000 1 0 A 4 4 0 {cause}"),
        format!("-p0:hx {id} = 1000001000"),
        "-p0:stock A = 10 4 2 1000000000 0 0-#2-0".to_owned(),
        format!("+p0:ended:10000 {id} = x 1000001000 1000000000 1 0 A 4 4 0 {cause}"),
        format!("+p0:ev #3 1000001000: {cause} | x A 0 -4 10 0 3"),
        "+p0:stock A = 10 0 3 1000001000 0 0-#3-0".to_owned(),
    ];
    assert_eq!(difference(&before, &shop.dump().await), changes);
    shop.close().await;
}

#[tokio::test]
async fn an_extension_moves_the_deadline_and_no_version() {
    let shop = stocked().await;
    let made = reserve("r", &[("A", 4)], 1000);
    shop.applied(&made).await;
    let id = hold_text(&made);
    let cause = format!("{{\"key\":\"r\",\"hold\":\"{id}\"}}");
    shop.pass(500);
    check(
        &shop,
        &extend("e", &hold_of(&made, Partitions::ONE), 2000),
        &[
            &format!("-p0:holds {id} = h 1000001000 1000000000 1 0 A 4 4 0 {cause}"),
            &format!("-p0:hx {id} = 1000001000"),
            &format!("+p0:ev #3 1000000500: {{\"key\":\"e\",\"hold\":\"{id}\"}} {cause} | e A 0 0 10 4 2"),
            &format!("+p0:holds {id} = h 1000002500 1000000000 1 0 A 4 4 0 {cause}"),
            &format!("+p0:hx {id} = 1000002500"),
            &format!("+p0:rec:10000 - A e = e ok 0 {id} h 1000002500 1 A 4 4 0 {cause}"),
        ],
    )
    .await;
    shop.close().await;
}

#[tokio::test]
async fn a_release_of_an_unborn_hold_leaves_a_tombstone() {
    let shop = stocked().await;
    let unborn = reserve("r", &[("A", 4)], 1000);
    let id = hold_text(&unborn);
    check(
        &shop,
        &release("l", &hold_of(&unborn, Partitions::ONE)),
        &[
            &format!("+p0:ended:10000 {id} = l 0 1000000000 0 {{}}"),
            &format!("+p0:rec:10000 - A l = l ok 0 {id} l 0 0 {{}}"),
        ],
    )
    .await;
    let record = "+p0:rec:10000 - A r = r over l 0".to_string();
    check(&shop, &unborn, &[&record]).await;
    shop.close().await;
}

#[tokio::test]
async fn setting_what_is_there_already_is_no_event() {
    let shop = stocked().await;
    check(&shop, &set("s", "A", 10), &["+p0:rec:10000 - A s = s ok 1 10 0 1 0-#0-0 0"]).await;
    shop.close().await;
}

#[tokio::test]
async fn a_burnt_key_is_a_record_alone() {
    let shop = stocked().await;
    let before = shop.dump().await;
    shop.resolve(&client(), "A", "k").await;
    assert_eq!(difference(&before, &shop.dump().await), ["+p0:rec:10000 - A k = - burnt"]);
    check(&shop, &decrement("k", &[("A", 1)]), &[]).await;
    shop.close().await;
}

/// With partitions apart, each has its own entry, and the record stands at home.
#[tokio::test]
async fn a_cart_over_partitions_writes_into_each() {
    if is_left_out() {
        return;
    }
    let shop = Shop::open(both()[1]).await;
    let (a, b) = (shop.partitions().of(&sku("A")), shop.partitions().of(&sku("B")));
    assert_ne!(a, b, "the test needs two partitions");
    shop.stock(&[("A", 10), ("B", 10)]).await;
    let changes = [
        format!("-p{a}:stock A = 10 0 1 1000000000 0 {a}-#0-0"),
        format!("-p{b}:stock B = 10 0 1 1000000000 0 {b}-#0-0"),
        format!("+p{a}:ev #1 1000000000: {{\"key\":\"d\"}} | d A -1 0 9 0 2"),
        format!("+p{a}:rec:10000 - A d = d ok 2 8 0 2 {b}-#1-0 9 0 2 {a}-#1-0"),
        format!("+p{a}:stock A = 9 0 2 1000000000 0 {a}-#1-0"),
        format!("+p{b}:ev #1 1000000000: {{\"key\":\"d\"}} | d B -2 0 8 0 2"),
        format!("+p{b}:stock B = 8 0 2 1000000000 0 {b}-#1-0"),
    ];
    let before = shop.dump().await;
    shop.applied(&decrement("d", &[("B", 2), ("A", 1)])).await;
    let mut told = difference(&before, &shop.dump().await);
    told.sort();
    let mut wanted = changes.to_vec();
    wanted.sort();
    assert_eq!(told, wanted);
    shop.close().await;
}
