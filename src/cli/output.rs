//! How answers are printed: an aligned table for people, JSON for programs.

use std::io::{self, Write as _};

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use super::{explain::printable, failure::CliError};

/// Space between two columns.
const COLUMN_GAP: u16 = 2;

/// A thing that is shown: as JSON by its fields, in a table by its cells.
pub(super) trait Row: Serialize {
    /// The columns.
    const HEAD: &'static [&'static str];

    /// One text per column.
    fn cells(&self) -> Vec<String>;
}

/// What to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Aligned columns
    Table,
    /// JSON
    Json,
}

impl Output {
    /// Prints a list: a table, or one JSON object per line.
    pub(super) fn rows<R: Row>(self, rows: &[R]) -> Result<(), CliError> {
        match self {
            Self::Table => print_line(&table(rows)),
            Self::Json => rows.iter().try_for_each(|row| print_line(&json(row)?)),
        }
    }

    /// Prints one thing: a table of one row, or one JSON object.
    pub(super) fn object<R: Row>(self, row: &R) -> Result<(), CliError> {
        self.rows(std::slice::from_ref(row))
    }

    /// Prints one thing that has a text of its own for people.
    pub(super) fn text_or_json<T: Serialize>(
        self,
        thing: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        match self {
            Self::Table => print_line(&text(thing)),
            Self::Json => print_line(&json(thing)?),
        }
    }
}

/// The rows as aligned columns under a header; numbers stand at the right. Never coloured, so it pipes well.
pub(super) fn table<R: Row>(rows: &[R]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(R::HEAD.iter().map(|name| Cell::new(name.to_uppercase())));
    table.add_rows(rows.iter().map(|row| row.cells().iter().map(|text| cell(text)).collect::<Vec<_>>()));
    for column in table.column_iter_mut() {
        column.set_padding((0, COLUMN_GAP));
    }
    table.trim_fmt()
}

fn cell(text: &str) -> Cell {
    let shown = if text.is_empty() { "-".to_owned() } else { printable(text) };
    let is_number = text.parse::<i64>().is_ok();
    Cell::new(shown).set_alignment(if is_number { CellAlignment::Right } else { CellAlignment::Left })
}

/// Prints one line; a reader that went away is an error, not a panic.
pub(super) fn print_line(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(CliError::Output)
}

fn json<T: Serialize>(thing: &T) -> Result<String, CliError> {
    serde_json::to_string(thing).map_err(|error| CliError::Output(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Shelf {
        sku: &'static str,
        units: i64,
        note: &'static str,
    }

    impl Row for Shelf {
        const HEAD: &'static [&'static str] = &["sku", "units", "note"];

        fn cells(&self) -> Vec<String> {
            vec![self.sku.to_owned(), self.units.to_string(), self.note.to_owned()]
        }
    }

    const SHELVES: [Shelf; 2] =
        [Shelf { sku: "A", units: -7, note: "" }, Shelf { sku: "LONG-ONE", units: 1_000, note: "x\u{1b}y" }];

    #[test]
    fn tables_are_aligned_plain_and_safe() {
        assert_eq!(table(&SHELVES), "SKU       UNITS  NOTE\nA            -7  -\nLONG-ONE   1000  x\u{fffd}y");
        assert_eq!(table::<Shelf>(&[]), "SKU  UNITS  NOTE");
    }

    #[test]
    fn json_has_the_shown_fields() {
        assert_eq!(json(&SHELVES[0]).unwrap(), r#"{"sku":"A","units":-7,"note":""}"#);
    }
}
