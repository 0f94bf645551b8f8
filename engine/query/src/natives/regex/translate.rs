//! The syntax of Oniguruma where it differs from that of the crates.

/// The places at which `$` and `\Z` match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The end of a text that does not end with a line break.
    Text,
    /// The end of a text, and the place before the line break that it ends with.
    LastLine,
}

/// The meaning of `\b` and `\B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boundaries {
    Unicode,
    Ascii,
}

/// Translates a regular expression to the syntax of the crates.
pub(super) fn translate(pattern: &str, end: End, boundaries: Boundaries) -> String {
    let end = match end {
        End::Text => r"\z",
        End::LastLine => r"(?=\n?\z)",
    };
    let is_multiline = is_multiline(pattern);
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    let mut class = 0;
    while let Some(character) = rest.next() {
        match character {
            '\\' => match rest.next() {
                // Hexadecimal digits.
                Some('h') => out.push_str(if class > 0 { "0-9a-fA-F" } else { "[0-9a-fA-F]" }),
                Some('H') if class == 0 => out.push_str("[^0-9a-fA-F]"),
                Some('Z') if class == 0 => out.push_str(end),
                Some('R') if class == 0 => out.push_str(r"(?:\r\n|[\n-\r\u{85}\u{2028}\u{2029}])"),
                Some('e') => out.push_str(r"\x1B"),
                Some(boundary @ ('b' | 'B')) if class == 0 && boundaries == Boundaries::Ascii => {
                    out.push_str(if boundary == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
                }
                Some(escaped) => {
                    out.push('\\');
                    out.push(escaped);
                }
                None => out.push('\\'),
            },
            '$' if class == 0 && !is_multiline => out.push_str(end),
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

/// True if a pattern has an end whose place depends on whether the text ends with a line break.
pub(super) fn has_end(pattern: &str) -> bool {
    pattern.contains('$') || pattern.contains(r"\Z")
}

/// True if `(?m)` lets `^` and `$` match at each line.
fn is_multiline(pattern: &str) -> bool {
    let on = |group: &str| group.bytes().take_while(u8::is_ascii_alphabetic).any(|flag| flag == b'm');
    pattern.match_indices("(?").any(|(at, opening)| on(&pattern[at + opening.len()..]))
}
