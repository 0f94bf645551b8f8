//! The three plugins through the contract that the engine uses.

mod cancelled;
mod fast;
mod fused;
mod generate;
mod jq;
mod route;
mod touched;

use serde_json::{Value, json};
use tidegate_sdk::{Component, ConfigError, Filter, Plugin};
use tidegate_testkit as testkit;

fn plugin(name: &str) -> Plugin {
    testkit::plugin(crate::plugins(), name)
}

fn filter(name: &str, options: &Value) -> Box<dyn Filter> {
    testkit::build_filter(&plugin(name), options)
}

fn refused(name: &str, options: &Value) -> ConfigError {
    match plugin(name).build(options) {
        Err(error) => error,
        Ok(Component::Filter(_)) => panic!("the filter {name} accepts {options}"),
        Ok(_) => panic!("{name} accepts {options}"),
    }
}

/// The results of the query for one payload.
fn results(query: &str, payload: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
    let mut filter = filter("jq", &json!({ "query": query }));
    let (texts, mut rejected) = testkit::apply(filter.as_mut(), [payload]);
    match rejected.pop() {
        Some((_, reason)) => {
            assert!(texts.is_empty(), "a rejected event is not emitted");
            Err(reason)
        }
        None => Ok(texts),
    }
}

fn reason(query: &str, payload: impl AsRef<[u8]>) -> String {
    results(query, payload).expect_err("the event is rejected")
}
