//! The house style that no compiler checks, for every source file; Lua scripts and floors have files of their own.
//!
//! A lint is a function from (path, text) to complaints, so that each is shown to go red on a bad snippet.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::tidy_blank;

/// Stop here, tests included; the aim is 120.
const FILE_LINES_MAX: usize = 500;

/// Names for what has no name yet.
const DRAWERS: [&str; 5] = ["utils", "helpers", "common", "manager", "misc"];

/// Notes to oneself: an open question is an issue. In two halves, or this line would be one.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Code that is not there, and tests that are not run or pass for the wrong reason.
const STUBS: [&str; 4] = ["todo!", "unimplemented!", "#[ignore", "#[should_panic"];

/// What a lint is: complaints about one file.
pub(crate) type Lint = fn(&str, &str) -> Vec<String>;

/// Runs a lint over every file below `folders` whose name ends in `suffix`, and fails with all complaints at once.
pub(crate) fn check(lint: Lint, folders: &[&str], suffix: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut complaints = Vec::new();
    for file in folders.iter().flat_map(|folder| files_below(&root.join(folder))) {
        let path = file.strip_prefix(root).unwrap().to_str().unwrap();
        if path.ends_with(suffix) {
            complaints.extend(lint(path, &fs::read_to_string(&file).unwrap()));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Asserts that a lint finds something wrong with `bad` and nothing with `good`.
#[track_caller]
pub(crate) fn check_lint(lint: Lint, path: &str, bad: &str, good: &str) {
    assert_ne!(lint(path, bad), Vec::<String>::new(), "nothing wrong with {path}: {bad}");
    assert_eq!(lint(path, good), Vec::<String>::new(), "{path}: {good}");
}

/// Whether `word` stands in `text` with no letter, digit or underscore beside it.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(in_word) && !text[at + word.len()..].starts_with(in_word))
}

/// All files below a folder, or the file itself; nothing where neither is.
fn files_below(at: &Path) -> Vec<PathBuf> {
    if at.is_file() {
        return vec![at.to_owned()];
    }
    let Ok(entries) = fs::read_dir(at) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| files_below(path)).collect()
}

fn starts_with_its_purpose(path: &str, text: &str) -> Vec<String> {
    if text.starts_with("//!") {
        return Vec::new();
    }
    vec![format!("{path}:1: begin with //! and what the file is for")]
}

fn is_short(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![format!("{path}: {lines} lines, {FILE_LINES_MAX} at most: cut it in two")]
}

fn has_no_drawers(path: &str, text: &str) -> Vec<String> {
    let in_path = path.split(['/', '.']).filter(|part| DRAWERS.contains(part));
    let code = tidy_blank::rust(text);
    let inline = code
        .lines()
        .filter_map(|line| line.split_once("mod ")?.1.split([' ', ';', '{']).next())
        .filter(|name| DRAWERS.contains(name));
    in_path.chain(inline).map(|name| format!("{path}: {name} is no name: say what is in it")).collect()
}

fn has_no_notes(path: &str, text: &str) -> Vec<String> {
    complain(
        path,
        text,
        |line| NOTES.into_iter().find(|note| has_word(line, note)),
        "an open question is an issue",
    )
}

fn has_no_stubs(path: &str, text: &str) -> Vec<String> {
    let code = tidy_blank::rust(text);
    complain(
        path,
        &code,
        |line| STUBS.into_iter().find(|stub| line.contains(stub)),
        "finish it or leave it out",
    )
}

/// One complaint for each line in which `find` finds something.
fn complain<'a>(
    path: &str,
    text: &str,
    find: impl Fn(&str) -> Option<&'a str>,
    instead: &str,
) -> Vec<String> {
    let numbered = text.lines().zip(1..);
    numbered.filter_map(|(line, n)| Some(format!("{path}:{n}: {}: {instead}", find(line)?))).collect()
}

#[test]
fn every_file_starts_with_its_purpose() {
    check_lint(starts_with_its_purpose, "src/a.rs", "use std::fs;\n//! Late.", "//! In time.");
    check(starts_with_its_purpose, &["src", "tests", "benches", "build.rs"], ".rs");
}

#[test]
fn no_file_is_too_long() {
    check_lint(is_short, "lua/a.lua", &"\n".repeat(FILE_LINES_MAX + 1), &"\n".repeat(FILE_LINES_MAX));
    check(is_short, &["src", "lua", "tests", "benches"], "");
}

#[test]
fn no_module_is_a_drawer() {
    check_lint(has_no_drawers, "src/a.rs", "pub mod helpers;", "mod helpers_of_santa; // mod utils");
    assert_eq!(has_no_drawers("src/utils/a.rs", "").len(), 1);
    assert_eq!(has_no_drawers("src/store/manager.rs", "").len(), 1);
    check(has_no_drawers, &["src", "tests", "benches"], ".rs");
}

#[test]
fn no_notes_to_oneself() {
    check_lint(has_no_notes, "src/a.rs", &format!("// {}: later", NOTES[0]), "// MAXXXL, autodone");
    check(
        has_no_notes,
        &["src", "lua", "proto", "tests", "benches", "build.rs", "scripts", ".ci", "Makefile"],
        "",
    );
}

#[test]
fn no_stubs() {
    for bad in ["fn a() { todo!() }", "#[ignore = \"slow\"]\nfn a() {}", "#[should_panic]\nfn a() {}"] {
        check_lint(has_no_stubs, "src/a.rs", bad, &format!("// {bad:?}"));
    }
    check(has_no_stubs, &["src", "tests", "benches", "build.rs"], ".rs");
}
