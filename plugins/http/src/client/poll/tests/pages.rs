//! Tests of pages and the end of a poll.

use super::*;

#[tokio::test]
async fn a_page_is_emitted_before_the_next_is_fetched() {
    let server = Server::start(|request| match parameter(request, "page").as_deref() {
        Some("1") => ok("[1,2]"),
        Some("2") => ok("[3]"),
        _ => ok("[]"),
    })
    .await;
    let mut source = source(&server.url, json!({ "pagination": { "kind": "page", "size": 2 } }));
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.texts(), ["1", "2"]);
    assert_eq!(server.targets(), ["/?page=1&limit=2"], "no more pages were requested yet");
    let second = source.next(&cx).await.unwrap().unwrap().batch;
    assert_eq!(second.texts(), ["3"]);
    assert_eq!(second.attribute(0, "page"), Some(&AttributeValue::Integer(2)));
    assert!(source.next(&cx).await.unwrap().is_none());
    assert_eq!(server.targets().len(), 3);
}

#[tokio::test]
async fn every_kind_of_pagination_comes_to_its_end() {
    let link = Server::start(|request| match request.target.as_str() {
        "/a?key=1" => ok("[1]").with("link", r#"</b?p=2>; rel="next", </z>; rel="last""#),
        _ => ok("[2]"),
    })
    .await;
    assert_eq!(read(&link, "/a?key=1", json!({ "pagination": { "kind": "link" } })).await.0, ["1", "2"]);
    assert_eq!(link.targets(), ["/a?key=1", "/b?p=2"]);

    let cursor = Server::start(|request| match parameter(request, "after").as_deref() {
        None => ok(r#"{"items":[1],"next":"n 2"}"#),
        Some("n 2") => ok(r#"{"items":[],"next":3}"#),
        _ => ok(r#"{"items":[3],"next":null}"#),
    })
    .await;
    let pagination = json!({ "kind": "cursor", "from": ".next", "parameter": "after" });
    assert_eq!(
        read(&cursor, "/", json!({ "items": ".items", "pagination": pagination })).await.0,
        ["1", "3"]
    );
    assert_eq!(cursor.targets(), ["/", "/?after=n+2", "/?after=3"]);

    // A server that sends fewer events than requested loses none: the offset counts received events.
    let offset = Server::start(|request| match parameter(request, "offset").as_deref() {
        Some("0") => ok("[0,1,2]"),
        Some("3") => ok("[3,4]"),
        _ => ok("[]"),
    })
    .await;
    let pagination = json!({ "kind": "offset", "size": 100 });
    assert_eq!(read(&offset, "/", json!({ "pagination": pagination })).await.0, ["0", "1", "2", "3", "4"]);
    assert_eq!(offset.targets().last().unwrap(), "/?offset=5&limit=100");

    let missing = Server::start(|request| match parameter(request, "page").as_deref() {
        Some("1") => ok("[1]"),
        _ => status(404, "no such page"),
    })
    .await;
    assert_eq!(read(&missing, "/", json!({ "pagination": { "kind": "page" } })).await.0, ["1"]);
}

#[tokio::test]
async fn pages_that_go_in_circles_end() {
    let same = Server::start(|_| ok("[1]")).await;
    let (texts, _) = read(&same, "/", json!({ "pagination": { "kind": "page" } })).await;
    assert_eq!(texts, ["1"], "a server that does not know the parameter sends one page for ever");
    let cursor = Server::start(|_| ok(r#"{"next":"x"}"#)).await;
    let (texts, _) = read(&cursor, "/", json!({ "pagination": { "kind": "cursor", "from": ".next" } })).await;
    assert_eq!(texts.len(), 1, "the cursor repeats itself, and so does the page");
    let mut number = 0;
    let endless = Server::start(move |_| {
        number += 1;
        ok(format!("[{number}]"))
    })
    .await;
    let options = json!({ "pagination": { "kind": "page" }, "max_pages": 5 });
    assert_eq!(read(&endless, "/", options).await.0, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_link_to_another_host_is_not_followed() {
    let server = Server::start(|_| ok("[1]").with("link", "<http://other.invalid/>; rel=next")).await;
    let mut source = source(&server.url, json!({ "pagination": { "kind": "link" } }));
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.texts(), ["1"], "the page itself is good");
    assert!(source.next(&cx).await.unwrap().is_none());
    let complaint = cx.complaint().get().unwrap();
    assert!(complaint.contains("hosts = [\"other.invalid\"]"), "{complaint}");
}

#[tokio::test]
async fn after_an_error_the_same_page_is_asked_for_again() {
    let mut failures = vec![status(503, "later").with("retry-after", "7"), Reply::HangUp, Reply::BreakOff];
    let server = Server::start(move |request| match parameter(request, "page").as_deref() {
        Some("1") => ok("[1]"),
        Some("2") => failures.pop().unwrap_or_else(|| ok("[2]")),
        _ => ok("[]"),
    })
    .await;
    let mut source = source(&server.url, json!({ "pagination": { "kind": "page" } }));
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.texts(), ["1"]);
    for words in ["broke off", "no response", "503"] {
        let error = source.next(&cx).await.unwrap_err();
        assert_eq!(error.class(), Class::Retry, "{error}");
        assert!(error.message().contains(words), "{error}");
        if words == "503" {
            assert_eq!(error.retry_after().unwrap().as_secs(), 7);
        }
    }
    assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.texts(), ["2"]);
}

#[tokio::test]
async fn a_page_that_is_gone_for_good_does_not_hold_up_the_next_poll() {
    let server = Server::start(|request| match parameter(request, "cursor") {
        None => ok(r#"{"next":"expired"}"#),
        Some(_) => status(400, "cursor expired"),
    })
    .await;
    let options = json!({ "pagination": { "kind": "cursor", "from": ".next" }, "times": 2 });
    let mut source = source(&server.url, options);
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    for _poll in 0..2 {
        assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.len(), 1);
    }
    assert!(source.next(&cx).await.unwrap().is_none());
    assert!(cx.complaint().get().unwrap().contains("cursor expired"));
}
