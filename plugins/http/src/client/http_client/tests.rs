//! Tests of the common parts: login, redirects, and options that are refused.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_sdk::Class;
use tidegate_testkit::{build_source, read_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::poll;
use crate::client::test_server::{Reply, Server, ok, status, with_options};
use crate::coding::Coding;

async fn poll(url: &str, options: Value) -> Result<Vec<String>, tidegate_sdk::Error> {
    let all = with_options(json!({ "url": url, "times": 1, "interval": "1ms" }), options);
    read_all(&mut *build_source(&poll::plugin(), &all)).await.map(|(texts, _)| texts)
}

fn oauth(server: &Server, credentials: &str) -> Value {
    json!({ "oauth2": {
        "token_url": format!("{}/token", server.url), "client_id": "me:1", "client_secret": "hu sh",
        "scope": "read write", "credentials": credentials,
    } })
}

#[tokio::test]
async fn a_bearer_token_is_sent() {
    let server = Server::start(|_| ok("[]")).await;
    poll(&server.url, json!({ "auth": { "bearer": "t" } })).await.unwrap();
    assert_eq!(server.received()[0].header("authorization"), Some("Bearer t"));
}

#[tokio::test]
async fn an_oauth_token_is_fetched_once_and_again_when_it_is_refused() {
    let mut tokens = 0;
    let server =
        Server::start(move |request| match (request.target.as_str(), request.header("authorization")) {
            ("/token", _) => {
                tokens += 1;
                ok(format!(r#"{{"access_token":"t{tokens}","token_type":"bearer","expires_in":3600}}"#))
            }
            // The first token is valid for two requests, and then withdrawn.
            (_, Some("Bearer t1")) if tokens == 1 && request.target == "/?n=1" => ok("[1]"),
            (_, Some("Bearer t2")) => ok("[2]"),
            _ => status(401, "token expired"),
        })
        .await;
    let options = json!({ "auth": oauth(&server, "header"), "query": { "n": 1 }, "times": 2 });
    assert_eq!(poll(&server.url, options).await.unwrap(), ["1", "1"]);
    assert_eq!(server.targets(), ["/token", "/?n=1", "/?n=1"], "one token for both polls");
    let first = &server.received()[0];
    assert_eq!(first.header("authorization"), Some("Basic bWUlM0ExOmh1JTIwc2g="), "encoded, then joined");
    assert_eq!(first.text(), "grant_type=client_credentials&scope=read+write");

    let server = Server::start({
        let mut tokens = 0;
        move |request| match (request.target.as_str(), request.header("authorization")) {
            ("/token", _) => {
                tokens += 1;
                ok(format!(r#"{{"access_token":"t{tokens}"}}"#))
            }
            (_, Some("Bearer t2")) => ok("[2]"),
            _ => status(401, "token expired"),
        }
    })
    .await;
    assert_eq!(poll(&server.url, json!({ "auth": oauth(&server, "body") })).await.unwrap(), ["2"]);
    assert_eq!(server.targets(), ["/token", "/", "/token", "/"]);
    assert!(server.received()[0].text().ends_with("client_id=me%3A1&client_secret=hu+sh"));
}

#[tokio::test]
async fn a_token_that_is_about_to_expire_is_not_used() {
    let server = Server::start(|request| match request.target.as_str() {
        "/token" => ok(r#"{"access_token":"t","expires_in":0}"#),
        _ => ok("[1]"),
    })
    .await;
    poll(&server.url, json!({ "auth": oauth(&server, "header"), "times": 2 })).await.unwrap();
    assert_eq!(server.targets(), ["/token", "/", "/token", "/"]);
}

#[tokio::test]
async fn a_refused_login_is_reported_without_its_secrets() {
    for (reply, class) in [(401, Class::Misconfigured), (400, Class::Misconfigured), (503, Class::Retry)] {
        let server = Server::start(move |_| status(reply, "invalid_client")).await;
        let error = poll(&server.url, json!({ "auth": oauth(&server, "header") })).await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(
            error.message().contains("token from") && error.message().contains("invalid_client"),
            "{error}"
        );
        assert!(!error.message().contains("hu"), "{error}");
    }
    let server = Server::start(|_| status(401, "who are you")).await;
    let error = poll(&server.url, json!({ "auth": { "bearer": "hush" } })).await.unwrap_err();
    assert_eq!(error.class(), Class::Misconfigured);
    assert!(!error.message().contains("hush"), "{error}");
    assert_eq!(server.targets().len(), 1, "a token that is written down is not asked for again");
    let silent = Server::start(|_| Reply::Silence).await;
    let options = json!({ "auth": oauth(&silent, "header"), "time_limit": "50ms" });
    let error = poll(&silent.url, options).await.unwrap_err();
    assert_eq!(error.class(), Class::Retry, "nothing was sent yet: {error}");
}

#[tokio::test]
async fn a_token_is_used_however_its_answer_is_written() {
    for (fields, tokens) in [
        (r#""expires_in":"3599","token_type":"BearerToken""#, 1),
        (r#""expires_in":3599.5,"token_type":"BEARER""#, 1),
        (r#""expires_in":-1"#, 1),
        (r#""expires_in":99999999999999999999999999"#, 1),
        (r#""expires_in":null,"token_type":null"#, 1),
        (r#""expires_in":"0""#, 2),
    ] {
        let server =
            Server::start(move |request| match (request.target.as_str(), request.header("authorization")) {
                ("/token", _) => ok(format!(r#"{{"access_token":"t",{fields}}}"#)),
                (_, Some("Bearer t")) => ok("[1]"),
                _ => status(401, "no token"),
            })
            .await;
        let options = json!({ "auth": oauth(&server, "header"), "times": 2 });
        assert_eq!(poll(&server.url, options).await.unwrap(), ["1", "1"], "{fields}");
        let fetched = server.targets().iter().filter(|target| *target == "/token").count();
        assert_eq!(fetched, tokens, "{fields}");
    }
    for (reply, class, words) in [
        (ok(r#"{"error":"invalid_scope","error_description":"no such"}"#), Class::Misconfigured, "no such"),
        (status(400, r#"{"error":"temporarily_unavailable"}"#), Class::Retry, "temporarily"),
        (ok("x").with("content-encoding", "compress"), Class::Misconfigured, "`compress` is not supported"),
        (status(429, "").with("retry-after", "9"), Class::Retry, "429"),
    ] {
        let mut reply = Some(reply);
        let server = Server::start(move |_| reply.take().unwrap_or_else(|| status(500, "once"))).await;
        let error = poll(&server.url, json!({ "auth": oauth(&server, "body") })).await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(error.message().contains(words), "{error}");
        assert_eq!(error.retry_after().is_some(), words == "429", "{error}");
    }
}

#[tokio::test]
async fn answers_are_decoded_by_their_header_and_never_taken_for_what_they_are_not() {
    let text = br#"[{"a":1}]"#;
    let (gzip, deflate) = (Coding::Gzip.encode(text).unwrap(), Coding::Deflate.encode(text).unwrap());
    let both = Coding::Gzip.encode(&deflate).unwrap();
    for (coding, body) in [
        ("gzip", gzip.clone()),
        ("X-GZIP", gzip.clone()),
        ("identity, gzip", gzip.clone()),
        ("deflate", deflate),
        ("zstd", Coding::Zstd.encode(text).unwrap()),
        ("br", b"\x07\x04\x80[{\"a\":1}]\x03".to_vec()),
        ("deflate, gzip", both),
        ("identity", text.to_vec()),
    ] {
        let server = Server::start(move |_| ok(body.clone()).with("content-encoding", coding)).await;
        assert_eq!(poll(&server.url, json!({})).await.unwrap(), [r#"{"a":1}"#], "{coding}");
    }
    // A body that is valid JSON is not accepted if its header names an unknown coding.
    for (coding, words) in [
        ("compress", "`compress` is not supported"),
        ("gzip, exi", "`exi` is not supported"),
        ("gzip", "not well-formed gzip"),
        ("br", "not well-formed br"),
        ("zstd", "not well-formed zstd"),
        ("deflate", "not well-formed deflate"),
    ] {
        let server = Server::start(move |_| ok("[1]").with("content-encoding", coding)).await;
        let all = json!({ "url": server.url, "times": 1 });
        let (texts, refused) = read_all(&mut *build_source(&poll::plugin(), &all)).await.unwrap();
        assert!(texts.is_empty() && refused[0].contains(words), "{coding}: {texts:?} {refused:?}");
    }
    let server = Server::start(|_| status(204, "").with("content-encoding", "exi")).await;
    assert!(poll(&server.url, json!({})).await.unwrap().is_empty(), "nothing is encoded in no body");
}

#[tokio::test]
async fn a_pause_that_a_server_asks_for_is_kept_in_every_form_and_has_a_limit() {
    for code in [403, 429, 503] {
        for (pause, limit, expected) in [
            ("3600", "1h", 3600),
            ("7200", "1h", 3600),
            ("7200", "3h", 7200),
            ("99999999999999999999999", "1h", 3600),
            ("Fri, 31 Dec 9999 23:59:59 GMT", "1h", 3600),
            ("Tuesday, 31-Dec-69 23:59:59 GMT", "1h", 3600),
            ("Fri Dec 31 23:59:59 9999", "1h", 3600),
        ] {
            let server = Server::start(move |_| status(code, "").with("retry-after", pause)).await;
            let error = poll(&server.url, json!({ "retry_after_limit": limit })).await.unwrap_err();
            assert_eq!(error.retry_after(), Some(Duration::from_secs(expected)), "{code} {pause} {limit}");
        }
    }
}

#[tokio::test]
async fn redirects_are_followed_on_one_host_and_only_if_asked_for() {
    let other = Server::start(|_| ok("[9]")).await;
    let elsewhere = other.url.clone();
    let server = Server::start(move |request| match request.target.as_str() {
        "/a" => status(302, "").with("location", "/b"),
        "/b" => status(307, "").with("location", "/c"),
        "/elsewhere" => status(302, "").with("location", elsewhere.clone()),
        _ => ok("[1]"),
    })
    .await;
    let at = |path: &str| format!("{}{path}", server.url);
    for (path, redirects) in [("/a", 0), ("/a", 1), ("/elsewhere", 5)] {
        let error = poll(&at(path), json!({ "redirects": redirects })).await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured);
        assert!(error.message().contains("a redirect"), "{error}");
    }
    assert_eq!(poll(&at("/a"), json!({ "redirects": 2 })).await.unwrap(), ["1"]);
    assert!(other.targets().is_empty());
    let request = json!({ "redirects": 2, "method": "POST", "body": "x" });
    let error = poll(&at("/a"), request.clone()).await.unwrap_err();
    assert!(error.message().contains("302"), "a POST does not turn into a GET: {error}");
    assert_eq!(poll(&at("/b"), request).await.unwrap(), ["1"]);
    assert_eq!(server.received().last().unwrap().text(), "x");
}

#[test]
fn mistakes_are_found_when_it_is_built() {
    let auth = json!({ "bearer": "a", "basic": { "user": "u" } });
    let cases = [
        (json!({ "url": "no url" }), "/url"),
        (json!({ "url": "redis://h" }), "/url"),
        (json!({ "headers": { "a b": "c" } }), "/headers/a b"),
        (json!({ "headers": { "x-token": "secret\n" } }), "/headers/x-token"),
        (json!({ "auth": auth }), "/auth"),
        (json!({ "auth": {} }), "/auth"),
        (json!({ "auth": { "bearer": "secret\n" } }), "/auth/bearer"),
        (json!({ "auth": { "basic": { "user": "a:b" } } }), "/auth/basic/user"),
        (
            json!({ "auth": { "oauth2": { "token_url": "x", "client_id": "", "client_secret": "" } } }),
            "/auth/oauth2/token_url",
        ),
        (json!({ "time_limit": "0s" }), "/time_limit"),
        (json!({ "body_size": "0B" }), "/body_size"),
        (json!({ "interval": "0s" }), "/interval"),
        (json!({ "interval": null }), ""),
        (json!({ "schedule": "* * * * *" }), "/schedule"),
        (json!({ "interval": null, "schedule": "* * *" }), "/schedule"),
        (json!({ "interval": null, "schedule": "* * * * *", "time_zone": "Mars" }), "/time_zone"),
        (json!({ "decode": "text", "items": ".a" }), "/items"),
        (json!({ "decode": "lines", "unique": ".a" }), "/unique"),
        (json!({ "max_pages": 0 }), "/max_pages"),
        (json!({ "pagination": { "kind": "cursor" } }), "/pagination"),
        (json!({ "pagination": { "kind": "link", "size": 5 } }), "/pagination/size"),
    ];
    for (options, pointer) in cases {
        let all = with_options(json!({ "url": "http://h/", "interval": "60s" }), options.clone());
        let error = poll::plugin().build(&all).err().unwrap_or_else(|| panic!("{options} is refused"));
        assert_eq!(error.pointer, pointer, "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(error.help.is_some() || error.pointer == "/auth/basic/user", "{error}");
    }
}

#[test]
fn the_schemas_know_every_option_and_no_other() {
    for plugin in crate::client::plugins() {
        let schema = plugin.schema();
        assert_eq!(schema["additionalProperties"], false, "{plugin:?}: {schema}");
        assert_eq!(schema["properties"]["time_limit"]["default"], "30s", "{plugin:?}");
        for (name, option) in schema["properties"].as_object().unwrap() {
            assert!(option["description"].is_string(), "{plugin:?} {name} is documented");
            let engine = [
                "plugin",
                "from",
                "enabled",
                "isolation",
                "on_reject",
                "workers",
                "batch",
                "retry",
                "concurrency",
                "required",
            ];
            assert!(!engine.contains(&name.as_str()), "{plugin:?} {name} belongs to the engine");
        }
        let error =
            plugin.build(&json!({ "url": "http://h/", "interval": "60s", "into": "x", "nonsense": 1 }));
        assert!(error.err().is_some_and(|error| error.message.contains("unknown field")), "{plugin:?}");
    }
}

/// Sends `head` to every request, and then `piece` repeatedly until the client disconnects.
async fn endless(
    head: &str,
    piece: &[u8],
    pause: Duration,
    options: Value,
) -> Result<(Vec<String>, Vec<String>), tidegate_sdk::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serve = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // A response before the request would be an error of its own.
            let read = stream.read(&mut [0; 4096]).await.unwrap();
            assert!(read > 0);
            // Writing fails after the client has disconnected, which ends the test.
            let mut written = stream.write_all(head.as_bytes()).await;
            while written.is_ok() {
                written = stream.write_all(piece).await;
                tokio::time::sleep(pause).await;
            }
        }
    };
    let all = with_options(json!({ "url": url, "times": 1, "interval": "1ms" }), options);
    let mut source = build_source(&poll::plugin(), &all);
    tokio::select! {
        () = serve => unreachable!("it serves on"),
        polled = tokio::time::timeout(Duration::from_secs(20), read_all(&mut *source)) => {
            polled.expect("it ends in time")
        }
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_body_that_trickles_is_ended_by_the_time_limit() {
    let pause = Duration::from_millis(5);
    for (head, piece) in [(CHUNKED, "1\r\n \r\n"), ("HTTP/1.1 200 OK\r\nx: ", "y")] {
        let outcome = endless(head, piece.as_bytes(), pause, json!({ "time_limit": "100ms" })).await;
        let error = outcome.expect_err("it never ends");
        assert!(error.message().contains("time limit"), "{error}");
    }
}

#[tokio::test]
async fn interim_answers_without_an_end_are_ended_by_the_time_limit() {
    let flood = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(100);
    for (piece, pause) in [(&flood[..27], 5), (&flood[..], 0)] {
        let pause = Duration::from_millis(pause);
        let outcome = endless("", piece, pause, json!({ "time_limit": "100ms" })).await;
        let error = outcome.expect_err("it never ends");
        assert!(error.message().contains("time limit"), "{error}");
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_left_at_its_limit() {
    let piece = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let outcome = endless(CHUNKED, &piece, Duration::ZERO, json!({ "body_size": "1MiB" })).await;
    let (texts, refused) = outcome.expect("the response is refused, and polling goes on");
    assert_eq!((texts.len(), refused.len()), (0, 1));
    assert!(refused[0].contains("over `body_size` (1MiB)"), "{refused:?}");
}
