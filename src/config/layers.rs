//! The layers of settings as trees of values, each value knowing where it was set.

use std::{collections::BTreeMap, fs, path::Path};

use ::config::{File, FileFormat, Map, Source as _, Value, ValueKind};

use super::{
    DEFAULTS, Origin, Problem,
    lists::{LISTS, List},
};

/// A level of the tree of settings.
pub(super) type Table = Map<String, Value>;

// A value keeps its origin as one text; these words tell the kinds apart.
const FILE: &str = "file";
const VARIABLE: &str = "variable";

/// Returns the built-in defaults; their values have no origin.
pub(super) fn defaults() -> Table {
    File::from_str(DEFAULTS, FileFormat::Toml).collect().expect("a test parses the built-in defaults")
}

/// Reads a settings file.
pub(super) fn read(path: &Path) -> Result<Table, Problem> {
    let text = fs::read_to_string(path).map_err(|source| Problem::Unreadable {
        what: "the settings file".to_owned(),
        path: path.to_owned(),
        source,
    })?;
    let file = path.display().to_string();
    match File::from_str(&text, FileFormat::Toml).collect() {
        Ok(table) => {
            let origin = format!("{FILE} {file}");
            Ok(table.into_iter().map(|(key, value)| (key, stamped(value, &origin))).collect())
        }
        Err(error) => Err(Problem::Syntax { file, detail: without_source_lines(&error.to_string()) }),
    }
}

/// The parser quotes the line it stumbled over, which may hold a secret: every line of the quotation has a `|`.
fn without_source_lines(message: &str) -> String {
    message.lines().filter(|line| !line.contains('|')).map(str::trim).collect::<Vec<_>>().join(": ")
}

fn stamped(value: Value, origin: &String) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => ValueKind::Table(
            table.into_iter().map(|(key, inner)| (key, stamped(inner, origin))).collect::<Table>(),
        ),
        ValueKind::Array(items) => {
            ValueKind::Array(items.into_iter().map(|inner| stamped(inner, origin)).collect())
        }
        leaf => leaf,
    };
    Value::new(Some(origin), kind)
}

/// Returns a value set by an environment variable.
pub(super) fn from_variable(name: &str, value: String) -> Value {
    Value::new(Some(&format!("{VARIABLE} {name}")), value)
}

/// Lays `over` on `base`: tables are merged, everything else is replaced.
pub(super) fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        let below = base.get_mut(&key).map(|below| &mut below.kind);
        if let (Some(ValueKind::Table(below)), ValueKind::Table(above)) = (below, &value.kind) {
            merge(below, above.clone());
        } else {
            base.insert(key, value);
        }
    }
}

/// Where each setting of a tree was set, and how it is called.
pub(super) struct Origins {
    by_path: BTreeMap<String, Origin>,
    /// Of each list the names of its sections.
    sections: [Vec<String>; LISTS.len()],
}

/// Notes where everything in the tree was set.
pub(super) fn origins(tree: &Table) -> Origins {
    let mut by_path = BTreeMap::new();
    for (key, value) in tree {
        note(key.clone(), value, &mut by_path);
    }
    Origins { by_path, sections: LISTS.map(|list| list.names(tree)) }
}

fn note(path: String, value: &Value, by_path: &mut BTreeMap<String, Origin>) {
    match &value.kind {
        ValueKind::Table(table) => {
            table.iter().for_each(|(key, inner)| note(format!("{path}.{key}"), inner, by_path));
        }
        ValueKind::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(index, inner)| note(format!("{path}.{index}"), inner, by_path));
        }
        _ => {}
    }
    by_path.insert(path, origin(value));
}

/// Returns where a value was set.
pub(super) fn origin(value: &Value) -> Origin {
    match value.origin().and_then(|origin| origin.split_once(' ')) {
        Some((FILE, path)) => Origin::File(path.to_owned()),
        Some((VARIABLE, name)) => Origin::Variable(name.to_owned()),
        _ => Origin::Defaults,
    }
}

impl Origins {
    /// Where the setting at `path` was set.
    pub(super) fn of(&self, path: &str) -> Origin {
        self.by_path.get(path).cloned().unwrap_or(Origin::Defaults)
    }

    /// The setting's name for people: a channel by its id, not by its index.
    pub(super) fn name(&self, path: &str) -> String {
        let named = List::of(path).and_then(|(list, rest)| {
            let (index, field) =
                rest.split_once('.').map_or((rest, None), |(index, field)| (index, Some(field)));
            let at = LISTS.iter().position(|other| other.path == list.path)?;
            let section = self.sections[at].get(index.parse::<usize>().ok()?)?;
            Some(field.map_or_else(|| section.clone(), |field| format!("{section}.{field}")))
        });
        named.unwrap_or_else(|| path.to_owned())
    }

    /// The settings inside the section `path`; `path` itself when it has none or is no section.
    pub(super) fn leaves(&self, path: &str) -> Vec<String> {
        let is_list = self.by_path.contains_key(&format!("{path}.0"));
        if is_list {
            return vec![path.to_owned()];
        }
        let inside = format!("{path}.");
        let below: Vec<&String> = self.by_path.keys().filter(|key| key.starts_with(&inside)).collect();
        let is_leaf = |key: &str| !below.iter().any(|other| other.starts_with(&format!("{key}.")));
        let leaves: Vec<String> = below.iter().filter(|key| is_leaf(key)).map(|key| (*key).clone()).collect();
        if leaves.is_empty() { vec![path.to_owned()] } else { leaves }
    }

    /// A problem with the value at `path`.
    pub(super) fn invalid(&self, path: &str, detail: String) -> Problem {
        Problem::Invalid { setting: self.name(path), origin: self.of(path), detail }
    }
}
