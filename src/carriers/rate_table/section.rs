//! Reads one section of the TOML file field by field, and notes every mistake instead of stopping at the first.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::mistakes::{Mistakes, instead};

/// A TOML file, by the name mistakes call it.
pub(super) struct Source {
    file: String,
    /// Where each line begins.
    line_starts: Vec<usize>,
}

impl Source {
    /// Remembers where the lines of `text` begin.
    pub(super) fn new(file: String, text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { file, line_starts: std::iter::once(0).chain(starts).collect() }
    }

    /// Notes a mistake at a place in the text.
    pub(super) fn mistake(&self, mistakes: &mut Mistakes, at: &Range<usize>, message: String) {
        let line = self.line_starts.partition_point(|start| *start <= at.start);
        mistakes.add(&self.file, Some(line), message);
    }
}

/// One table of the file. Whoever has read all its fields calls [`Section::finish`], which complains of the rest.
pub(super) struct Section<'a, 'm> {
    source: &'a Source,
    mistakes: &'m mut Mistakes,
    /// How mistakes name it, with a colon: `service "dhl/parcel": `.
    name: String,
    at: Range<usize>,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'a, 'm> Section<'a, 'm> {
    /// Begins to read a table.
    pub(super) fn new(
        source: &'a Source,
        mistakes: &'m mut Mistakes,
        name: String,
        table: Spanned<&'a DeTable<'a>>,
    ) -> Self {
        Self { source, mistakes, name, at: table.span(), table: table.into_inner(), known: Vec::new() }
    }

    /// How mistakes name it from now on.
    pub(super) fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// Where it begins.
    pub(super) fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// A field that may be missing. None also when it is wrong.
    pub(super) fn optional<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&'a DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.raw(field)?;
        match read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(problem) => {
                self.mistake(&value.span(), &format!("{field} {problem}"));
                None
            }
        }
    }

    /// A field that must be there; `example` is shown when it is not.
    pub(super) fn required<T>(
        &mut self,
        field: &'static str,
        example: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        self.must_have(field, example);
        self.optional(field, read)
    }

    /// Complains when a field is not there.
    pub(super) fn must_have(&mut self, field: &'static str, example: &str) {
        if !self.table.contains_key(field) {
            let at = self.at();
            self.mistake(&at, &format!("{field} is missing: add {field} = {example}"));
        }
    }

    /// A list that may be missing; elements that are wrong are left out.
    pub(super) fn list<T>(
        &mut self,
        field: &'static str,
        read: impl Fn(&'a DeValue<'a>) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let values = self.optional(field, |value| match value {
            DeValue::Array(values) => Ok(values),
            other => Err(format!("must be a list in [ ], is of type {}", other.type_str())),
        })?;
        let mut list = Vec::with_capacity(values.len());
        for value in values {
            match read(value.get_ref()) {
                Ok(read) => list.push(read),
                Err(problem) => self.mistake(&value.span(), &format!("{field} {problem}")),
            }
        }
        Some(list)
    }

    /// A list that may be missing and must not be empty.
    pub(super) fn filled_list<T>(
        &mut self,
        field: &'static str,
        read: impl Fn(&'a DeValue<'a>) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let value = self.table.get(field);
        if let Some(value) =
            value.filter(|value| value.get_ref().as_array().is_some_and(|list| list.is_empty()))
        {
            self.mistake(&value.span(), &format!("{field} must have one entry at least"));
        }
        self.list(field, read)
    }

    /// The tables of a list `[[field]]`.
    pub(super) fn tables(&mut self, field: &'static str) -> Vec<Spanned<&'a DeTable<'a>>> {
        if !self.table.contains_key(field) {
            let at = self.at();
            self.mistake(&at, &format!("[[{field}]] is missing: add one at least"));
        }
        let values = self.optional(field, |value| match value {
            DeValue::Array(values) => Ok(values),
            other => Err(format!("must be written as [[{field}]], is of type {}", other.type_str())),
        });
        let mut tables = Vec::new();
        for value in values.into_iter().flatten() {
            match value.get_ref() {
                DeValue::Table(table) => tables.push(Spanned::new(value.span(), table)),
                other => {
                    let message = format!(
                        "{field} must be written as [[{field}]], has one of type {}",
                        other.type_str()
                    );
                    self.mistake(&value.span(), &message);
                }
            }
        }
        tables
    }

    /// Notes a mistake at a place of the section.
    pub(super) fn mistake(&mut self, at: &Range<usize>, message: &str) {
        self.source.mistake(self.mistakes, at, format!("{}{message}", self.name));
    }

    /// Complains of every field nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys().filter(|key| !self.known.contains(&key.get_ref().as_ref())) {
            let hint = instead(key.get_ref(), self.known.iter().copied());
            let message = format!("{}unknown field {:?}: {hint}", self.name, key.get_ref());
            self.source.mistake(self.mistakes, &key.span(), message);
        }
    }

    /// The value of a field, and that it is known.
    fn raw(&mut self, field: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(field);
        self.table.get(field)
    }
}
