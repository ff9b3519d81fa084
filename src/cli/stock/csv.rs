//! The rows of an import file: `sku,quantity[,expected_version]`, read one by one within a bound.

use std::io::{self, BufRead, Read as _};

/// Bytes in the longest row: a SKU, two numbers, quotes and room to spare.
const ROW_BYTES_MAX: u64 = 4_096;

/// One row that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImportRow {
    pub(super) sku: String,
    pub(super) quantity: i64,
    pub(super) expected_version: Option<i64>,
}

/// One row of the file: its number, counted from 1 without the header, and what it says or what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NumberedRow {
    pub(super) number: u64,
    pub(super) content: Result<ImportRow, String>,
}

/// Reads rows; a header that begins with `sku` and blank lines are passed over.
pub(super) struct Rows<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, number: 0 }
    }

    fn read_line(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let count = self.reader.by_ref().take(ROW_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if count == 0 {
            return Ok(None);
        }
        if count as u64 == ROW_BYTES_MAX && bytes.last() != Some(&b'\n') {
            let found =
                format!("row {} is longer than {ROW_BYTES_MAX} bytes: is this a CSV file?", self.number + 1);
            return Err(io::Error::new(io::ErrorKind::InvalidData, found));
        }
        let line = String::from_utf8_lossy(&bytes);
        Ok(Some(line.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']).to_owned()))
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = io::Result<NumberedRow>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.read_line() {
                Ok(line) => line?,
                Err(error) => return Some(Err(error)),
            };
            let is_header = self.number == 0 && line.to_ascii_lowercase().starts_with("sku,quantity");
            if is_header || line.trim().is_empty() {
                continue;
            }
            self.number += 1;
            return Some(Ok(NumberedRow { number: self.number, content: parse(&line) }));
        }
    }
}

fn parse(line: &str) -> Result<ImportRow, String> {
    let fields = fields(line)?;
    let (sku, quantity, version) = match fields.as_slice() {
        [sku, quantity] => (sku, quantity, ""),
        [sku, quantity, version] => (sku, quantity, version.as_str()),
        _ => {
            return Err(format!(
                "has {} columns: write sku,quantity or sku,quantity,expected_version",
                fields.len()
            ));
        }
    };
    let number = |name: &str, text: &str| {
        text.parse::<i64>().map_err(|_| format!("{name} {text:?} is not a whole number"))
    };
    Ok(ImportRow {
        sku: sku.clone(),
        quantity: number("quantity", quantity)?,
        expected_version: if version.is_empty() { None } else { Some(number("expected_version", version)?) },
    })
}

/// Splits at commas; a field in double quotes may hold commas, and quotes written twice.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields[last].push('"');
            }
            '"' if quoted => quoted = false,
            '"' if fields[last].trim().is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            _ => fields[last].push(c),
        }
    }
    if quoted {
        return Err("has a double quote that is never closed".to_owned());
    }
    Ok(fields.iter().map(|field| field.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(sku: &str, quantity: i64, expected_version: Option<i64>) -> Result<ImportRow, String> {
        Ok(ImportRow { sku: sku.to_owned(), quantity, expected_version })
    }

    fn read(text: &str) -> Vec<NumberedRow> {
        Rows::new(text.as_bytes()).map(Result::unwrap).collect()
    }

    #[test]
    fn header_blank_lines_and_line_ends_are_passed_over() {
        let rows = read("\u{feff}SKU,Quantity\r\nA,1\r\n\r\nB, 2 \nC,3,7");
        let expected = [row("A", 1, None), row("B", 2, None), row("C", 3, Some(7))];
        assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(rows.into_iter().map(|row| row.content).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn quoted_fields_may_hold_commas_and_quotes() {
        assert_eq!(parse(r#""A,1",5"#), row("A,1", 5, None));
        assert_eq!(parse(r#""A""B",5"#), row(r#"A"B"#, 5, None));
        assert_eq!(parse(r#"12",5"#), row(r#"12""#, 5, None), "a quote inside a plain field is itself");
    }

    #[test]
    fn bad_row_is_named_and_the_next_one_read() {
        let rows = read("A\nB,x\n\"C,1\nD,4,y\nE,5");
        let check = |index: usize, said: &str| {
            let error = rows[index].content.as_ref().unwrap_err();
            assert!(error.contains(said), "{error}");
        };
        check(0, "has 1 columns");
        check(1, "quantity \"x\" is not a whole number");
        check(2, "never closed");
        check(3, "expected_version \"y\"");
        assert_eq!(rows[4], NumberedRow { number: 5, content: row("E", 5, None) });
    }

    #[test]
    fn endless_row_is_refused() {
        let error = Rows::new("x".repeat(10_000).as_bytes()).next().unwrap().unwrap_err();
        assert!(error.to_string().contains("longer than 4096 bytes"), "{error}");
    }
}
