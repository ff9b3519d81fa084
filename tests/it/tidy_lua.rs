//! The house style of the Lua scripts: their headers, their bindings, what they never call.
//!
//! `lua/*.lua` are scripts; `lua/include/` and `lua/verbs/` are functions of their parameters, joined to them.

use crate::{
    tidy::{self, has_word},
    tidy_blank,
};

/// What a script's header says after its purpose, in this order.
const HEADER_GROUPS: [&str; 5] = ["KEYS", "ARGV", "Returns", "Emits", "Cost"];

/// Below this line a script speaks of its keys and arguments by name.
const BINDINGS_END: &str = "-- end of bindings";

/// Code without header, comments and blank lines; longer scripts hide a function.
const CODE_LINES_MAX: usize = 80;

/// Unbounded reads, wiping, and trimming, which is a job of its own.
const BANNED_COMMANDS: [&str; 8] =
    ["KEYS", "SCAN", "HSCAN", "SSCAN", "ZSCAN", "FLUSHALL", "FLUSHDB", "MAXLEN"];

/// The audit trail of carriers keeps its newest entries and nobody acknowledges them: the stream of stock is not trimmed so.
const TRIMS_BY_LENGTH: &str = "lua/record.lua";

fn is_script(path: &str) -> bool {
    path.strip_prefix("lua/").is_some_and(|name| !name.contains('/'))
}

/// The lines from the top that are no code, and the rest.
fn split_header(text: &str) -> (Vec<&str>, Vec<&str>) {
    let no_code = |line: &str| line.starts_with("#!") || line.starts_with("--") || line.trim().is_empty();
    let header: Vec<&str> = text.lines().take_while(|line| no_code(line) && *line != BINDINGS_END).collect();
    let body = text.lines().skip(header.len()).collect();
    (header, body)
}

fn header_says_all(path: &str, text: &str) -> Vec<String> {
    if !is_script(path) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    if !text.starts_with("#!lua") {
        complaints.push(format!("{path}:1: begin with #!lua, so that Redis refuses keys nobody declared"));
    }
    let (header, _) = split_header(text);
    let said: Vec<&str> = header.iter().filter_map(|line| line.strip_prefix("--")).map(str::trim).collect();
    let purpose = said.iter().find(|line| !line.is_empty());
    if purpose.is_none_or(|line| HEADER_GROUPS.iter().any(|group| begins(line, group))) {
        complaints.push(format!("{path}: the header begins with what the script is for"));
    }
    let mut last = 0;
    for group in HEADER_GROUPS {
        match said.iter().position(|line| begins(line, group)) {
            Some(at) if at >= last => last = at,
            Some(_) => complaints.push(format!("{path}: {group} stands too early in the header")),
            None => complaints.push(format!("{path}: the header does not say {group}")),
        }
    }
    complaints
}

fn begins(line: &str, group: &str) -> bool {
    line.strip_prefix(group).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn bindings_come_first(path: &str, text: &str) -> Vec<String> {
    if !is_script(path) {
        let indexed = ["KEYS", "ARGV"].into_iter().filter(|name| has_word(text, name));
        return indexed
            .map(|name| format!("{path}: {name} belongs to the script: take a parameter"))
            .collect();
    }
    let Some(end) = text.lines().position(|line| line == BINDINGS_END) else {
        return vec![format!("{path}: mark the end of the bindings with `{BINDINGS_END}`")];
    };
    let code = tidy_blank::lua(text);
    let below = code.lines().zip(1..).skip(end + 1);
    let indexed = below.filter(|(line, _)| ["KEYS", "ARGV"].iter().any(|name| uses(line, name)));
    indexed.map(|(_, n)| format!("{path}:{n}: bind it to a name above `{BINDINGS_END}`")).collect()
}

/// Whether code names an array of the script; a command of that name stands in quotes.
fn uses(line: &str, name: &str) -> bool {
    has_word(line, name) && !quoted(line).any(|word| word == name)
}

/// The strings of a line of code.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split(['"', '\'']).skip(1).step_by(2)
}

fn calls_nothing_banned(path: &str, text: &str) -> Vec<String> {
    let code = tidy_blank::lua(text);
    let mut complaints = Vec::new();
    for (line, n) in code.lines().zip(1..) {
        let banned = quoted(line).filter(|word| BANNED_COMMANDS.iter().any(|b| b.eq_ignore_ascii_case(word)));
        let banned = banned.filter(|word| path != TRIMS_BY_LENGTH || !word.eq_ignore_ascii_case("MAXLEN"));
        let logged = line.contains("redis.log").then_some("redis.log");
        complaints.extend(banned.chain(logged).map(|word| format!("{path}:{n}: never {word} in a script")));
    }
    complaints
}

fn everything_is_local(path: &str, text: &str) -> Vec<String> {
    let code = tidy_blank::lua(text);
    let global = |line: &str| {
        let named = line.trim_start().strip_prefix("function ")?.split('(').next()?;
        (!named.trim().is_empty() && !named.contains(['.', ':'])).then(|| named.trim().to_owned())
    };
    let numbered = code.lines().zip(1..);
    numbered.filter_map(|(line, n)| Some(format!("{path}:{n}: {} must be local", global(line)?))).collect()
}

fn fits_a_screen(path: &str, text: &str) -> Vec<String> {
    let code = tidy_blank::lua(&split_header(text).1.join("\n"));
    let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
    if lines <= CODE_LINES_MAX {
        return Vec::new();
    }
    vec![format!("{path}: {lines} lines of code, {CODE_LINES_MAX} at most: give a part of it a name")]
}

/// A script that nothing is wrong with.
const GOOD: &str = "#!lua
-- Counts; counting twice is one too many.
--
-- KEYS[1] count string
--
-- ARGV[1] by integer, 1 and up
--
-- Returns ok, count
--
-- Emits nothing
--
-- Cost O(1)

local count, by = KEYS[1], ARGV[1]
-- end of bindings

-- KEYS and ARGV have names now.
return {'ok', redis.call('INCRBY', count, by)}
";

#[test]
fn every_header_says_all_in_order() {
    for (was, is) in [
        ("#!lua\n", ""),
        ("-- Counts; counting twice is one too many.\n", ""),
        ("-- Emits nothing", "-- nothing"),
        ("-- KEYS[1] count string", "-- Returns ok\n-- KEYS[1]"),
        ("-- Cost O(1)\n\n", "\nlocal a = 1\n-- Cost O(1)\n"),
    ] {
        tidy::check_lint(header_says_all, "lua/count.lua", &GOOD.replacen(was, is, 1), GOOD);
    }
    tidy::check(header_says_all, &["lua"], ".lua");
}

#[test]
fn keys_and_arguments_are_bound_first() {
    for (was, is) in
        [("-- end of bindings\n", ""), ("'INCRBY', count", "'INCRBY', KEYS[1]"), (", by)}", ", ARGV[1])}")]
    {
        tidy::check_lint(bindings_come_first, "lua/count.lua", &GOOD.replacen(was, is, 1), GOOD);
    }
    tidy::check_lint(bindings_come_first, "lua/verbs/a.lua", "-- reads KEYS[1]", "local function a(key) end");
    tidy::check(bindings_come_first, &["lua"], ".lua");
}

#[test]
fn no_script_calls_what_is_banned() {
    for bad in
        ["redis.call('keys', p)", "redis.call(\"SCAN\", 0)", "call('XADD', k, 'MAXLEN', 9)", "redis.log(1)"]
    {
        tidy::check_lint(
            calls_nothing_banned,
            "lua/include/a.lua",
            bad,
            "redis.call('XTRIM', key, 'MINID', id) -- no 'KEYS'",
        );
    }
    tidy::check_lint(
        calls_nothing_banned,
        TRIMS_BY_LENGTH,
        "call('KEYS', p)",
        "call('XADD', k, 'MAXLEN', 9)",
    );
    tidy::check(calls_nothing_banned, &["lua"], ".lua");
}

#[test]
fn no_script_has_globals() {
    let good = "local function a() end\nfunction verbs.sell() end\nlocal b = function(c) return c end";
    tidy::check_lint(everything_is_local, "lua/verbs/a.lua", "function a() end", good);
    tidy::check(everything_is_local, &["lua"], ".lua");
}

#[test]
fn every_script_fits_a_screen() {
    let bad = format!("{GOOD}{}", "a()\n".repeat(CODE_LINES_MAX));
    let good = format!("{GOOD}{}", "-- why\n\n".repeat(CODE_LINES_MAX));
    tidy::check_lint(fits_a_screen, "lua/count.lua", &bad, &good);
    tidy::check(fits_a_screen, &["lua"], ".lua");
}
