//! The syntax of Oniguruma where it differs from that of the crates.

/// The same regular expression in the syntax of the crates.
pub(super) fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    let mut class = 0;
    while let Some(character) = rest.next() {
        match character {
            '\\' => match rest.next() {
                // Hexadecimal digits.
                Some('h') => out.push_str(if class > 0 { "0-9a-fA-F" } else { "[0-9a-fA-F]" }),
                Some('H') if class == 0 => out.push_str("[^0-9a-fA-F]"),
                // The end, in front of a line break too.
                Some('Z') if class == 0 => out.push_str(r"(?=\n?\z)"),
                Some('R') if class == 0 => out.push_str(r"(?:\r\n|[\n-\r\u{85}\u{2028}\u{2029}])"),
                Some('e') => out.push_str(r"\x1B"),
                Some(escaped) => {
                    out.push('\\');
                    out.push(escaped);
                }
                None => out.push('\\'),
            },
            '[' if class > 0 && rest.peek() != Some(&':') => {
                class += 1;
                out.push('[');
            }
            '[' if class > 0 => {
                // A class such as `[:alpha:]`.
                out.push('[');
                for inner in rest.by_ref() {
                    out.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            '[' => {
                class = 1;
                out.push('[');
                if rest.peek() == Some(&'^') {
                    out.extend(rest.next());
                }
                // A bracket at the beginning of a class stands for itself.
                if rest.peek() == Some(&']') {
                    rest.next();
                    out.push_str(r"\]");
                }
            }
            ']' if class > 0 => {
                class -= 1;
                out.push(']');
            }
            // Doubled, these are operators between classes only in the crates.
            '-' | '~' if class > 0 && rest.peek() == Some(&character) => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}
