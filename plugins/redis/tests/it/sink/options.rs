use serde_json::{Value, json};
use tidegate_sdk::ConfigError;

fn refused(extra: &Value) -> ConfigError {
    let mut options = json!({"command": "rpush", "key": "l", "url": "redis://localhost"});
    for (name, value) in extra.as_object().unwrap() {
        match value.is_null() {
            true => drop(options.as_object_mut().unwrap().remove(name)),
            false => options[name] = value.clone(),
        }
    }
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis");
    match plugin.build(&options) {
        Ok(_) => panic!("{extra} is accepted"),
        Err(error) => error,
    }
}

#[test]
fn options_that_exclude_each_other_or_do_nothing_are_refused() {
    for (extra, pointer, message) in [
        (json!({"url": null}), "", "exactly one of"),
        (json!({"cluster": ["redis://localhost"]}), "", "exactly one of"),
        (json!({"url": "http://localhost"}), "/url", "not the address of a Redis server"),
        (json!({"url": "rediss://localhost/#insecure"}), "/url", "pose as the server"),
        (json!({"url": null, "cluster": []}), "/cluster", "at least one node"),
        (json!({"url": null, "cluster": ["redis://h"], "database": 1}), "/database", "no database but 0"),
        (json!({"url": null, "cluster": ["unix:///s"]}), "/cluster/0", "by host and port"),
        (json!({"url": null, "sentinel": {"urls": [], "name": "m"}}), "/sentinel/urls", "at least one"),
        (json!({"url": null, "cluster": ["redis://a", "rediss://b"]}), "/cluster/1", "are for TLS and some"),
        (json!({"url": null, "cluster": ["redis://:p@a", "redis://:q@b"]}), "/cluster/1", "different logins"),
        (
            json!({"url": null, "sentinel": {"urls": ["rediss://a", "redis://b"], "name": "m"}}),
            "/sentinel/urls/1",
            "are for TLS and some",
        ),
        (
            json!({"url": null, "sentinel": {"urls": ["redis://a/1"], "name": "m"}}),
            "/sentinel/urls/0",
            "no databases",
        ),
        (json!({"url": null, "sentinel": {"urls": ["redis://a"], "name": ""}}), "/sentinel/name", "the name"),
        (json!({"url": "redis://localhost?protocol=resp3"}), "/url", "has no meaning"),
        (json!({"tls": {}}), "/tls", "not one of TLS"),
        (json!({"url": "rediss://h", "tls": {"client_key": "k"}}), "/tls", "go together"),
        (json!({"user": "u"}), "/user", "without a password"),
        (json!({"as": "fields"}), "/as", "has no fields"),
        (json!({"field": "f"}), "/field", "has no fields"),
        (json!({"score": ".s"}), "/score", "has no score"),
        (json!({"command": "zadd"}), "", "needs a score"),
        (json!({"command": "hset", "as": "payload"}), "/as", "name of the field"),
        (json!({"command": "hset", "value": ".v"}), "/value", "a field of its own"),
        (json!({"command": "sadd", "maxlen": 1}), "/maxlen", "cannot trim"),
        (json!({"maxlen": 0}), "/maxlen", "keeps no"),
        (json!({"maxlen": 1, "maxlen_exact": true}), "/maxlen_exact", "goes with `xadd`"),
        (json!({"command": "publish", "ttl": "1s"}), "/ttl", "keeps nothing"),
        (json!({"ttl": "0s"}), "/ttl", "at least 1ms"),
        (json!({"time_limit": "0s"}), "/time_limit", "is zero"),
        (json!({"key": "l:{.k}", "depth_limit": 5}), "/depth_limit", "many keys"),
        (json!({"command": "set", "depth_limit": 5}), "/depth_limit", "no depth"),
        (json!({"key": "{.k}"}), "", "begins with data"),
        (json!({"surprise": 1}), "", "unknown field"),
    ] {
        let error = refused(&extra);
        assert_eq!(error.pointer, pointer, "{extra}: {error}");
        assert!(error.message.contains(message), "{extra}: {error}");
    }
}

#[test]
fn a_bad_address_does_not_show_its_password() {
    let error = refused(&json!({"url": "redis://me:hunter2@host:port"}));
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn the_schema_tells_what_the_manual_needs() {
    let plugin = tidegate_testkit::plugin(tidegate_redis::plugins(), "redis");
    let schema = plugin.schema();
    assert_eq!(schema["required"], json!(["command", "key"]));
    assert_eq!(schema["properties"]["time_limit"]["default"], "10s");
    assert_eq!(schema["properties"]["password"]["format"], json!("secret"));
    for (name, property) in schema["properties"].as_object().unwrap() {
        assert!(property["description"].is_string(), "`{name}` has no description");
    }
}
