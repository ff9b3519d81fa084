//! The page of the numbers, `docs/benchmarks.md`: each bench replaces what stands between its own two lines.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

/// Replaces what stands between `<!-- {mark} -->` and `<!-- end of {mark} -->`, and says where that is.
pub(crate) fn write_between(mark: &str, text: &str) -> Result<PathBuf> {
    let page = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md"));
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->\n"));
    let before = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let missing = || format!("{} has no lines {begin:?} and {end:?}", page.display());
    let (head, rest) = before.split_once(&begin).with_context(missing)?;
    let (_, tail) = rest.split_once(&end).with_context(missing)?;
    fs::write(&page, format!("{head}{begin}\n{text}\n{end}{tail}"))?;
    Ok(page)
}

/// How this run was asked for: the recipe, or the bench with its arguments. Writing the page measures nothing else.
pub(crate) fn command(recipe: &str, bench: &str) -> String {
    let arguments =
        std::env::args().skip(1).filter(|argument| !["--bench", "--write"].contains(&argument.as_str()));
    let quoted = |argument: String| if argument.contains(' ') { format!("'{argument}'") } else { argument };
    let arguments: Vec<String> = arguments.map(quoted).collect();
    if arguments.is_empty() {
        return recipe.to_owned();
    }
    format!("cargo bench --bench {bench} -- {}", arguments.join(" "))
}
