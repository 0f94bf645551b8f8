//! The filters `parse` and `jq`.

use std::cell::RefCell;

use serde_json::{Value, json};
use tidegate_sdk::{Component, Filter};
use tidegate_testkit as testkit;

use crate::{choice, first_line};

/// Checks that every event is emitted as JSON, or rejected with a reason.
fn apply(filter: &mut dyn Filter, event: &[u8], at_least_one: bool) {
    let (texts, rejected) = testkit::apply(filter, [event]);
    assert!(rejected.iter().all(|(index, reason)| *index == 0 && !reason.is_empty()));
    assert!(texts.is_empty() || rejected.is_empty(), "a rejected event is not emitted");
    assert!(!at_least_one || texts.len() + rejected.len() == 1, "no event disappears");
    for text in texts {
        assert_eq!(tidegate_sdk::json::check(text.as_bytes()), Ok(()), "{text}");
        assert!(!text.contains('\n'), "an event is one line");
    }
}

fn built(plugins: Vec<tidegate_sdk::Plugin>, name: &str, options: &[Value]) -> Vec<Box<dyn Filter>> {
    let plugin = testkit::plugin(plugins, name);
    options.iter().map(|options| testkit::build_filter(&plugin, options)).collect()
}

thread_local! {
    static PARSERS: RefCell<Vec<Box<dyn Filter>>> = RefCell::new(built(tidegate_text::plugins(), "parse", &[
        json!({ "format": "logfmt", "types": { "a": "integer", "b": "float", "c": "timestamp", "d": "boolean" } }),
        json!({ "format": "csv", "columns": ["a", "b"] }),
        json!({ "format": "csv", "columns": ["a"], "delimiter": "\t", "types": { "a": "float" } }),
        json!({ "format": "combined" }),
        json!({ "format": "syslog", "year": 2026 }),
        json!({ "format": "syslog" }),
        json!({ "format": "regex", "pattern": "^(?<a>[a-z]+) ?(?<b>.*)$", "types": { "b": "integer" } }),
        json!({ "format": "logfmt", "field": ".a" }),
    ]));
    static QUERIES: RefCell<Vec<Box<dyn Filter>>> = RefCell::new(built(tidegate_jq::plugins(), "jq", &[
        json!({ "query": "." }),
        json!({ "query": ".. | select(type == \"string\") | ascii_downcase, length, test(\"a+\"), @base64, @uri" }),
        json!({ "query": "[paths], (tostring | fromjson), (tojson | explode | implode), (try tonumber catch .)" }),
        json!({ "query": "to_entries[]? // (sort? , unique?, group_by(.)?, add?, (.[1:]?), (.[-1]?))" }),
        json!({ "query": "(.[]? | strptime(\"%Y-%m-%d\")?, fromdate?, todate?, @base64?, @html?, splits(\"b\")?)" }),
    ]));
}

/// The first byte chooses the format, the rest is an event.
pub(crate) fn parse(bytes: &[u8]) {
    let (choice, event) = choice(bytes);
    PARSERS.with_borrow_mut(|parsers| {
        let at = choice % parsers.len();
        apply(parsers[at].as_mut(), event, true);
    });
}

/// The first byte chooses the query, the rest is an event.
pub(crate) fn jq_input(bytes: &[u8]) {
    let (choice, event) = choice(bytes);
    QUERIES.with_borrow_mut(|queries| {
        let at = choice % queries.len();
        apply(queries[at].as_mut(), event, false);
    });
}

/// The first line is a query, the rest an event.
pub(crate) fn jq_query(bytes: &[u8]) {
    let (query, event) = first_line(bytes);
    let Ok(query) = std::str::from_utf8(query) else { return };
    let options = json!({ "query": query, "limit": { "events": 100, "bytes": "1MiB", "steps": 10_000 } });
    if let Ok(Component::Filter(mut filter)) = testkit::plugin(tidegate_jq::plugins(), "jq").build(&options) {
        apply(filter.as_mut(), event, false);
    }
}
