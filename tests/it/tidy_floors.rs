//! The floors of the house: imports go down, never up or across (ARCHITECTURE.md has the plan).
//!
//! Test modules are not exempt: a door used only by a test is a door.

use crate::{tidy, tidy_blank};

/// Each part of the library and the parts it may import besides itself and the cellar, from the ground up.
const FLOORS: [(&str, &[&str]); 14] = [
    ("telemetry", &[]),
    ("outbound", &[]),
    ("proto", &[]),
    ("domain", &[]),
    ("store", &["domain"]),
    ("channels", &["domain"]),
    ("carriers", &["domain"]),
    ("grpc", &["domain", "store", "channels", "carriers", "proto"]),
    ("http", &["domain", "store", "channels", "carriers"]),
    ("workers", &["domain", "store", "channels", "carriers"]),
    // Each part owns its settings; config puts them together.
    ("config", &["domain", "store", "channels", "carriers", "grpc", "http", "workers"]),
    // Started with its settings in hand, so this one door on its own floor is open.
    ("app", &["domain", "store", "channels", "carriers", "grpc", "http", "workers", "config"]),
    // Commands speak gRPC; serve and demo start the app. Nothing here touches Redis.
    ("cli", &["domain", "proto", "config", "app"]),
    ("main", &["domain", "config", "app", "cli"]),
];

/// Everyone may import them; they import nothing of ours.
const CELLAR: [&str; 2] = ["telemetry", "outbound"];

/// Crates that only some parts may name: what each part never does is how it stays simple.
const GUESTS: [(&str, &[&str]); 4] = [
    // Only store talks to it: config reads a URL, and the error table knows what a fault may hold.
    ("redis", &["store", "config", "grpc"]),
    ("deadpool_redis", &["store"]),
    ("anyhow", &["main", "cli", "app"]),
    ("tonic", &["proto", "grpc", "app", "cli", "main"]),
];

/// Crates that pure values have no use for.
const NOT_IN_DOMAIN: [&str; 5] = ["tokio", "axum", "reqwest", "metrics", "tracing"];

fn imports_go_down(path: &str, text: &str) -> Vec<String> {
    let Some(home) = home(path) else { return Vec::new() };
    let Some((_, doors)) = FLOORS.into_iter().find(|(part, _)| *part == home) else {
        return vec![format!("{path}: {home} has no floor: give it one in tests/it/tidy_floors.rs")];
    };
    let code = tidy_blank::rust(text);
    let open = |part: &str| part == home || CELLAR.contains(&part) || doors.contains(&part);
    ours(path, &code)
        .into_iter()
        .filter(|(part, _)| !open(part))
        .map(|(part, line)| format!("{path}:{line}: no door from {home} to {part}"))
        .collect()
}

fn guests_stay_where_they_may(path: &str, text: &str) -> Vec<String> {
    let Some(home) = home(path) else { return Vec::new() };
    let banned = GUESTS.into_iter().filter(|(_, parts)| !parts.contains(&home)).map(|(guest, _)| guest);
    let banned = banned.chain(NOT_IN_DOMAIN.into_iter().filter(|_| home == "domain"));
    let code = tidy_blank::rust(text);
    banned
        .flat_map(|guest| paths_from(&code, guest))
        .map(|(guest, at)| format!("{path}:{}: {home} does not use {guest}", line_of(&code, at)))
        .collect()
}

/// The part of the library a file belongs to; the crate's root belongs to none.
fn home(path: &str) -> Option<&str> {
    let part = path.strip_prefix("src/")?.split(['/', '.']).next()?;
    (part != "lib").then_some(part)
}

/// Every part of ours that the code names, and the line where it does.
fn ours<'a>(path: &str, code: &'a str) -> Vec<(&'a str, usize)> {
    let mut found = Vec::new();
    for root in ["crate", "stockgate"] {
        for (_, at) in paths_from(code, root) {
            found.extend(heads(code, at + root.len()));
        }
    }
    for (at, climbed) in climbs(code) {
        if climbed == depth(path) + inline_depth(code, at) {
            found.extend(heads(code, at + "super".len() + (climbed - 1) * "::super".len()));
        }
    }
    found.into_iter().map(|(part, at)| (part, line_of(code, at))).collect()
}

/// Where `root::` begins a path.
fn paths_from<'a>(code: &'a str, root: &'a str) -> Vec<(&'a str, usize)> {
    let begins = |at: usize| {
        let before = code[..at].strip_suffix("::").unwrap_or(&code[..at]);
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            && code[at + root.len()..].starts_with("::")
    };
    code.match_indices(root).filter(|(at, _)| begins(*at)).map(|(at, _)| (root, at)).collect()
}

/// Chains of `super::`: where each begins and how many floors of the module tree it climbs.
fn climbs(code: &str) -> Vec<(usize, usize)> {
    let starts = paths_from(code, "super").into_iter().map(|(_, at)| at);
    starts
        .map(|at| {
            (at, 1 + code[at + "super".len()..].split("::").skip(1).take_while(|s| *s == "super").count())
        })
        .collect()
}

/// The first names after a root that ends at `at`: one, or one for each branch of a group.
fn heads(code: &str, at: usize) -> Vec<(&str, usize)> {
    let Some(after) = code[at..].strip_prefix("::") else { return Vec::new() };
    let start = at + "::".len();
    if !after.starts_with('{') {
        return vec![(name(after), start)];
    }
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for (offset, c) in after.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 1 && matches!(c, '{' | ',') {
            let rest = &after[offset + 1..];
            let branch = rest.trim_start();
            let part = name(branch);
            if !part.is_empty() {
                found.push((part, start + offset + 1 + rest.len() - branch.len()));
            }
        }
    }
    found
}

fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// How far below the crate's root the module of a file stands.
fn depth(path: &str) -> usize {
    path.matches('/').count() - usize::from(path.ends_with("/mod.rs"))
}

/// How many inline modules are open at a place.
fn inline_depth(code: &str, at: usize) -> usize {
    let before = &code[..at];
    let mut open = Vec::new();
    for (brace, c) in before.match_indices(['{', '}']) {
        if c == "}" {
            open.pop();
        } else {
            let statement = before[..brace].rsplit([';', '{', '}']).next().unwrap_or_default();
            open.push(tidy::has_word(statement, "mod"));
        }
    }
    open.into_iter().filter(|is_module| *is_module).count()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

#[test]
fn imports_only_go_down() {
    for (path, bad, good) in [
        ("src/domain/hold.rs", "use crate::store::Keys;", "use crate::domain::Sku;"),
        (
            "src/store/stock.rs",
            "use crate::channels::Channel;",
            "use crate::{domain::{Line, Sku}, telemetry};",
        ),
        (
            "src/store/stock.rs",
            "use crate::{\n    domain::Sku,\n    workers::Sweeper,\n};",
            "use super::keys;",
        ),
        ("src/store/mod.rs", "use super::channels;", "mod tests {\n    use super::stock;\n}"),
        ("src/store/mod.rs", "mod tests {\n    use super::super::grpc;\n}", "fn a() {} // crate::grpc"),
        ("src/channels.rs", "fn a() { crate::store::open() }", "fn a() { crate::domain::a() }"),
        ("src/channels/webhook.rs", "use super::super::store;", "use super::super::domain;"),
        ("src/workers/sweeper.rs", "use crate::proto::Hold;", "use crate::{channels, store::Store};"),
        ("src/grpc/stock.rs", "use crate::http::Metrics;", "use crate::proto::{stock, channels};"),
        ("src/config.rs", "use crate::app;", "use crate::{grpc, workers};"),
        ("src/cli/stock.rs", "use crate::store::Store;", "use crate::{app::App, proto, telemetry};"),
        ("src/main.rs", "use stockgate::store::Store;", "use stockgate::{cli, telemetry};"),
        ("src/telemetry.rs", "use crate::domain::Sku;", "use std::fmt;"),
    ] {
        tidy::check_lint(imports_go_down, path, bad, good);
    }
    assert_eq!(imports_go_down("src/attic.rs", "").len(), 1, "a part without a floor");
    tidy::check(imports_go_down, &["src"], ".rs");
}

#[test]
fn crates_stay_on_their_floor() {
    for (path, bad, good) in [
        ("src/domain/hold.rs", "use tokio::time;", "use std::time;"),
        ("src/domain/hold.rs", "fn a() -> ::tonic::Status {}", "fn a(_: my::tonic::A) {} // tonic::Status"),
        ("src/workers/sweeper.rs", "use redis::Script;", "use tokio::time;"),
        ("src/store/keys.rs", "use anyhow::Context as _;", "use deadpool_redis::redis::Cmd;"),
    ] {
        tidy::check_lint(guests_stay_where_they_may, path, bad, good);
    }
    tidy::check(guests_stay_where_they_may, &["src"], ".rs");
}
