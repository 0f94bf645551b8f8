//! Options that are refused.

use serde_json::{Value, json};
use tidegate_sdk::{Kind, Registry};

use super::driver::options;
use crate::server::options::Settings;

fn error(of: &Value) -> (String, String) {
    let error = Settings::new(options(of)).unwrap_err();
    (error.pointer, format!("{} {}", error.message, error.help.unwrap()))
}

#[test]
fn beyond_loopback_needs_a_token() {
    for listen in ["0.0.0.0:80", "192.168.1.5:80", "[::]:80", "example.org:80", "[::ffff:10.0.0.1]:80"] {
        let (pointer, text) = error(&json!({ "listen": listen }));
        assert_eq!(pointer, "/listen");
        assert!(text.contains("no token") && text.contains("set `token`"), "{text}");
        assert!(Settings::new(options(&json!({ "listen": listen, "token": "s3cret" }))).is_ok());
    }
    for listen in ["127.0.0.1:0", "127.1.2.3:1", "[::1]:80", "localhost:80", "[::ffff:127.0.0.1]:80"] {
        assert!(Settings::new(options(&json!({ "listen": listen }))).is_ok(), "{listen}");
    }
}

#[test]
fn options_that_cannot_be_served_are_refused() {
    let cases = [
        (json!({ "listen": "8080" }), "/listen"),
        (json!({ "listen": "::1:8080" }), "/listen"),
        (json!({ "listen": "127.0.0.1:99999" }), "/listen"),
        (json!({ "token": " " }), "/token"),
        (json!({ "path": "events" }), "/path"),
        (json!({ "path": "/ev*" }), "/path"),
        (json!({ "path": "/a?b" }), "/path"),
        (json!({ "methods": [] }), "/methods"),
        (json!({ "body_size": "4GiB" }), "/body_size"),
        (json!({ "inflated_size": "0B" }), "/inflated_size"),
        (json!({ "header_size": "1KiB" }), "/header_size"),
        (json!({ "connections": 0 }), "/connections"),
        (json!({ "rate": 0 }), "/rate"),
        (json!({ "headers": ["x y"] }), "/headers/0"),
        (json!({ "headers": ["x-a", "Authorization"] }), "/headers/1"),
    ];
    for (of, pointer) in cases {
        assert_eq!(error(&of).0, pointer, "{of}");
    }
}

#[test]
fn an_answer_that_cannot_be_sent_is_refused() {
    let registry = Registry::new(crate::plugins());
    let sink = registry.get(Kind::Sink, "http_response").unwrap();
    let cases = [
        (json!({ "status": 500 }), "/status"),
        (json!({ "content_type": "a\nb" }), "/content_type"),
        (json!({ "headers": { "a b": "c" } }), "/headers/a b"),
        (json!({ "headers": { "Content-Type": "c" } }), "/headers/Content-Type"),
        (json!({ "headers": { "content-length": "1" } }), "/headers/content-length"),
        (json!({ "headers": { "x": "é\u{7f}" } }), "/headers/x"),
    ];
    for (of, pointer) in cases {
        assert_eq!(sink.build(&of).err().unwrap().pointer, pointer, "{of}");
    }
}

#[test]
fn the_manual_has_every_default() {
    let registry = Registry::new(crate::plugins());
    let source = registry.get(Kind::Source, "http_server").unwrap();
    assert!(source.build(&json!({})).is_ok());
    let properties = source.schema()["properties"].as_object().unwrap();
    for (name, property) in properties {
        // A secret has no default that could be printed.
        assert!(property.get("default").is_some() || name == "token", "{name} has no default");
        assert!(property.get("description").is_some(), "{name} has no description");
    }
}
