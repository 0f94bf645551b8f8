//! Rules for names, and the name that a misspelt one means.

/// The longest name.
pub(crate) const LONGEST: usize = 64;

/// The most similar name among `known`, if one is similar enough.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let name = plain(name);
    known
        .into_iter()
        .map(|one| (likeness(&name, &plain(one)), one))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, one)| one)
}

/// 1 for the same word, 0 for one with nothing in common.
fn likeness(left: &str, right: &str) -> f64 {
    let edits = strsim::damerau_levenshtein(left, right);
    let longest = left.chars().count().max(right.chars().count()).max(1);
    let by_edits = 1.0 - edits as f64 / longest as f64;
    // One slip in a short word (`ur` for `url`) counts as much as two in a long one.
    if edits == 1 && longest >= 2 { by_edits.max(0.9) } else { by_edits.max(strsim::jaro(left, right) - 0.1) }
}

/// Names as a sentence has them: "`a`, `b` and `c`", at most 12 of them.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>, word: &str) -> String {
    let mut quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if quoted.len() > 12 {
        let more = quoted.len() - 11;
        quoted.truncate(11);
        quoted.push(format!("{more} more"));
    }
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {word} {last}", rest.join(", ")),
    }
}

/// The rule for the name of a component, if `name` breaks it.
pub(crate) fn component_problem(name: &str) -> Option<&'static str> {
    let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && name.len() <= LONGEST;
    (!fits).then_some(
        "a name has 1 to 64 of `A`-`Z`, `a`-`z`, `0`-`9`, `_` and `-`, and does not begin with `_` or `-`",
    )
}

/// The rule for the name or id of a pipeline, if `name` breaks it.
pub(crate) fn pipeline_problem(name: &str) -> Option<&'static str> {
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !name.starts_with('.')
        && (1..=LONGEST).contains(&name.len());
    (!fits).then_some(
        "it has 1 to 64 of `A`-`Z`, `a`-`z`, `0`-`9`, `_`, `-` and `.`, and does not begin with `.`",
    )
}

/// The word after `a` or `an`.
pub(crate) fn with_article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["url", "interval", "headers", "http_poll", "drain_timeout"];
        for (name, meant) in [
            ("ur", Some("url")),
            ("intervall", Some("interval")),
            ("httppoll", Some("http_poll")),
            ("http-poll", Some("http_poll")),
            ("header", Some("headers")),
            ("Interval", Some("interval")),
            ("drain", None),
            ("kafka", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(listed([], "or"), "none");
        assert_eq!(listed(["a"], "or"), "`a`");
        assert_eq!(listed(["a", "b", "c"], "or"), "`a`, `b` or `c`");
        assert!(listed(["x"; 30], "and").ends_with("and 19 more"));
    }
}
