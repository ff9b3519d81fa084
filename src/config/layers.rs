//! The layers of settings as trees of values, each value knowing where it was set.

use std::{collections::BTreeMap, fs, path::Path};

use ::config::{File, FileFormat, Map, Source as _, Value, ValueKind};

use crate::domain::ChannelId;

use super::{DEFAULTS, Origin, Problem};

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
    channels: Vec<String>,
}

/// Notes where everything in the tree was set.
pub(super) fn origins(tree: &Table) -> Origins {
    let mut by_path = BTreeMap::new();
    for (key, value) in tree {
        note(key.clone(), value, &mut by_path);
    }
    Origins { by_path, channels: channel_names(tree) }
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

fn channel_names(tree: &Table) -> Vec<String> {
    let Some(ValueKind::Array(items)) = tree.get("channels").map(|value| &value.kind) else {
        return Vec::new();
    };
    items.iter().enumerate().map(|(index, item)| channel_name(index, item)).collect()
}

/// Returns `channels.ID`, or `channels[INDEX]` where there is no legal id.
pub(super) fn channel_name(index: usize, channel: &Value) -> String {
    channel_id(channel)
        .filter(|id| ChannelId::parse(id).is_ok())
        .map_or_else(|| format!("channels[{index}]"), |id| format!("channels.{id}"))
}

/// Returns the id of a channel as it was written.
pub(super) fn channel_id(channel: &Value) -> Option<&str> {
    let ValueKind::Table(table) = &channel.kind else {
        return None;
    };
    match &table.get("id")?.kind {
        ValueKind::String(id) => Some(id),
        _ => None,
    }
}

impl Origins {
    /// Where the setting at `path` was set.
    pub(super) fn of(&self, path: &str) -> Origin {
        self.by_path.get(path).cloned().unwrap_or(Origin::Defaults)
    }

    /// The setting's name for people: a channel by its id, not by its index.
    pub(super) fn name(&self, path: &str) -> String {
        let mut parts = path.splitn(3, '.');
        let (Some("channels"), Some(index)) = (parts.next(), parts.next()) else {
            return path.to_owned();
        };
        let Some(channel) = index.parse().ok().and_then(|index: usize| self.channels.get(index)) else {
            return path.to_owned();
        };
        parts.next().map_or_else(|| channel.clone(), |field| format!("{channel}.{field}"))
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
