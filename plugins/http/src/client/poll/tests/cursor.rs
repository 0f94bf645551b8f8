//! Tests of the cursor across polls and restarts.

use super::*;

pub(super) fn position(batch: &Batch) -> Position {
    batch.runs()[0].origin.position.clone().expect("a batch with a cursor has a position")
}

#[tokio::test]
async fn the_cursor_of_a_poll_is_sent_with_the_next_and_kept_across_restarts() {
    let mut responses = vec!["[]", r#"[{"at":10},{"at":9}]"#, r#"[{"at":7},{"at":8},{"no":1}]"#];
    let server = Server::start(move |_| ok(responses.pop().unwrap_or("[]"))).await;
    let cursor = json!({ "cursor": { "from": ".at", "parameter": "since", "initial": 5 }, "times": 3 });
    let mut first = source(&server.url, cursor.clone());
    let (cx, _stopping) = context();
    first.open(&cx).await.unwrap();
    assert_eq!(first.next(&cx).await.unwrap().unwrap().batch.len(), 3);
    let stored = position(&first.next(&cx).await.unwrap().unwrap().batch);
    assert!(first.next(&cx).await.unwrap().is_none());
    assert_eq!(server.targets(), ["/?since=5", "/?since=8", "/?since=10"]);

    let mut second = source(&server.url, cursor);
    let cx = cx.with_resume(BTreeMap::from([(String::new(), stored)]));
    second.open(&cx).await.unwrap();
    assert!(second.next(&cx).await.unwrap().is_none());
    assert_eq!(server.targets()[3], "/?since=10");
}

#[tokio::test]
async fn a_restart_within_a_poll_goes_on_at_its_page() {
    let pages = |request: &ReceivedRequest| match parameter(request, "page").as_deref() {
        Some("1") => ok(r#"[{"at":30}]"#),
        Some("2") => ok(r#"[{"at":20}]"#),
        _ => ok("[]"),
    };
    let server = Server::start(pages).await;
    let options = json!({ "cursor": { "from": ".at", "parameter": "since" }, "pagination": { "kind": "page" }, "times": 2 });
    let mut first = source(&server.url, options.clone());
    let (cx, _stopping) = context();
    first.open(&cx).await.unwrap();
    let stored = position(&first.next(&cx).await.unwrap().unwrap().batch);

    // The newest events came first, so the cursor may move only after the older ones.
    let mut second = source(&server.url, options);
    let cx = cx.with_resume(BTreeMap::from([(String::new(), stored)]));
    second.open(&cx).await.unwrap();
    assert_eq!(second.next(&cx).await.unwrap().unwrap().batch.texts(), [r#"{"at":20}"#]);
    assert_eq!(server.targets(), ["/?page=1", "/?page=2"]);
    assert!(second.next(&cx).await.unwrap().unwrap().batch.is_empty(), "the end of the poll is a place too");
    second.next(&cx).await.unwrap();
    assert_eq!(server.targets()[2..4], ["/?page=3", "/?since=30&page=1"]);
}

#[tokio::test]
async fn a_poll_that_goes_on_after_a_restart_keeps_the_interval() {
    let server = Server::start(|request| match parameter(request, "page").as_deref() {
        Some("1") => ok(r#"[{"at":30}]"#),
        _ => ok("[]"),
    })
    .await;
    let options = json!({
        "cursor": { "from": ".at", "parameter": "since" }, "pagination": { "kind": "page" }, "times": 5,
        "interval": "1h",
    });
    let mut first = source(&server.url, options.clone());
    let (cx, _stopping) = context();
    first.open(&cx).await.unwrap();
    let stored = position(&first.next(&cx).await.unwrap().unwrap().batch);

    let (cx, stopping) = context();
    let cx = cx.with_resume(BTreeMap::from([(String::new(), stored)]));
    let mut second = source(&server.url, options);
    second.open(&cx).await.unwrap();
    assert!(second.next(&cx).await.unwrap().unwrap().batch.is_empty(), "the poll is at its end");
    // A poll at once would be under way before these two.
    tokio::select! {
        biased;
        next = second.next(&cx) => panic!("the next poll waits for its time: {next:?}"),
        polled = read(&server, "/other", json!({ "times": 2 })) => assert!(polled.1.is_empty()),
    }
    stopping.cancel();
    assert!(second.next(&cx).await.unwrap().is_none());
    assert_eq!(server.targets(), ["/?page=1", "/?page=2", "/other", "/other"]);
}

#[tokio::test]
async fn a_large_page_is_cut_into_batches_and_only_the_last_goes_on() {
    let body = format!("[{}0]", "1,".repeat(9000));
    let server = Server::start(move |_| ok(body.clone())).await;
    let cursor = json!({ "cursor": { "from": ".", "parameter": "since", "initial": 0 } });
    let mut source = source(&server.url, cursor);
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    let first = source.next(&cx).await.unwrap().unwrap().batch;
    let second = source.next(&cx).await.unwrap().unwrap().batch;
    assert_eq!((first.len(), first.len() + second.len()), (tidegate_sdk::BATCH_EVENTS, 9001));
    let since = |batch: &Batch| position(batch).read::<Value>().unwrap()["since"].clone();
    assert_eq!(since(&first), json!("0"), "after a crash here the page is read again");
    assert_eq!(since(&second), json!("1"));
}
