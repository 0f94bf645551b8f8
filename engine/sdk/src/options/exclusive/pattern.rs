//! Paths with wildcards, and the question whether two of them can name one file.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::Template;

/// Longest pattern that is compared in detail. A longer one may name every file of its folder.
const LONGEST: usize = 512;

/// Paths that a glob matches, or that a template may render.
///
/// A glob stands for every file that it matches. A template stands for files that are not known before the events are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// The glob or template as it was written.
    text: String,
    kind: Kind,
    /// The folder that is written out at the front, and the pattern of the path within it.
    folder: PathBuf,
    rest: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Glob,
    Template,
}

/// Part of a pattern. `first` is true at the front of a name, where a wildcard matches no dot.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    Any {
        first: bool,
    },
    /// `*`
    Star {
        first: bool,
    },
    /// `[a-z]`
    Class {
        set: Vec<(char, char)>,
    },
    /// `**/`
    Folders,
    /// Value of an event: any text.
    Value,
}

impl PathPattern {
    /// Parses a glob: `*` and `?` match within a name, `**` matches folders, `[a-z]` one character. `None` if it has no
    /// wildcard.
    pub fn glob(text: &str) -> Option<Self> {
        let wildcard = text.find(['*', '?', '['])?;
        let start = text[..wildcard].rfind('/').map_or(0, |slash| slash + 1);
        let (kind, rest) = if text.len() > LONGEST {
            (Kind::Template, vec![Token::Value])
        } else {
            (Kind::Glob, glob_tokens(&text[start..]))
        };
        Some(Self { text: text.to_owned(), kind, folder: folder(&text[..start]), rest })
    }

    /// Returns the paths that `template` may render. `None` if it does not use the event.
    pub fn template(template: &Template) -> Option<Self> {
        if template.as_literal().is_some() {
            return None;
        }
        let start = template.prefix().rfind('/').map_or(0, |slash| slash + 1);
        let mut rest = Vec::new();
        let mut skip = start;
        for literal in template.literals() {
            match literal {
                Some(text) => {
                    rest.extend(text[skip..].chars().map(Token::Char));
                    skip = 0;
                }
                None => rest.push(Token::Value),
            }
        }
        if template.as_str().len() > LONGEST {
            rest = vec![Token::Value];
        }
        let (text, folder) = (template.as_str().to_owned(), folder(&template.prefix()[..start]));
        Some(Self { text, kind: Kind::Template, folder, rest })
    }

    /// The folder that is written out at the front.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the same pattern in another folder: the same one without links, for example.
    #[must_use]
    pub fn in_folder(self, folder: PathBuf) -> Self {
        Self { folder, ..self }
    }

    /// Tells whether it is a glob, which stands for all files that it matches.
    pub fn is_glob(&self) -> bool {
        self.kind == Kind::Glob
    }

    /// Tells whether `path` is one of its paths.
    pub fn matches(&self, path: &Path) -> bool {
        let mut literal = Automaton::default();
        literal.text(&path.to_string_lossy());
        self.automaton().meets(&literal)
    }

    /// Tells whether some path is one of both.
    pub fn meets(&self, other: &Self) -> bool {
        self.automaton().meets(&other.automaton())
    }

    fn automaton(&self) -> Automaton {
        let mut automaton = Automaton::default();
        let folder = self.folder.to_string_lossy();
        automaton.text(&folder);
        if !folder.is_empty() && !folder.ends_with('/') {
            automaton.text("/");
        }
        self.rest.iter().for_each(|token| automaton.push(token));
        automaton
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Returns the folder that a path up to its last slash names, without `.` and `..` where that is possible.
fn folder(text: &str) -> PathBuf {
    super::normal(Path::new(text))
}

fn glob_tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut first = true;
    while let Some(next) = rest.chars().next() {
        if first && (rest == "**" || rest.starts_with("**/")) {
            tokens.push(Token::Folders);
            // `**` alone at the end matches every file below.
            rest = rest.strip_prefix("**/").unwrap_or("*");
            continue;
        }
        rest = &rest[next.len_utf8()..];
        match (next, class(rest)) {
            ('*', _) => tokens.push(Token::Star { first }),
            ('?', _) => tokens.push(Token::Any { first }),
            ('[', Some((set, length))) => {
                tokens.push(Token::Class { set });
                rest = &rest[length..];
            }
            _ => tokens.push(Token::Char(next)),
        }
        first = next == '/';
    }
    tokens
}

/// Parses a class after its `[`. Returns its characters and its length. A bracket that comes first is one of them.
fn class(text: &str) -> Option<(Vec<(char, char)>, usize)> {
    let negated = text.starts_with('!');
    let start = usize::from(negated);
    let first = text[start..].chars().next()?.len_utf8();
    let end = text[start + first..].find(']')? + start + first;
    let characters: Vec<char> = text[start..end].chars().collect();
    let mut set = Vec::new();
    let mut at = 0;
    while let Some(from) = characters.get(at) {
        if characters.get(at + 1) == Some(&'-') && at + 2 < characters.len() {
            set.push((*from, characters[at + 2]));
            at += 3;
        } else {
            set.push((*from, *from));
            at += 1;
        }
    }
    Some((if negated { complement(set) } else { set }, end + 1))
}

/// Returns all characters of names that are not in `set`.
fn complement(mut set: Vec<(char, char)>) -> Vec<(char, char)> {
    set.push(('/', '/'));
    set.sort_unstable();
    let mut others = Vec::new();
    let mut from = 0;
    for (first, last) in set {
        if let Some(before) = u32::from(first).checked_sub(1).filter(|before| *before >= from) {
            others.extend(char::from_u32(from).zip(char::from_u32(before)));
        }
        from = from.max(u32::from(last) + 1);
    }
    others.extend(char::from_u32(from).map(|from| (from, char::MAX)));
    others
}

/// Any character but a slash.
const NAME: &[(char, char)] = &[('\0', '.'), ('0', char::MAX)];
/// Any character but a slash and a dot.
const FIRST_OF_NAME: &[(char, char)] = &[('\0', '-'), ('0', char::MAX)];
const ANY: &[(char, char)] = &[('\0', char::MAX)];

/// Nondeterministic finite automaton over the characters of a path. The last state accepts.
struct Automaton {
    states: Vec<State>,
}

#[derive(Default)]
struct State {
    /// Characters that lead to other states.
    edges: Vec<(Vec<(char, char)>, usize)>,
    /// State that needs no character. With `true`, the next character is no dot.
    skip: Option<(usize, bool)>,
}

/// State of an automaton while it reads, and whether the next character may be no dot.
type Cursor = (usize, bool);

impl Default for Automaton {
    fn default() -> Self {
        Self { states: vec![State::default()] }
    }
}

impl Automaton {
    fn text(&mut self, text: &str) {
        text.chars().for_each(|character| self.push(&Token::Char(character)));
    }

    fn push(&mut self, token: &Token) {
        let name = |first: bool| if first { FIRST_OF_NAME } else { NAME };
        match token {
            Token::Char(character) => self.one(vec![(*character, *character)]),
            Token::Any { first } => self.one(name(*first).to_vec()),
            Token::Class { set } => self.one(set.clone()),
            Token::Star { first } => {
                let (start, middle, end) = self.three();
                self.edge(start, name(*first), middle);
                self.edge(middle, NAME, middle);
                self.states[start].skip = Some((end, *first));
                self.states[middle].skip = Some((end, false));
            }
            Token::Folders => {
                let (start, middle, end) = self.three();
                self.edge(start, FIRST_OF_NAME, middle);
                self.edge(middle, NAME, middle);
                self.edge(middle, &[('/', '/')], start);
                self.states[start].skip = Some((end, false));
            }
            Token::Value => {
                let start = self.states.len() - 1;
                self.states.push(State::default());
                self.edge(start, ANY, start);
                self.states[start].skip = Some((start + 1, false));
            }
        }
    }

    fn one(&mut self, set: Vec<(char, char)>) {
        let start = self.states.len() - 1;
        self.states.push(State::default());
        self.states[start].edges.push((set, start + 1));
    }

    /// Adds two states, and returns them after the one that was last.
    fn three(&mut self) -> (usize, usize, usize) {
        let start = self.states.len() - 1;
        self.states.extend([State::default(), State::default()]);
        (start, start + 1, start + 2)
    }

    fn edge(&mut self, from: usize, set: &[(char, char)], to: usize) {
        self.states[from].edges.push((set.to_vec(), to));
    }

    /// Tells whether some text leads both automata to their ends.
    fn meets(&self, other: &Self) -> bool {
        let end = (self.states.len() - 1, other.states.len() - 1);
        let start: (Cursor, Cursor) = ((0, false), (0, false));
        let mut seen = HashSet::from([start]);
        let mut open = vec![start];
        while let Some((one, two)) = open.pop() {
            if (one.0, two.0) == end {
                return true;
            }
            let (left, right) = (&self.states[one.0], &other.states[two.0]);
            let mut next: Vec<(Cursor, Cursor)> = Vec::new();
            next.extend(left.skip.map(|(to, no_dot)| ((to, one.1 || no_dot), two)));
            next.extend(right.skip.map(|(to, no_dot)| (one, (to, two.1 || no_dot))));
            let no_dot = one.1 || two.1;
            for (set, to) in &left.edges {
                let shared = right.edges.iter().filter(|(other, _)| have_common(set, other, no_dot));
                next.extend(shared.map(|(_, other)| ((*to, false), (*other, false))));
            }
            open.extend(next.into_iter().filter(|pair| seen.insert(*pair)));
        }
        false
    }
}

/// Tells whether two sets have a common character, which is no dot if `no_dot` is set.
fn have_common(one: &[(char, char)], other: &[(char, char)], no_dot: bool) -> bool {
    let common = |(from, to): &(char, char), (first, last): &(char, char)| {
        let (from, to) = (*from.max(first), *to.min(last));
        from <= to && !(no_dot && (from, to) == ('.', '.'))
    };
    one.iter().any(|range| other.iter().any(|other| common(range, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> PathPattern {
        PathPattern::glob(text).unwrap()
    }

    fn template(text: &str) -> PathPattern {
        PathPattern::template(&text.parse().unwrap()).unwrap()
    }

    #[test]
    fn globs_match_paths_as_a_shell_does() {
        for (pattern, path, expected) in [
            ("logs/*.log", "logs/app.log", true),
            ("logs/*.log", "logs/.log", false),
            ("logs/*.log", "logs/a/b.log", false),
            ("./logs/../logs/*.log", "logs/app.log", true),
            ("logs/.*", "logs/.log", true),
            ("logs/app?log", "logs/app.log", true),
            ("logs/?pp.log", "logs/.pp.log", false),
            ("[a-c]/x[!0-9].log", "b/x1.log", false),
            ("[a-c]/x[!0-9].log", "b/xy.log", true),
            ("[]]x", "]x", true),
            ("data/**/x.log", "data/x.log", true),
            ("data/**/x.log", "data/a/b/x.log", true),
            ("data/**/x.log", "data/ax.log", false),
            ("data/**/x.log", "data/.a/x.log", false),
            ("data/**", "data/a/b", true),
            ("**/x", "a/b/x", true),
            ("/*", "/x", true),
            ("*", "x", true),
        ] {
            assert_eq!(glob(pattern).matches(Path::new(path)), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn templates_match_what_they_may_render() {
        for (pattern, path, expected) in [
            ("out/{.day}.jsonl", "out/1.jsonl", true),
            ("out/{.day}.jsonl", "out/a/1.jsonl", true),
            ("out/{.day}.jsonl", "out/1.json", false),
            ("out/a-{.day}", "out/b-1", false),
            ("./out/{.a}/{.b}{{}}", "out/x/y{}", true),
            ("x{.a}", "xy", true),
        ] {
            assert_eq!(template(pattern).matches(Path::new(path)), expected, "{pattern} {path}");
        }
        assert!(PathPattern::template(&"out/x".parse().unwrap()).is_none());
        assert!(PathPattern::glob("out/x").is_none());
    }

    #[test]
    fn patterns_meet_where_one_path_is_of_both() {
        for (one, other, expected) in [
            (template("out/{.a}.jsonl"), template("out/{.b}.jsonl"), true),
            (template("out/{.a}.jsonl"), template("out/{.b}.csv"), false),
            (template("out/a-{.a}"), template("out/b-{.b}"), false),
            (template("out/{.a}/x"), template("out/b/{.b}"), true),
            (template("out/{.a}"), glob("out/*.jsonl"), true),
            (template("out/{.a}.csv"), glob("out/*.jsonl"), false),
            (template("other/{.a}"), glob("out/*"), false),
            (glob("a*c"), glob("ab*"), true),
            (glob("[a-f]x"), glob("[g-z]x"), false),
            (glob("[!a-f]x"), glob("[a-f]x"), false),
            (glob("**/a"), glob("b/*"), true),
        ] {
            assert_eq!(one.meets(&other), expected, "{one} {other}");
            assert_eq!(other.meets(&one), expected, "{other} {one}");
        }
    }

    #[test]
    fn many_wildcards_take_no_time() {
        let stars = format!("{}b", "a*".repeat(60));
        assert!(!glob(&stars).meets(&glob(&"c*".repeat(60))));
        assert!(!glob(&stars).matches(Path::new(&"a".repeat(1000))));
        let long = glob(&format!("x/{}", "a*".repeat(2000)));
        assert!(long.meets(&glob("x/b*")) && !long.is_glob(), "it is not compared in detail");
    }
}
