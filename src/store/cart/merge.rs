//! One refusal of several partitions: all lines that stand against it, as one script would name them.

use super::packing::Part;

/// Words of refusals that concern lines, the gravest first: a line of a later kind is only named when there is none of an
/// earlier one.
const GRAVEST_FIRST: [&str; 4] = ["unknown_sku", "version", "overflow", "insufficient"];

fn word_of(refusal: &str) -> &str {
    refusal.split(' ').next().unwrap_or_default()
}

/// Whether other partitions may object in the same way.
pub(super) fn concerns_lines(refusal: &str) -> bool {
    GRAVEST_FIRST.contains(&word_of(refusal))
}

/// Merges refusals in the words of the script; lines in the order of the request. At least one must be given.
pub(super) fn refusals(refusals: &[String], parts: &[Part]) -> String {
    let Some(word) = GRAVEST_FIRST.into_iter().find(|word| refusals.iter().any(|one| word_of(one) == *word))
    else {
        return refusals.first().cloned().unwrap_or_default();
    };
    let words_each = if word == "unknown_sku" || word == "overflow" { 1 } else { 3 };
    // A count of lines stands before them, except where there is always one.
    let words_before = if word == "overflow" { 1 } else { 2 };
    let place = |sku: &str| parts.iter().position(|part| part.sku.as_str() == sku);
    let mut lines: Vec<(Option<usize>, String)> = Vec::new();
    for refusal in refusals.iter().filter(|one| word_of(one) == word) {
        let words: Vec<&str> = refusal.split(' ').skip(words_before).collect();
        lines.extend(words.chunks(words_each).map(|line| (place(line[0]), line.join(" "))));
    }
    lines.sort();
    let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    match (word, lines.first()) {
        ("overflow", Some(first)) => format!("{word} {first}"),
        _ => format!("{word} {} {}", lines.len(), lines.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Sku;

    fn check(given: &[&str], merged: &str) {
        let part = |name: &str| Part {
            sku: Sku::parse(name).expect("legal"),
            units: 1,
            expected_version: None,
            reserved: 1,
            sold_before: 0,
        };
        let given: Vec<String> = given.iter().map(|one| (*one).to_owned()).collect();
        assert_eq!(refusals(&given, &["C", "A", "B"].map(part)), merged);
    }

    #[test]
    fn all_lines_are_named_in_the_order_of_the_request() {
        check(&["insufficient 2 A 3 1 B 2 0", "insufficient 1 C 9 8"], "insufficient 3 C 9 8 A 3 1 B 2 0");
        check(&["unknown_sku 1 B", "unknown_sku 1 C"], "unknown_sku 2 C B");
        check(&["version 1 B 2 3"], "version 1 B 2 3");
        check(&["overflow B", "overflow C"], "overflow C");
    }

    #[test]
    fn the_gravest_objection_is_the_answer() {
        check(&["insufficient 1 A 3 1", "version 1 B 2 3"], "version 1 B 2 3");
        check(&["version 1 A 3 1", "unknown_sku 1 B"], "unknown_sku 1 B");
        check(&["insufficient 1 A 3 1", "overflow B"], "overflow B");
        check(&["over l 0"], "over l 0");
        assert!(concerns_lines("overflow B") && !concerns_lines("over l 0"));
    }
}
