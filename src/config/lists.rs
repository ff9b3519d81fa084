//! Lists of sections, each with an id: `[[channels]]` and `[[carriers.sources]]`. People and variables name one by its id.

use ::config::{Value, ValueKind};

use crate::domain::ChannelId;

use super::{
    carriers::SOURCES_MAX,
    channel::CHANNELS_MAX,
    layers::Table,
    schema::{CHANNEL, SOURCE},
    shape::Shape,
};

/// A list of sections.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    /// Where it stands in the tree.
    pub(super) path: &'static str,
    /// What one of them is called.
    pub(super) one: &'static str,
    /// How many there may be.
    pub(super) max: usize,
    /// What one may set.
    pub(super) fields: &'static [(&'static str, Shape)],
}

/// All lists.
pub(super) const LISTS: [List; 2] = [
    List { path: "channels", one: "channel", max: CHANNELS_MAX, fields: CHANNEL },
    List { path: "carriers.sources", one: "source", max: SOURCES_MAX, fields: SOURCE },
];

impl List {
    /// The list that a path leads into, and the rest of the path.
    pub(super) fn of(path: &str) -> Option<(Self, &str)> {
        LISTS.into_iter().find_map(|list| Some((list, path.strip_prefix(list.path)?.strip_prefix('.')?)))
    }

    /// What stands in the tree where the list belongs.
    pub(super) fn value(self, tree: &Table) -> Option<&Value> {
        match self.path.split_once('.') {
            None => tree.get(self.path),
            Some((section, field)) => match &tree.get(section)?.kind {
                ValueKind::Table(fields) => fields.get(field),
                _ => None,
            },
        }
    }

    /// The part of the tree where the list belongs, and its name there.
    pub(super) fn home(self, tree: &mut Table) -> Option<(&mut Table, &'static str)> {
        match self.path.split_once('.') {
            None => Some((tree, self.path)),
            Some((section, field)) => match &mut tree.get_mut(section)?.kind {
                ValueKind::Table(fields) => Some((fields, field)),
                _ => None,
            },
        }
    }

    /// `channels.ID` for each section, or `channels[INDEX]` where there is no legal id.
    pub(super) fn names(self, tree: &Table) -> Vec<String> {
        let Some(ValueKind::Array(items)) = self.value(tree).map(|value| &value.kind) else {
            return Vec::new();
        };
        items.iter().enumerate().map(|(index, item)| self.name(index, item)).collect()
    }

    fn name(self, index: usize, item: &Value) -> String {
        // Channels and sources have the same alphabet.
        id(item)
            .filter(|id| ChannelId::parse(id).is_ok())
            .map_or_else(|| format!("{}[{index}]", self.path), |id| format!("{}.{id}", self.path))
    }
}

/// Returns the id of a section as it was written.
pub(super) fn id(item: &Value) -> Option<&str> {
    let ValueKind::Table(table) = &item.kind else {
        return None;
    };
    match &table.get("id")?.kind {
        ValueKind::String(id) => Some(id),
        _ => None,
    }
}
