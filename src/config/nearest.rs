//! The nearest right name for a wrong one.

use super::{lists::LISTS, schema};

/// How alike two names must be before one is suggested for the other; lower ones are noise.
const ALIKE_MIN: f64 = 0.75;
/// How much more a field says than its section, so that the section only breaks ties.
const FIELD_WEIGHT: f64 = 10.0;
/// Edits between a variable and one of the short names at which it is taken for a typo.
const TYPO_EDITS_MAX: usize = 2;

/// Settings that had another name once, too far from the new one to be found by likeness.
const RENAMED: [(&str, &str); 1] = [("propagation.lag_warn", "propagation.lag_critical")];

/// Returns the setting that `path` was probably meant to be; of a channel with the channel it stands in.
pub(super) fn setting(path: &str) -> Option<String> {
    if let Some((_, renamed)) = RENAMED.iter().find(|(old, _)| *old == path) {
        return Some((*renamed).to_owned());
    }
    let (parent, field) = path.rsplit_once('.').unwrap_or(("", path));
    if let Some(list) = LISTS.into_iter().find(|list| parent.starts_with(list.path)) {
        return best(list.fields.iter().map(|(name, _)| *name), |known| alike(field, known))
            .map(|known| format!("{parent}.{known}"));
    }
    if parent.is_empty() {
        let section = best(schema::sections(), |known| alike(field, known));
        if let Some(section) = section {
            return Some(section.to_owned());
        }
    }
    // Most mistakes are in the field, or put it in another section.
    best(schema::names(), |known| {
        let (section, known_field) = known.split_once('.').unwrap_or(("", known));
        let field_alike = alike(field, known_field);
        if field_alike < ALIKE_MIN { 0.0 } else { FIELD_WEIGHT * field_alike + alike(parent, section) }
    })
    .map(str::to_owned)
}

/// Whether `name` is nearly `known`.
pub(super) fn is_typo_of(name: &str, known: &str) -> bool {
    strsim::damerau_levenshtein(name, known) <= TYPO_EDITS_MAX
}

/// 0 to 1. One edit in a short name is a typo too, though its letters match badly: `ulr`.
fn alike(name: &str, known: &str) -> f64 {
    let typo = if strsim::damerau_levenshtein(name, known) <= 1 { ALIKE_MIN } else { 0.0 };
    strsim::jaro_winkler(name, known).max(typo)
}

fn best<'n>(names: impl Iterator<Item = &'n str>, score_of: impl Fn(&str) -> f64) -> Option<&'n str> {
    names
        .map(|name| (name, score_of(name)))
        .filter(|(_, score)| *score >= ALIKE_MIN)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_setting_and_noise_finds_nothing() {
        let check = |wrong: &str, right: Option<&str>| {
            assert_eq!(setting(wrong).as_deref(), right, "{wrong}");
        };
        check("committer.bach_max", Some("committer.batch_max"));
        check("commiter.batch_max", Some("committer.batch_max"));
        check("commiter", Some("committer"));
        check("grpc.batch_max", Some("committer.batch_max"));
        check("batch_max", Some("committer.batch_max"));
        check("redis.uri", Some("redis.url"));
        check("holds.ttl", Some("holds.ttl_max"));
        check("channel", Some("channels"));
        check("channels.web.ulr", Some("channels.web.url"));
        check("channels.web.secert", Some("channels.web.secret"));
        check("channels.web.warehouse", None);
        check("propagation.lag_warn", Some("propagation.lag_critical"));
        check("carriers.sources.fedex.kye", Some("carriers.sources.fedex.key"));
        check("carriers.cache", Some("carriers.cache_ttl"));
        check("redis.xyzzy", None);
    }
}
