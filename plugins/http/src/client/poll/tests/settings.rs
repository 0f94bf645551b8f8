//! Tests of options that are refused or warned of.

use tidegate_sdk::ConfigError;

use super::*;

fn built(options: Value) -> Result<Box<dyn Source>, ConfigError> {
    let all = with_options(json!({ "url": "http://h/", "interval": "1s" }), options);
    match plugin().build(&all)? {
        tidegate_sdk::Component::Source(source) => Ok(source),
        _ => panic!("it is a source"),
    }
}

#[test]
fn a_value_in_the_query_beside_a_body_is_a_warning() {
    let body = r#"{"query":"{a}"}"#;
    let warned = |options: Value| -> Vec<String> {
        let all = with_options(json!({ "method": "POST", "body": body }), options);
        built(all).unwrap().warnings().into_iter().map(|warning| warning.pointer).collect()
    };
    let page = json!({ "kind": "cursor", "from": ".next" });
    let cursor = json!({ "from": ".at", "parameter": "since" });
    assert_eq!(warned(json!({ "pagination": page, "cursor": cursor })), ["/pagination", "/cursor"]);
    assert_eq!(warned(json!({ "pagination": { "kind": "offset" } })), ["/pagination"]);
    assert!(warned(json!({ "pagination": { "kind": "link" } })).is_empty());
    assert!(warned(json!({})).is_empty());
    let page = json!({ "kind": "cursor", "from": ".next", "body_path": ".variables.after" });
    let cursor = json!({ "from": ".at", "body_path": ".variables.since" });
    assert!(warned(json!({ "pagination": page, "cursor": cursor })).is_empty());
    assert!(warned(json!({ "body": null, "pagination": { "kind": "page" } })).is_empty());
}

#[test]
fn options_that_cannot_work_are_refused() {
    let cases = [
        (json!({ "cursor": { "from": ".a" } }), "/cursor"),
        (
            json!({ "cursor": { "from": ".a", "parameter": "a", "body_path": ".a" }, "method": "POST" }),
            "/cursor",
        ),
        (
            json!({ "cursor": { "from": ".a", "parameter": "page" }, "pagination": { "kind": "page" } }),
            "/cursor/parameter",
        ),
        (json!({ "pagination": { "kind": "page", "body_path": ".a" } }), "/pagination/body_path"),
        (
            json!({ "pagination": { "kind": "link", "body_path": ".a" }, "method": "POST" }),
            "/pagination/body_path",
        ),
        (
            json!({ "pagination": { "kind": "page", "body_path": ".a" }, "method": "POST", "body": "text" }),
            "/pagination/body_path",
        ),
        (json!({ "cursor": { "from": ".a", "body_path": ".a" } }), "/cursor/body_path"),
        (json!({ "url": "http://h/{cursor}", "cursor": { "from": ".a" } }), "/url"),
        (json!({ "url": "http://h/{page}", "pagination": { "kind": "cursor", "from": ".a" } }), "/url"),
        (json!({ "url": "http://{page}.h/", "pagination": { "kind": "page" } }), "/url"),
        (json!({ "query": { "q": "{cursor}" } }), ""),
        (json!({ "headers": { "x": "{page}" }, "pagination": { "kind": "link" } }), ""),
        (
            json!({ "query": { "p": "{page}" }, "pagination": { "kind": "page", "parameter": "p" } }),
            "/pagination",
        ),
        (json!({ "missing": "empty" }), "/missing"),
        (json!({ "items": ".a | nothing" }), "/items"),
        (json!({ "pagination": { "kind": "page", "stop": "$nothing" } }), "/pagination/stop"),
        (json!({ "pagination": { "kind": "cursor" } }), "/pagination"),
    ];
    for (options, pointer) in cases {
        let error = built(options.clone()).err().unwrap_or_else(|| panic!("{options} is refused"));
        assert_eq!(error.pointer, pointer, "{error}");
        assert!(error.help.is_some(), "{error}");
    }
}

#[tokio::test]
async fn page_and_cursor_are_put_into_the_body() {
    let server = Server::start(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        match body["variables"]["after"].as_str() {
            None => ok(r#"{"items":[{"at":"b"}],"next":"n2"}"#),
            Some("n2") => ok(r#"{"items":[{"at":"a"}],"next":null}"#),
            other => panic!("{other:?}"),
        }
    })
    .await;
    let options = json!({
        "method": "POST", "body": r#"{"query":"{a}","variables":{"first":1}}"#, "items": ".items", "times": 2,
        "pagination": { "kind": "cursor", "from": ".next", "body_path": ".variables.after" },
        "cursor": { "from": ".at", "body_path": ".variables.since" },
    });
    assert_eq!(read(&server, "/", options).await.0.len(), 4);
    let bodies: Vec<String> = server.received().iter().map(ReceivedRequest::text).collect();
    assert_eq!(bodies[0], r#"{"query":"{a}","variables":{"first":1}}"#);
    assert_eq!(bodies[1], r#"{"query":"{a}","variables":{"first":1,"after":"n2"}}"#);
    assert_eq!(bodies[2], r#"{"query":"{a}","variables":{"first":1,"since":"b"}}"#);
    assert_eq!(bodies[3], r#"{"query":"{a}","variables":{"first":1,"since":"b","after":"n2"}}"#);
    assert!(server.targets().iter().all(|target| target == "/"), "nothing is in the query");
}

#[test]
fn every_problem_of_a_poll_is_reported_at_once() {
    let options = json!({
        "url": "ftp://h/", "interval": "0s", "max_pages": 0, "time_limit": "0s",
        "pagination": { "kind": "link", "start": 3 }, "cursor": { "from": ".a" },
    });
    let error = built(options).err().expect("the options are refused");
    let mut pointers: Vec<&str> = error.each().map(|error| error.pointer.as_str()).collect();
    pointers.sort_unstable();
    let expected = ["/cursor", "/interval", "/max_pages", "/pagination/start", "/time_limit", "/url"];
    assert_eq!(pointers, expected);
}
