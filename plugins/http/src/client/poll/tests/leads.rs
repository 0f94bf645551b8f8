//! Tests of references to the next page in the body, in a header and in the last record, and of conditions.

use super::*;

#[tokio::test]
async fn a_url_in_the_body_leads_to_the_next_page() {
    let server = Server::start(|request| match request.target.as_str() {
        "/odata?top=2" => ok(r#"{"value":[1,2],"@odata.nextLink":"/odata?skip=2"}"#),
        "/odata?skip=2" => ok(r#"{"value":[3],"@odata.nextLink":"?skip=3"}"#),
        _ => ok(r#"{"value":[4]}"#),
    })
    .await;
    let pagination = json!({ "kind": "link", "from": r#"."@odata.nextLink""# });
    let (texts, refused) =
        read(&server, "/odata?top=2", json!({ "items": ".value", "pagination": pagination })).await;
    assert_eq!((texts, refused.len()), (["1", "2", "3", "4"].map(String::from).to_vec(), 0));
    assert_eq!(server.targets(), ["/odata?top=2", "/odata?skip=2", "/odata?skip=3"]);

    let evil = Server::start(|_| ok(r#"{"next":"http://other.invalid/","items":[1]}"#)).await;
    let mut source =
        source(&evil.url, json!({ "items": ".items", "pagination": { "kind": "link", "from": ".next" } }));
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.texts(), ["1"]);
    assert!(source.next(&cx).await.unwrap().is_none());
    assert!(cx.complaint().get().unwrap().contains("hosts = [\"other.invalid\"]"));
}

#[tokio::test]
async fn the_last_record_leads_to_the_next_page_until_a_condition_holds() {
    let script = |request: &ReceivedRequest| match parameter(request, "starting_after").as_deref() {
        None => ok(r#"{"data":[{"id":"a"},{"id":"b"}],"has_more":true}"#),
        Some("b") => ok(r#"{"data":[{"id":"c"}],"has_more":false}"#),
        other => panic!("{other:?} was not to be asked for"),
    };
    let server = Server::start(script).await;
    for stop in [".has_more == false", "$count < 2", ".data | length < 2", ".has_more | not"] {
        let pagination = json!({
            "kind": "cursor", "from": ".data[-1].id", "parameter": "starting_after", "stop": stop,
        });
        let (texts, _) = read(&server, "/", json!({ "items": ".data", "pagination": pagination })).await;
        assert_eq!(texts, [r#"{"id":"a"}"#, r#"{"id":"b"}"#, r#"{"id":"c"}"#], "{stop}");
    }
    assert_eq!(server.targets().len(), 8);

    let totals = Server::start(|request| {
        ok(format!(r#"{{"total":2,"at":{0},"rows":[{0}]}}"#, parameter(request, "page").unwrap()))
    })
    .await;
    let pagination = json!({ "kind": "page", "stop": ".at >= .total" });
    assert_eq!(read(&totals, "/", json!({ "items": ".rows", "pagination": pagination })).await.0, ["1", "2"]);
}

#[tokio::test]
async fn the_page_goes_to_any_place_of_a_request() {
    let script = |request: &ReceivedRequest| {
        let at = request.header("x-cursor").map(str::to_owned);
        match at.as_deref() {
            None => ok("[1]").with("x-next", "n 2"),
            Some("n 2") => ok("[2]").with("x-next", "n3"),
            _ => ok("[3]"),
        }
    };
    let server = Server::start(script).await;
    let options = json!({
        "headers": { "x-cursor": "{page}", "x-fixed": "a" },
        "pagination": { "kind": "cursor", "from": r#"$headers["x-next"]"# },
    });
    assert_eq!(read(&server, "/", options).await.0, ["1", "2", "3"]);
    assert!(server.received().iter().all(|request| request.header("x-fixed") == Some("a")));
    assert!(server.targets().iter().all(|target| target == "/"), "the query does not carry it too");

    let in_path = Server::start(|request| match request.target.as_str() {
        "/v1/pages/1/users?x=1" => ok("[1]"),
        "/v1/pages/2/users?x=1" => ok("[2]"),
        _ => ok("[]"),
    })
    .await;
    let options = json!({ "pagination": { "kind": "page" }, "query": { "x": 1 } });
    assert_eq!(read(&in_path, "/v1/pages/{page}/users", options).await.0, ["1", "2"]);

    let in_query = Server::start(|request| match parameter(request, "filter").as_deref() {
        Some("page:0 of all") => ok("[1]"),
        _ => ok("[]"),
    })
    .await;
    let options =
        json!({ "pagination": { "kind": "page", "start": 0 }, "query": { "filter": "page:{page} of all" } });
    assert_eq!(read(&in_query, "/", options).await.0, ["1"]);

    let in_body = Server::start(|request| match request.text().as_str() {
        r#"{"from":0,"q":"{ a { b } }"}"# => ok("[1,2]"),
        r#"{"from":2,"q":"{ a { b } }"}"# => ok("[3]"),
        _ => ok("[]"),
    })
    .await;
    let options = json!({
        "method": "POST", "body": r#"{"from":"{page}","q":"{ a { b } }"}"#, "pagination": { "kind": "offset" },
    });
    assert_eq!(read(&in_body, "/", options).await.0, ["1", "2", "3"]);
}

#[tokio::test]
async fn events_are_found_by_jq_over_the_whole_response() {
    let body = r#"{"meta":{"unit":"C"},"days":[{"t":[1.50,2]},{"t":[]},{"t":[3]}]}"#;
    let server = Server::start(move |_| ok(body)).await;
    let items = r#".meta.unit as $u | .days[].t[] | {t: ., unit: $u}"#;
    let (texts, _) = read(&server, "/", json!({ "items": items })).await;
    assert_eq!(texts, [r#"{"t":1.50,"unit":"C"}"#, r#"{"t":2,"unit":"C"}"#, r#"{"t":3,"unit":"C"}"#]);
    let (texts, refused) = read(&server, "/", json!({ "items": ".days.x | .[]" })).await;
    assert_eq!((texts.len(), refused.len()), (0, 1));
    assert!(refused[0].contains("`.days.x | .[]`"), "{refused:?}");
}

#[tokio::test]
async fn a_response_without_the_items_may_count_as_empty() {
    let server = Server::start(|request| match request.target.as_str() {
        "/" => ok(r#"{"total":0}"#),
        _ => ok("{\"tot"),
    })
    .await;
    let (texts, refused) = read(&server, "/", json!({ "items": ".rows", "missing": "empty" })).await;
    assert_eq!((texts.len(), refused.len()), (0, 0));
    let (_, refused) = read(&server, "/", json!({ "items": ".rows" })).await;
    assert!(refused[0].contains(r#"set `missing = "empty"`"#), "{refused:?}");
    let (_, refused) = read(&server, "/cut", json!({ "items": ".rows", "missing": "empty" })).await;
    assert!(refused[0].contains("malformed JSON"), "a truncated response is no empty one: {refused:?}");
}

#[tokio::test]
async fn a_pause_between_pages_ends_with_a_drain() {
    let server = Server::start(|_| ok("[1]")).await;
    let mut source = source(&server.url, json!({ "pagination": { "kind": "page", "delay": "1h" } }));
    let (cx, stopping) = context();
    source.open(&cx).await.unwrap();
    assert!(source.next(&cx).await.unwrap().is_some(), "no pause comes before the first page");
    let (next, ()) = tokio::join!(source.next(&cx), async { stopping.cancel() });
    assert!(next.unwrap().is_none());
    assert_eq!(server.targets().len(), 1);
}

#[tokio::test]
async fn a_failing_condition_cuts_the_poll_and_is_reported() {
    let server = Server::start(|_| ok(r#"{"rows":[1],"more":{}}"#)).await;
    let pagination = json!({ "kind": "page", "stop": ".more + 1 > 2" });
    let mut source = source(&server.url, json!({ "items": ".rows", "pagination": pagination }));
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    assert_eq!(source.next(&cx).await.unwrap().unwrap().batch.texts(), ["1"]);
    assert!(source.next(&cx).await.unwrap().is_none());
    let complaint = cx.complaint().get().unwrap();
    assert!(complaint.contains("`stop`") && complaint.contains("object ({})"), "{complaint}");
}
