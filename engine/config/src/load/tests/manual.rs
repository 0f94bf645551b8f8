//! Descriptions of options for people and editors.

use serde_json::Value;
use tidegate_sdk::{Kind, Registry};

use super::{plugins, read, text};
use crate::{OptionDoc, editor_schema, engine_options, graphviz, mermaid, options};

fn find<'a>(options: &'a [OptionDoc], name: &str) -> &'a OptionDoc {
    options.iter().find(|option| option.name == name).unwrap_or_else(|| panic!("{name} is listed"))
}

fn shown(option: &OptionDoc) -> String {
    let default = option.default.as_deref().unwrap_or("-");
    let required = if option.required { "required" } else { "optional" };
    format!("{} | {default} | {required} | {}", option.type_name, option.description)
}

fn plugin(registry: &Registry, kind: Kind, name: &str) -> Vec<OptionDoc> {
    options(registry.get(kind, name).unwrap())
}

#[test]
fn options_are_described_in_plain_words() {
    let registry = plugins::registry();
    let poll = plugin(&registry, Kind::Source, "http_poll");
    for (name, expected) in [
        ("url", "text | - | required | The URL of the requests."),
        ("interval", "duration | \"1m\" | optional | The pause between the beginnings of two rounds."),
        ("headers", "table of text | - | optional | Header lines to send."),
        ("items", "path | - | optional | The place of the array in the response."),
        ("auth.type", "one of `basic` or `bearer` | - | required | "),
        ("auth.password", "secret text | - | optional | With `type = \"basic\"`."),
        ("body_limit", "size | \"1MiB\" | optional | The longest answer."),
        ("pages.limit", "whole number | - | optional | The most pages of a round."),
        ("pages.pause", "duration | \"0s\" | optional | The pause between two."),
    ] {
        assert_eq!(shown(find(&poll, name)), expected, "{name}");
    }
    let file = plugin(&registry, Kind::Source, "file");
    assert_eq!(shown(find(&file, "path")), "text or list of text | - | required | The files to read.");
    assert_eq!(
        shown(find(&file, "decode")),
        "one of `json_array`, `csv` or `lines` | \"lines\" | optional | The content of an event. `lines`: A line."
    );
}

#[test]
fn the_keys_of_the_engine_are_listed_by_kind() {
    let names = |kind| engine_options(kind).into_iter().map(|option| option.name).collect::<Vec<_>>();
    assert_eq!(names(Kind::Source), ["plugin", "enabled", "isolation", "call_time", "on_reject"]);
    assert!(names(Kind::Filter).contains(&"workers".to_owned()));
    let sink = engine_options(Kind::Sink);
    assert_eq!(find(&sink, "batch.events").default.as_deref(), Some("8192"));
    assert_eq!(find(&sink, "retry.cap").default.as_deref(), Some("\"30s\""));
    assert_eq!(find(&sink, "on_reject").default.as_deref(), Some("\"dead_letter\""));
    for option in sink.iter().chain(&engine_options(Kind::Filter)) {
        assert!(!option.description.is_empty(), "{} is described", option.name);
    }
}

/// Every reference of the schema for editors leads somewhere, and each plugin has its branch.
#[test]
fn the_schema_for_editors_is_whole() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(entries) => {
                found.extend(value["$ref"].as_str().map(str::to_owned));
                entries.values().for_each(|inner| references(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
            _ => {}
        }
    }
    let schema = editor_schema(&plugins::registry());
    let mut found = Vec::new();
    references(&schema, &mut found);
    assert!(found.len() > 10);
    for reference in found {
        assert!(schema.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
    let poll = &schema["$defs"]["source.http_poll"];
    assert_eq!(poll["properties"]["plugin"]["anyOf"][0]["const"], "http_poll");
    assert_eq!(poll["required"], serde_json::json!(["plugin", "url"]));
    assert_eq!(poll["properties"]["pages"]["allOf"][0]["$ref"], "#/$defs/source.http_poll.Pages");
    let source = &schema["properties"]["source"]["additionalProperties"];
    assert_eq!(source["allOf"].as_array().unwrap().len(), 3);
    assert_eq!(source["allOf"][0]["if"]["properties"]["plugin"]["const"], "file");
    assert_eq!(poll["additionalProperties"], false);
    assert_eq!(poll["properties"]["url"]["description"], "The URL of the requests.");
    assert!(poll["properties"]["from"].is_null());
    assert!(schema["properties"]["pipeline"]["properties"]["drain_timeout"]["description"].is_string());
}

#[test]
fn pictures_show_components_and_outputs() {
    let source = "[source.in]\nplugin = 'stdin'\n[filter.r]\nplugin = 'route'\noutputs = ['slow']\n\
                  [sink.main]\nplugin = 'stdout'\n[sink.rest]\nplugin = 'blackhole'\nfrom = ['r.slow', 'main.rejected']\n";
    let pipeline = read(&text(source), &[]).pipeline.unwrap();
    assert_eq!(
        mermaid(&pipeline),
        "flowchart LR\n  n0([\"in<br/>stdin\"])\n  n1[\"r<br/>route\"]\n  n2[(\"main<br/>stdout\")]\n  \
         n3[(\"rest<br/>blackhole\")]\n  n0 --> n1\n  n1 --> n2\n  n1 -->|\"slow\"| n3\n  n2 -->|\"rejected\"| n3\n"
    );
    let dot = graphviz(&pipeline);
    assert!(dot.starts_with("digraph \"test\" {\n"));
    assert!(dot.contains("  \"in\" [shape=cds, label=\"in\\nstdin\"];\n"));
    assert!(dot.contains("  \"r\" -> \"rest\" [label=\"slow\"];\n"));
    assert!(dot.contains("  \"in\" -> \"r\";\n"));
}
