//! Source text without what is not code, so that a lint is not fooled by a comment or a string.
//!
//! What goes is blanked with spaces; lines keep their numbers.

/// Rust without comments and without the inside of strings and character literals.
pub(crate) fn rust(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let cut = match first {
            '/' if rest.starts_with("//") => line_len(rest),
            '/' if rest.starts_with("/*") => block_comment_len(rest),
            '"' => quoted_len(rest, '"'),
            '\'' => char_literal_len(rest),
            'r' if !ends_in_word(&out) => raw_string_len(rest),
            _ => 0,
        };
        rest = take(rest, cut, first, &mut out);
    }
    out
}

/// Lua without comments; strings stay, for they name the commands.
pub(crate) fn lua(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let cut = match first {
            '-' if rest.starts_with("--[[") => rest.find("]]").map_or(rest.len(), |end| end + 2),
            '-' if rest.starts_with("--") => line_len(rest),
            '"' | '\'' => {
                let (string, after) = rest.split_at(quoted_len(rest, first));
                out.push_str(string);
                rest = after;
                continue;
            }
            _ => 0,
        };
        rest = take(rest, cut, first, &mut out);
    }
    out
}

/// Moves `cut` bytes over as blanks, or, when there is nothing to cut, the first character as it is.
fn take<'a>(rest: &'a str, cut: usize, first: char, out: &mut String) -> &'a str {
    if cut == 0 {
        out.push(first);
        return &rest[first.len_utf8()..];
    }
    let (gone, after) = rest.split_at(cut);
    out.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
    after
}

fn ends_in_word(out: &str) -> bool {
    out.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn line_len(rest: &str) -> usize {
    rest.find('\n').unwrap_or(rest.len())
}

/// Block comments nest in Rust.
fn block_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0_usize);
    while at < rest.len() {
        if rest.as_bytes()[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.as_bytes()[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted_len(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A quote starts a character only if one closes it right after; else it is a lifetime.
fn char_literal_len(rest: &str) -> usize {
    let mut inside = rest[1..].chars();
    match inside.next() {
        Some('\\') => quoted_len(rest, '\''),
        Some(c) if inside.next() == Some('\'') => c.len_utf8() + 2,
        _ => 0,
    }
}

fn raw_string_len(rest: &str) -> usize {
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    let body = &rest[1 + hashes..];
    if !body.starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    body[1..].find(&end).map_or(rest.len(), |at| 1 + hashes + 1 + at + end.len())
}

#[test]
fn rust_keeps_only_code() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"a("b\"c", d)"#, "a(      , d)"),
        (r##"a(r#"b"c"#)"##, "a(        )"),
        ("for\"x\"", "for   "),
        ("&'a str, '\"', 'é', '\\'', b", "&'a str,    ,    ,     , b"),
    ] {
        assert_eq!(rust(text), code, "{text}");
    }
}

#[test]
fn lua_keeps_code_and_strings() {
    for (text, code) in
        [("a -- b\nc", "a     \nc"), ("a('--b') -- c", "a('--b')     "), ("--[[ a\n]] b", "      \n   b")]
    {
        assert_eq!(lua(text), code, "{text}");
    }
}
