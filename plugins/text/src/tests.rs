//! The filter `parse` through the contract that the engine uses.

mod combined;
mod formats;
mod logfmt;
mod options;
mod syslog;

use serde_json::{Value, json};
use tidegate_sdk::{ConfigError, Filter};
use tidegate_testkit as testkit;

fn filter(options: &Value) -> Box<dyn Filter> {
    testkit::build_filter(&testkit::plugin(crate::plugins(), "parse"), options)
}

/// Parses a line. Returns its JSON, or the reason why it is rejected.
fn parse(options: &Value, line: impl AsRef<[u8]>) -> Result<Value, String> {
    let (texts, mut rejected) = testkit::apply(filter(options).as_mut(), [line]);
    match rejected.pop() {
        Some((_, reason)) => {
            assert!(texts.is_empty(), "a rejected event is not emitted");
            Err(reason)
        }
        None => Ok(serde_json::from_str(&texts[0]).expect("what is emitted is JSON")),
    }
}

fn refused(options: &Value) -> ConfigError {
    match testkit::plugin(crate::plugins(), "parse").build(options) {
        Err(error) => error,
        Ok(_) => panic!("the plugin accepts {options}"),
    }
}

fn format(name: &str) -> Value {
    json!({ "format": name })
}
