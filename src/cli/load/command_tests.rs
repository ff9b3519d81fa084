//! What the command line of a load accepts, and how it says no.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    load: Load,
}

/// Reads a command line; answers what is wrong with it.
fn problem(line: &str) -> Option<String> {
    let words = std::iter::once("load").chain(line.split(' ').filter(|word| !word.is_empty()));
    let load = match Line::try_parse_from(words) {
        Ok(line) => line.load,
        Err(error) => return Some(error.to_string()),
    };
    load.plan().err().or(load.settings().err()).map(|error| error.to_string())
}

#[test]
fn good_lines_are_accepted() {
    for line in [
        "",
        "--profile ramp --rate 500 --duration 1m --step 2s --p99-limit 5ms",
        "--profile spike --rate 0.5 --spike-factor 20",
        "--profile spike --rate 100000",
        "--profile flash --units 10 --skus 1",
        "--profile carts --cart-lines 5",
        "--profile carts --cart-lines 3-100",
        "--profile holds --commits 50 --releases 50 --hold-ttl 1s",
        "--profile holds --commits 100",
        "--profile holds --releases 90",
        "--skus 1000000 --connections 64 --in-flight-max 65536 --seed 9 --prefix a.b --repeats 0 --html x.html --allow-remote",
    ] {
        assert_eq!(problem(line), None, "{line}");
    }
}

#[test]
fn bad_lines_name_the_flag_and_the_way_out() {
    for (line, said) in [
        ("--rate 0", "--rate"),
        ("--rate 0", "more than 0"),
        ("--rate fast", "like 1000"),
        ("--rate NaN", "more than 0"),
        (
            "--profile spike --rate 200000",
            "--rate 200000 times --spike-factor 10 is more than 1000000 calls per second",
        ),
        ("--duration 0s", "must be 100ms to 1h"),
        ("--duration 2h", "--duration"),
        ("--profile storm", "steady, ramp, spike, flash, carts, holds"),
        ("--skus 0", "--skus"),
        ("--units 0", "--units"),
        ("--connections 0", "--connections"),
        ("--in-flight-max 0", "--in-flight-max"),
        ("--repeats 101", "--repeats"),
        ("--prefix a/b", "letters, digits"),
        ("--profile carts --cart-lines 20-1", "like 5 or 1-20"),
        ("--profile carts --cart-lines 101", "1 to 100 lines"),
        ("--cart-lines 5", "--cart-lines means something with --profile carts only, and this is steady"),
        ("--profile flash --skus 2", "leave --skus out"),
        ("--profile spike --p99-limit 5ms", "--profile ramp only"),
        ("--profile ramp --duration 2s", "has no room for one --step of 3s"),
        ("--profile holds --commits 60 --releases 50", "together at most 100"),
    ] {
        let found = problem(line).unwrap_or_else(|| panic!("{line} was accepted"));
        assert!(found.contains(said), "{line}: {said:?} is not in {found}");
    }
}

#[test]
fn each_run_has_names_of_its_own() {
    let load = Line::try_parse_from(["load", "--prefix", "TRY"]).expect("it is a good line").load;
    let (one, other) = (load.plan().expect("a plan"), load.plan().expect("a plan"));
    assert!(one.sku_prefix.starts_with("TRY-"), "{}", one.sku_prefix);
    assert_ne!(one.sku_prefix, other.sku_prefix);
    assert_ne!(one.key_prefix, other.key_prefix);
    let fates = |line: &[&str]| {
        let words = ["load", "--profile", "holds"].iter().chain(line);
        let fates = Line::try_parse_from(words).expect("a good line").load.fates().expect("good shares");
        (fates.commit_percent, fates.release_percent)
    };
    assert_eq!(fates(&[]), (70, 20));
    assert_eq!(fates(&["--commits", "100"]), (100, 0));
    assert_eq!(fates(&["--releases", "90"]), (10, 90));
}
