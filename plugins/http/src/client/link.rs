//! The `Link` header (RFC 8288, section 3), parsed as its appendix B says.

#[cfg(test)]
mod tests;

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};

/// One link of a header.
#[derive(Debug, PartialEq, Eq)]
struct Link<'a> {
    target: &'a str,
    /// Names in lower case, with their values, in order.
    parameters: Vec<(String, String)>,
}

/// The target of the first link with the relation `next` in the context of `page`, as it is written.
pub(crate) fn next(headers: &HeaderMap, page: &Url) -> Option<String> {
    headers.get_all(LINK).iter().find_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let found = links(&value).into_iter().find(|link| link.leads_on_from(page));
        found.map(|link| link.target.to_owned())
    })
}

impl Link<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        // Where a name occurs several times, the first one counts.
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn leads_on_from(&self, page: &Url) -> bool {
        let relations = self.parameter("rel").unwrap_or_default();
        let next = relations.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"));
        // An anchor says that the link is about another resource.
        next && self.parameter("anchor").is_none_or(|anchor| page.join(anchor).is_ok_and(|url| url == *page))
    }
}

/// The links of one header. What is malformed ends the list, or loses the link that it is in.
fn links(value: &str) -> Vec<Link<'_>> {
    let mut all = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return all;
        }
        let Some((target, behind)) = rest.strip_prefix('<').and_then(|link| link.split_once('>')) else {
            rest = after_comma(rest);
            continue;
        };
        let (parameters, behind) = parameters(behind);
        all.push(Link { target: target.trim_matches([' ', '\t']), parameters });
        rest = after_comma(behind);
    }
}

/// The text after the next comma that is in no quoted string.
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

/// The parameters at the start of `text`, and what follows them.
fn parameters(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut all = Vec::new();
    loop {
        text = trimmed(text);
        let Some(behind) = text.strip_prefix(';') else { return (all, text) };
        text = trimmed(behind);
        let end = text.find([' ', '\t', '=', ';', ',']).unwrap_or(text.len());
        let (name, behind) = text.split_at(end);
        text = trimmed(behind);
        let mut value = String::new();
        if let Some(behind) = text.strip_prefix('=') {
            (value, text) = parameter_value(trimmed(behind));
        }
        if !name.is_empty() {
            all.push((name.to_ascii_lowercase(), value));
        }
    }
}

/// The value at the start of `text`, a quoted string or a token, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, behind) = text.split_at(end);
        return (value.trim_end_matches([' ', '\t']).to_owned(), behind);
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
