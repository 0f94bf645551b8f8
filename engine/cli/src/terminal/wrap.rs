//! Wrapped prose.

/// Wraps Markdown to lines of at most `width` columns, each with `indent`. Paragraphs, list items and code blocks keep
/// their shape.
pub(crate) fn wrap(text: &str, width: usize, indent: &str) -> String {
    let width = width.saturating_sub(indent.len());
    let mut page = Page { text: String::new(), indent, width, used: 0, code: String::new() };
    let (mut in_code, mut hanging) = (false, "");
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            in_code = !in_code;
            page.end_line();
        } else if in_code {
            page.line(line);
        } else if trimmed.is_empty() {
            page.end_line();
            page.empty_line();
            hanging = "";
        } else {
            if trimmed.starts_with("- ") || trimmed.starts_with("* ") {
                page.end_line();
                hanging = "  ";
            }
            for word in trimmed.split_whitespace() {
                page.part(word, hanging);
            }
        }
    }
    page.end_line();
    page.text
}

/// Counts the columns of a text. The marks of [`super::markdown`] have no width.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().filter(|one| !('\u{E000}'..='\u{E003}').contains(one)).count()
}

struct Page<'a> {
    text: String,
    indent: &'a str,
    width: usize,
    /// Columns of the current line that are used, without the indent.
    used: usize,
    /// Beginning of code in backticks whose end is still to come.
    code: String,
}

impl Page<'_> {
    /// Adds a part of a paragraph. Code between backticks stays on one line if possible.
    fn part(&mut self, part: &str, hanging: &str) {
        let halves = part.matches('`').count() % 2 == 1;
        if self.code.is_empty() && !halves {
            return self.word(part, hanging);
        }
        let ends = halves && !self.code.is_empty();
        if !self.code.is_empty() {
            self.code.push(' ');
        }
        self.code.push_str(part);
        if ends {
            let code = std::mem::take(&mut self.code);
            if columns(&code) <= self.width / 2 {
                self.word(&code, hanging);
            } else {
                code.split(' ').for_each(|word| self.word(word, hanging));
            }
        }
    }

    /// Adds a word; a new line that it begins within a paragraph is indented by `hanging` too.
    fn word(&mut self, word: &str, hanging: &str) {
        let length = columns(word);
        let mut hangs = "";
        if self.used > 0 && self.used + 1 + length > self.width {
            self.end_line();
            hangs = hanging;
        }
        if self.used == 0 {
            self.text.push_str(self.indent);
            self.text.push_str(hangs);
            self.used = hangs.len();
        } else {
            self.text.push(' ');
            self.used += 1;
        }
        self.text.push_str(word);
        self.used += length;
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(&format!("{}  {line}\n", self.indent));
    }

    fn empty_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn end_line(&mut self) {
        // A backtick without its partner is only a character.
        for word in std::mem::take(&mut self.code).split_whitespace() {
            self.word(word, "");
        }
        if self.used > 0 {
            self.text.push('\n');
            self.used = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_lists_and_code_keep_their_shape() {
        let text = "One two three four.\nFive.\n\n- first item which is long\n- second\n\n```toml\nkey   = 1\n```\nEnd.";
        let expected = "  One two three\n  four. Five.\n\n  - first item\n    which is long\n  - second\n\n    key   = 1\n  End.\n";
        assert_eq!(wrap(text, 17, "  "), expected);
    }

    #[test]
    fn code_stays_on_one_line_unless_it_is_long() {
        assert_eq!(wrap("one two `a b c` x", 14, ""), "one two\n`a b c` x\n");
        assert_eq!(wrap("one `a b c d e f g` x", 14, ""), "one `a b c d e\nf g` x\n");
        assert_eq!(wrap("it`s one two three", 14, ""), "it`s one two\nthree\n");
    }

    #[test]
    fn a_word_that_does_not_fit_stands_alone() {
        assert_eq!(wrap("a incomprehensibility b", 10, ""), "a\nincomprehensibility\nb\n");
        assert_eq!(wrap("", 10, ""), "");
    }
}
