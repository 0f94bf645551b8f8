//! Wildcards in one component of a path, over bytes.

/// Pattern of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A character.
    Is(char),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `[a-z]`, or `[!a-z]` if negated.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// Character of a name, or a byte that is not UTF-8.
#[derive(Clone, Copy)]
enum Unit {
    Char(char),
    Byte,
}

impl Pattern {
    /// Parses one component of a path.
    ///
    /// # Errors
    /// The reason why it is no pattern.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        if text.contains("**") {
            return Err("`**` matches folders, so nothing else may be between its slashes");
        }
        let mut tokens = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            tokens.push(match character {
                '?' => Token::Any,
                '*' => Token::Star,
                '[' => class(&mut rest)?,
                other => Token::Is(other),
            });
        }
        Ok(Self(tokens))
    }

    /// Tells whether `name` matches. A dot at its front is matched only by a dot.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        if name.first() == Some(&b'.') && self.0.first() != Some(&Token::Is('.')) {
            return false;
        }
        let units = units(name);
        let (mut token, mut unit) = (0, 0);
        // The last star, and the unit that follows its current match.
        let mut star: Option<(usize, usize)> = None;
        while unit < units.len() {
            match self.0.get(token) {
                Some(Token::Star) => {
                    star = Some((token, unit));
                    token += 1;
                }
                Some(one) if one.matches(units[unit]) => {
                    token += 1;
                    unit += 1;
                }
                _ => match &mut star {
                    Some((at, tried)) => {
                        *tried += 1;
                        (token, unit) = (*at + 1, *tried);
                    }
                    None => return false,
                },
            }
        }
        self.0[token..].iter().all(|rest| *rest == Token::Star)
    }
}

impl Token {
    fn matches(&self, unit: Unit) -> bool {
        match (self, unit) {
            (Self::Any, _) => true,
            (Self::Is(character), Unit::Char(other)) => *character == other,
            (Self::Class { negated, ranges }, Unit::Char(character)) => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)) != *negated
            }
            (Self::Class { negated, .. }, Unit::Byte) => *negated,
            (Self::Is(_), Unit::Byte) | (Self::Star, _) => false,
        }
    }
}

fn units(name: &[u8]) -> Vec<Unit> {
    let mut units = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        units.extend(chunk.valid().chars().map(Unit::Char));
        units.extend(chunk.invalid().iter().map(|_| Unit::Byte));
    }
    units
}

/// Parses the rest of a class, up to its bracket. A bracket that comes first is one of its characters.
fn class(rest: &mut std::str::Chars<'_>) -> Result<Token, &'static str> {
    let text = rest.as_str();
    let negated = text.starts_with('!');
    let start = usize::from(negated);
    let first = text[start..].chars().next().map_or(0, char::len_utf8);
    let end = text[start + first..].find(']').ok_or("a `[` has no `]`")? + start + first;
    let characters: Vec<char> = text[start..end].chars().collect();
    *rest = text[end + 1..].chars();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        if at + 2 < characters.len() && characters[at + 1] == '-' {
            ranges.push((characters[at], characters[at + 2]));
            at += 3;
        } else {
            ranges.push((characters[at], characters[at]));
            at += 1;
        }
    }
    Ok(Token::Class { negated, ranges })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &[u8]) -> bool {
        Pattern::new(pattern).unwrap().matches(name)
    }

    #[test]
    fn names_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.log", "app.log", true),
            ("*.log", ".log", false),
            (".*", ".log", true),
            ("*.log", "app.log.1", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "acb", false),
            ("?", "\u{e4}", true),
            ("??", "\u{e4}", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[!]]", "]", false),
            ("[a-]", "-", true),
            ("*", "", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_units_of_their_own() {
        assert!(matches("?.log", b"\xff.log"));
        assert!(matches("*.log", b"\xff\xfe.log"));
        assert!(matches("[!a].log", b"\xff.log"));
        assert!(!matches("[a-z].log", b"\xff.log"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        assert!(Pattern::new("a**").is_err());
        assert!(Pattern::new("[a").is_err());
        assert!(Pattern::new("[]").is_err());
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&format!("{}b", "a*".repeat(60)), "a".repeat(255).as_bytes()));
    }
}
