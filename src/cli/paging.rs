//! Lists that come page by page: as many rows as wanted, each page printed as it comes.

use super::{
    failure::CliError,
    output::{Output, Row},
};

/// Rows in one page; the contract sends no more.
const PAGE_SIZE_MAX: u64 = 1_000;

/// How far a list has come.
pub(super) struct Paging {
    left: u64,
    token: String,
}

impl Paging {
    /// At the beginning of a list of at most `limit` rows; 0: all.
    pub(super) fn new(limit: u64) -> Self {
        Self { left: if limit == 0 { u64::MAX } else { limit }, token: String::new() }
    }

    /// How many rows to ask for.
    pub(super) fn page_size(&self) -> i32 {
        i32::try_from(self.left.min(PAGE_SIZE_MAX)).unwrap_or(i32::MAX)
    }

    /// Where the page to ask for begins.
    pub(super) fn token(&self) -> String {
        self.token.clone()
    }

    /// Prints a page that came; whether another one is to be asked for.
    pub(super) fn show<M, R>(&mut self, page: Vec<M>, next: String, output: Output) -> Result<bool, CliError>
    where
        R: Row + From<M>,
    {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let rows: Vec<R> = page.into_iter().take(wanted).map(R::from).collect();
        if !rows.is_empty() {
            output.rows(&rows)?;
        }
        self.left = self.left.saturating_sub(rows.len() as u64);
        self.token = next;
        if self.left == 0 && !self.token.is_empty() {
            eprintln!("there may be more: raise --limit, or say --limit 0 for all");
        }
        Ok(self.left > 0 && !self.token.is_empty())
    }
}
