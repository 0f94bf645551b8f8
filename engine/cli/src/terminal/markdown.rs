//! Markdown of the manuals, laid out for a terminal or a pipe.

use super::Paint;
use super::wrap::{self, wrap};

/// Renders Markdown with lines of at most `width` columns, each with `indent`.
///
/// Text in a pipe keeps its backticks and has no escape codes. Comments are left out. A link is its text; the address
/// follows if it is a URL.
pub(crate) fn render(text: &str, width: usize, indent: &str, paint: Paint) -> String {
    let mut page = Page { text: String::new(), prose: String::new(), rows: Vec::new(), width, indent, paint };
    let mut in_code = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            page.end_block();
            page.empty_line();
            in_code = !in_code;
        } else if in_code {
            page.text.push_str(format!("{indent}  {line}").trim_end());
            page.text.push('\n');
        } else if trimmed.starts_with('#') {
            page.end_block();
            page.empty_line();
            let heading = inline(trimmed.trim_start_matches('#').trim(), Paint::PLAIN);
            page.text.push_str(&format!("{indent}{}\n", paint.green(&paint.bold(&heading))));
        } else if trimmed.starts_with('|') {
            page.end_prose();
            page.rows.push(cells(trimmed));
        } else if trimmed.starts_with("<!--") && trimmed.ends_with("-->") {
            page.end_block();
        } else {
            page.end_table();
            page.prose.push_str(line);
            page.prose.push('\n');
        }
    }
    page.end_block();
    format!("{}\n", page.text.trim_end_matches('\n'))
}

struct Page<'a> {
    text: String,
    /// Lines of the current paragraphs and lists.
    prose: String,
    /// Rows of the current table.
    rows: Vec<Vec<String>>,
    width: usize,
    indent: &'a str,
    paint: Paint,
}

impl Page<'_> {
    fn end_block(&mut self) {
        self.end_prose();
        self.end_table();
    }

    fn end_prose(&mut self) {
        let prose = std::mem::take(&mut self.prose);
        if !prose.trim().is_empty() {
            self.empty_line();
            let marked = inline(prose.trim(), self.paint);
            self.text.push_str(&coloured(&wrap(&marked, self.width, self.indent)));
        }
    }

    /// Prints a table: its columns if they fit the width, else a paragraph for each row.
    fn end_table(&mut self) {
        let mut rows = std::mem::take(&mut self.rows);
        if rows.len() < 2 {
            return;
        }
        self.empty_line();
        let is_rule = |row: &Vec<String>| row.iter().all(|cell| cell.chars().all(|c| "-: ".contains(c)));
        rows.retain(|row| !is_rule(row));
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| inline(cell, self.paint)).collect()).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|at| {
                rows.iter().filter_map(|row| row.get(at)).map(|cell| wrap::columns(cell)).max().unwrap_or(0)
            })
            .collect();
        let total = self.indent.len() + widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1);
        for (number, row) in rows.iter().enumerate() {
            if total <= self.width {
                let mut line = self.indent.to_owned();
                for (cell, width) in row.iter().zip(&widths) {
                    line.push_str(cell);
                    line.extend(std::iter::repeat_n(' ', width + 2 - wrap::columns(cell)));
                }
                let line = coloured(line.trim_end());
                let line = if number == 0 { self.paint.dim(&line) } else { line };
                self.text.push_str(&format!("{line}\n"));
            } else if number > 0 {
                let deeper = format!("{}    ", self.indent);
                let mut cells = row.iter().filter(|cell| !cell.is_empty());
                let first = cells.next().map(String::as_str).unwrap_or_default();
                self.text.push_str(&coloured(&wrap(first, self.width, self.indent)));
                for cell in cells {
                    self.text.push_str(&coloured(&wrap(cell, self.width, &deeper)));
                }
            }
        }
    }

    fn empty_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }
}

/// Splits a row of a table. A bar after a backslash is part of a cell.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim_matches('|').replace("\\|", "\u{0}");
    row.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// Replaces links by their text and emphasis by marks, which have no width. Code in backticks stays as it is.
fn inline(text: &str, paint: Paint) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_code, mut is_bold) = (false, false);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '`' {
            let mark = if in_code { "`\u{E003}" } else { "\u{E002}`" };
            out.push_str(if paint.is_on() { mark } else { "`" });
            in_code = !in_code;
        } else if !in_code && rest.starts_with("**") {
            is_bold = !is_bold;
            if paint.is_on() {
                out.push(if is_bold { '\u{E000}' } else { '\u{E001}' });
            }
            rest = &rest[2..];
            continue;
        } else if let Some((label, target, after)) = (!in_code).then(|| link(rest)).flatten() {
            out.push_str(&inline(label, paint));
            if target.starts_with("http") && target != label {
                out.push_str(&format!(" ({target})"));
            }
            rest = after;
            continue;
        } else {
            out.push(first);
        }
        rest = &rest[first.len_utf8()..];
    }
    out
}

/// Parses a link at the start of `text`: its label, its target, and the rest.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let (label, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (target, after) = rest.split_once(')')?;
    (!label.contains(['[', ']']) && !target.contains(' ')).then_some((label, target, after))
}

/// Replaces the marks of [`inline`] by escape codes.
fn coloured(text: &str) -> String {
    let text = text.replace('\u{E000}', "\x1b[1m").replace(['\u{E001}', '\u{E003}'], "\x1b[0m");
    text.replace('\u{E002}', "\x1b[36m")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Reads **lines** of a [file](../x.md), see [RFC 1](https://rfc.example).\n\n- one `a b`\n\n```toml\nk = 1\n```\n### More\n<!-- x -->\n| a | b |\n| --- | --- |\n| `x\\|y` | 2 |\n";

    #[test]
    fn plain_text_has_neither_links_nor_emphasis() {
        let expected = "  Reads lines of a file, see RFC 1\n  (https://rfc.example).\n\n  - one `a b`\n\n    k = 1\n\n  More\n\n  a      b\n  `x|y`  2\n";
        assert_eq!(render(TEXT, 36, "  ", Paint::PLAIN), expected);
    }

    #[test]
    fn colours_take_no_columns() {
        let plain = render(TEXT, 40, "  ", Paint::PLAIN);
        let mut bare = render(TEXT, 40, "  ", Paint::ALWAYS);
        assert!(bare.contains("\x1b[1mlines\x1b[0m") && bare.contains("\x1b[36m`a b`\x1b[0m"), "{bare}");
        for code in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[36m"] {
            bare = bare.replace(code, "");
        }
        assert_eq!(bare, plain);
    }

    #[test]
    fn a_wide_table_becomes_paragraphs() {
        let text = "| option | text |\n| --- | --- |\n| `key` | a long text that does not fit |\n";
        assert_eq!(render(text, 24, "", Paint::PLAIN), "`key`\n    a long text that\n    does not fit\n");
    }
}
