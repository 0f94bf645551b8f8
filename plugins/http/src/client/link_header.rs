//! The `Link` header (RFC 8288, section 3), parsed as its appendix B says.

#[cfg(test)]
mod tests;

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};

/// A link of a header.
#[derive(Debug, PartialEq, Eq)]
struct Link<'a> {
    target: &'a str,
    /// Names in lower case, with their values, in order.
    parameters: Vec<(String, String)>,
}

/// Returns the target of the first link with the relation `next` in the context of `page`, as it is written.
pub(crate) fn next(headers: &HeaderMap, page: &Url) -> Option<String> {
    headers.get_all(LINK).iter().find_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let found = links(&value).into_iter().find(|link| link.leads_on_from(page));
        found.map(|link| link.target.to_owned())
    })
}

impl Link<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        // The first parameter of a name counts.
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn leads_on_from(&self, page: &Url) -> bool {
        let relations = self.parameter("rel").unwrap_or_default();
        let next = relations.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"));
        // With an anchor, the link is about another resource.
        next && self.parameter("anchor").is_none_or(|anchor| page.join(anchor).is_ok_and(|url| url == *page))
    }
}

/// Parses the links of one header. A malformed link is skipped, or ends the list.
fn links(value: &str) -> Vec<Link<'_>> {
    let mut all = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return all;
        }
        let Some((target, rest_of_it)) = rest.strip_prefix('<').and_then(|link| link.split_once('>')) else {
            rest = after_comma(rest);
            continue;
        };
        let (parameters, rest_of_it) = parameters(rest_of_it);
        all.push(Link { target: target.trim_matches([' ', '\t']), parameters });
        rest = after_comma(rest_of_it);
    }
}

/// Returns the text after the next comma outside of quoted strings.
fn after_comma(text: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

/// Parses the parameters at the start of `text`. Returns them and the rest.
fn parameters(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut all = Vec::new();
    loop {
        text = trimmed(text);
        let Some(rest_of_it) = text.strip_prefix(';') else { return (all, text) };
        text = trimmed(rest_of_it);
        let end = text.find([' ', '\t', '=', ';', ',']).unwrap_or(text.len());
        let (name, rest_of_it) = text.split_at(end);
        text = trimmed(rest_of_it);
        let mut value = String::new();
        if let Some(rest_of_it) = text.strip_prefix('=') {
            (value, text) = parameter_value(trimmed(rest_of_it));
        }
        if !name.is_empty() {
            all.push((name.to_ascii_lowercase(), value));
        }
    }
}

/// Parses the value at the start of `text`, a quoted string or a token. Returns it and the rest.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, rest_of_it) = text.split_at(end);
        return (value.trim_end_matches([' ', '\t']).to_owned(), rest_of_it);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                escaped = false;
                value.push(c);
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

fn trimmed(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}
