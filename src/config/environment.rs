//! The environment as the top layer of settings: `STOCKGATE__SECTION__FIELD` and three short names.

use std::collections::BTreeMap;

use ::config::{Value, ValueKind};

use super::{
    Origin, Problem, layers,
    layers::Table,
    lists::{self, List},
    nearest, schema,
};

const PREFIX: &str = "STOCKGATE_";
const LONG_PREFIX: &str = "STOCKGATE__";

/// The variables that have a short name, and the setting each stands for.
const SHORT: [(&str, &str); 3] = [
    ("STOCKGATE_REDIS_URL", "redis.url"),
    ("STOCKGATE_GRPC_LISTEN", "grpc.listen"),
    ("STOCKGATE_HTTP_LISTEN", "http.listen"),
];

/// Sets in `tree` what the variables say.
pub(super) fn apply(
    tree: &mut Table,
    env: impl Iterator<Item = (String, String)>,
    problems: &mut Vec<Problem>,
) {
    let ours: BTreeMap<String, String> = env.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    // In the order of names a long name comes after its short one.
    let mut set_by: BTreeMap<String, (&String, &String)> = BTreeMap::new();
    for (name, value) in &ours {
        let Some(path) = path_of(name) else {
            problems.extend(misspelt(name));
            continue;
        };
        match set_by.get(&path) {
            Some((first, other)) if *other != value => {
                problems.push(Problem::Twice { first: (*first).clone(), second: name.clone() });
                continue;
            }
            _ => {}
        }
        if let Err(problem) = set(tree, &path, layers::from_variable(name, value.clone()), name) {
            problems.push(problem);
        }
        set_by.insert(path, (name, value));
    }
}

fn path_of(name: &str) -> Option<String> {
    if let Some(long) = name.strip_prefix(LONG_PREFIX) {
        return Some(long.to_ascii_lowercase().replace("__", "."));
    }
    SHORT.iter().find(|(short, _)| *short == name).map(|(_, path)| (*path).to_owned())
}

/// Spells a setting as a variable.
pub(super) fn spelled(setting: &str) -> String {
    format!("{LONG_PREFIX}{}", setting.replace('.', "__").replace('-', "_").to_ascii_uppercase())
}

/// Finds what a variable without a setting was meant to be. Most have nothing to do with settings: the command line
/// has its own, and Kubernetes sets STOCKGATE_SERVICE_HOST and others where a service is called stockgate.
fn misspelt(name: &str) -> Option<Problem> {
    let unknown = |nearest: String| Problem::Unknown {
        setting: name.to_owned(),
        origin: Origin::Variable(name.to_owned()),
        nearest: Some(nearest),
    };
    let single = |setting: &str| spelled(setting).replace("__", "_");
    let flat = schema::names().find(|setting| single(setting) == name);
    if let Some(setting) = flat {
        return Some(unknown(spelled(setting)));
    }
    let close = SHORT.iter().find(|(short, _)| nearest::is_typo_of(name, short));
    close.map(|(short, _)| unknown((*short).to_owned()))
}

fn set(tree: &mut Table, path: &str, value: Value, variable: &str) -> Result<(), Problem> {
    let unknown = || Problem::Unknown {
        setting: path.to_owned(),
        origin: Origin::Variable(variable.to_owned()),
        nearest: nearest::setting(path).map(|near| spelled(&near)),
    };
    if let Some((list, rest)) = List::of(path) {
        // An id may have two underscores in a row, so the field is what comes last.
        let (id, field) = rest.rsplit_once('.').ok_or_else(unknown)?;
        let section = section_of(list, tree, &id.replace('.', "__"))
            .map_err(|detail| Problem::NoSuchId { variable: variable.to_owned(), detail })?;
        section.insert(field.to_owned(), value);
        return Ok(());
    }
    let (section, field) = path.split_once('.').ok_or_else(unknown)?;
    if field.is_empty() || field.contains('.') {
        return Err(unknown());
    }
    let section = tree.entry(section.to_owned()).or_insert_with(|| Value::new(None, Table::new()));
    // Where the file put something else than a section, the schema says so.
    if let ValueKind::Table(fields) = &mut section.kind {
        fields.insert(field.to_owned(), value);
    }
    Ok(())
}

fn section_of<'t>(list: List, tree: &'t mut Table, id: &str) -> Result<&'t mut Table, String> {
    let List { path, one, .. } = list;
    let home = list.home(tree).and_then(|(home, name)| home.get_mut(name));
    let items = match home.map(|value| &mut value.kind) {
        Some(ValueKind::Array(items)) => items.as_mut_slice(),
        _ => &mut [],
    };
    let ids: Vec<String> = items.iter().filter_map(lists::id).map(str::to_owned).collect();
    let is_meant = |written: &str| written.to_ascii_lowercase().replace('-', "_") == id;
    if ids.iter().filter(|written| is_meant(written)).count() > 1 {
        return Err(format!(
            "fits more than one {one}: give them ids that differ in more than case, - and _"
        ));
    }
    let meant = items.iter_mut().find(|item| lists::id(item).is_some_and(is_meant));
    match meant.map(|item| &mut item.kind) {
        Some(ValueKind::Table(fields)) => Ok(fields),
        _ if ids.is_empty() => Err(format!(
            "names a {one}, but there is none: add a [[{path}]] section with its id to the settings file"
        )),
        _ => Err(format!("names no {one}: the settings file has {}", ids.join(", "))),
    }
}
