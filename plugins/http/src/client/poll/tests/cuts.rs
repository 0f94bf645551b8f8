//! Tests of incomplete polls.

use tidegate_sdk::{Cx, SourceBatch};

use super::*;

/// Returns a server with `count` ids, newest or oldest first, `size` to a page. It knows `since` and `page`.
fn ids(count: u64, size: u64, newest_first: bool) -> impl FnMut(&ReceivedRequest) -> Reply + Send + 'static {
    move |request| {
        let number = |name: &str| parameter(request, name).map(|value| value.parse::<u64>().unwrap());
        let since = number("since").unwrap_or(0);
        let mut all: Vec<u64> = (1..=count).filter(|id| *id > since).collect();
        if newest_first {
            all.reverse();
        }
        let skip = (number("page").unwrap_or(1) - 1) * size;
        let page: Vec<String> = all
            .iter()
            .skip(skip as usize)
            .take(size as usize)
            .map(|id| format!(r#"{{"id":{id}}}"#))
            .collect();
        ok(format!("[{}]", page.join(",")))
    }
}

fn with_cursor(more: Value) -> Value {
    let cursor =
        json!({ "cursor": { "from": ".id", "parameter": "since" }, "pagination": { "kind": "page" } });
    with_options(cursor, more)
}

/// Reads to the end of the source. Returns texts, rejections, and the last position.
async fn read_on(source: &mut dyn Source, cx: &Cx) -> (Vec<String>, Vec<String>, Option<Position>) {
    let (mut texts, mut refused, mut position) = (Vec::new(), Vec::new(), None);
    source.open(cx).await.unwrap();
    while let Some(read) = source.next(cx).await.unwrap() {
        let SourceBatch { batch, rejected, .. } = read;
        texts.extend(batch.texts());
        refused.extend(rejected.into_iter().map(|rejection| rejection.reason));
        if let Some(found) = &batch.runs()[0].origin.position {
            position = Some(found.clone());
        }
    }
    (texts, refused, position)
}

fn events(ids: impl Iterator<Item = u64>) -> Vec<String> {
    ids.map(|id| format!(r#"{{"id":{id}}}"#)).collect()
}

#[tokio::test]
async fn a_poll_that_reaches_max_pages_goes_on_in_the_next_and_loses_nothing() {
    let server = Server::start(ids(20, 2, true)).await;
    let (cx, _stopping) = context();
    let mut polling = source(&server.url, with_cursor(json!({ "max_pages": 3, "times": 5 })));
    let (texts, _, _) = read_on(&mut *polling, &cx).await;
    assert_eq!(texts, events((1..=20).rev()), "each once");
    let targets = server.targets();
    assert_eq!(targets[..4], ["/?page=1", "/?page=2", "/?page=3", "/?page=4"]);
    assert_eq!(targets[10..], ["/?page=11", "/?since=20&page=1"], "the cursor moves once all is read");
    assert_eq!(cx.complaint().get(), None, "the last polls were read to their ends");
}

#[tokio::test]
async fn a_cut_poll_goes_on_after_a_restart() {
    let server = Server::start(ids(20, 2, true)).await;
    let (mut all, mut position) = (Vec::new(), None);
    for run in 1..=5 {
        let mut polling = source(&server.url, with_cursor(json!({ "max_pages": 3 })));
        let (cx, _stopping) = context();
        let cx = cx.with_resume(position.map(|position| (String::new(), position)).into_iter().collect());
        let (texts, _, next) = read_on(&mut *polling, &cx).await;
        all.extend(texts);
        assert!(next.is_some() || run == 5, "there is nothing new in the last run");
        position = next;
    }
    assert_eq!(all, events((1..=20).rev()), "each once");
    assert_eq!(server.targets().last().unwrap(), "/?since=20&page=1");
}

#[tokio::test]
async fn without_a_cursor_a_cut_poll_begins_at_the_first_page_again() {
    let server = Server::start(ids(20, 2, true)).await;
    let options = json!({ "pagination": { "kind": "page" }, "max_pages": 2, "times": 2 });
    assert_eq!(read(&server, "/", options).await.0.len(), 8);
    assert_eq!(server.targets(), ["/?page=1", "/?page=2", "/?page=1", "/?page=2"]);
}

#[tokio::test]
async fn repeated_cuts_make_the_source_unhealthy_until_a_poll_is_complete() {
    let server = Server::start(ids(20, 2, true)).await;
    let mut polling = source(&server.url, with_cursor(json!({ "max_pages": 3, "times": 4 })));
    let (cx, _stopping) = context();
    polling.open(&cx).await.unwrap();
    let mut complaints = Vec::new();
    while polling.next(&cx).await.unwrap().is_some() {
        complaints.push(cx.complaint().get());
    }
    assert!(complaints[..5].iter().all(Option::is_none), "one cut is no reason: {complaints:?}");
    let second = complaints[5].as_ref().unwrap();
    assert!(second.contains("(2 in a row): `max_pages` (3)") && second.contains("goes on there"), "{second}");
    assert_eq!(complaints.last().unwrap(), &None);
}

#[tokio::test]
async fn a_malformed_page_is_rejected_and_later_pages_are_read() {
    for (pagination, second, third) in [
        (json!({ "kind": "page" }), "/?page=2", "/?page=3"),
        (json!({ "kind": "offset", "size": 1 }), "/?offset=1&limit=1", "/?offset=2&limit=1"),
        (json!({ "kind": "offset" }), "/?offset=1", "/?offset=2"),
        (json!({ "kind": "link" }), "/p2", "/p3"),
    ] {
        let (bad, last) = (second, third);
        let server = Server::start(move |request| match request.target.as_str() {
            target if target == bad => ok("[{\"id\":").with("link", "</p3>; rel=next"),
            target if target == last => ok(r#"[{"id":3}]"#),
            "/" | "/?page=1" | "/?offset=0" | "/?offset=0&limit=1" => {
                ok(r#"[{"id":1}]"#).with("link", "</p2>; rel=next")
            }
            _ => ok("[]"),
        })
        .await;
        let (texts, refused) = read(&server, "/", json!({ "pagination": pagination })).await;
        assert_eq!(texts, [r#"{"id":1}"#, r#"{"id":3}"#], "{pagination}");
        assert_eq!(refused.len(), 1);
        assert!(refused[0].contains("page 2: ") && refused[0].contains("malformed JSON"), "{refused:?}");
    }
}

#[tokio::test]
async fn with_a_cursor_a_malformed_page_is_asked_for_twice_before_it_is_rejected() {
    let mut bad = 1;
    let mut good = ids(6, 2, true);
    let server = Server::start(move |request| match parameter(request, "page").as_deref() {
        Some("2") if bad > 0 => {
            bad -= 1;
            ok("<html>")
        }
        _ => good(request),
    })
    .await;
    let (texts, refused) = read(&server, "/", with_cursor(json!({}))).await;
    assert_eq!((texts, refused.len()), (events((1..=6).rev()), 0));

    let mut good = ids(6, 2, true);
    let server = Server::start(move |request| match parameter(request, "page").as_deref() {
        Some("2") => ok("<html>"),
        _ => good(request),
    })
    .await;
    let (texts, refused) = read(&server, "/", with_cursor(json!({ "times": 2 }))).await;
    assert_eq!((texts.len(), refused.len()), (4, 1), "the cursor moves past a page that is a dead letter");
    assert_eq!(server.targets().last().unwrap(), "/?since=6&page=1");
}

#[tokio::test]
async fn a_malformed_page_that_hides_the_next_one_is_tried_again_and_then_given_up() {
    let server = Server::start(|request| match parameter(request, "cursor").as_deref() {
        None => ok(r#"{"items":[{"id":9}],"next":"b"}"#),
        Some("b") => ok("<html>"),
        _ => ok(r#"{"items":[{"id":1}]}"#),
    })
    .await;
    let options = json!({
        "items": ".items", "times": 4, "cursor": { "from": ".id", "parameter": "since" },
        "pagination": { "kind": "cursor", "from": ".next" },
    });
    let (cx, _stopping) = context();
    let (texts, refused, _) = read_on(&mut *source(&server.url, options), &cx).await;
    assert_eq!(texts, [r#"{"id":9}"#, r#"{"id":9}"#], "page 1 is read once for each time that it is begun");
    assert_eq!(refused.len(), 2, "the page is a dead letter once for each begin: {refused:?}");
    let expected = ["/", "/?cursor=b", "/?cursor=b", "/?cursor=b", "/?cursor=b", "/?cursor=b", "/?cursor=b"];
    assert_eq!(server.targets()[..7], expected, "in three polls, each time asked twice");
    assert_eq!(server.targets()[7], "/", "then it begins again, and the cursor has not moved");
    let complaint = cx.complaint().get().unwrap();
    assert!(complaint.contains("malformed JSON") && complaint.contains("the cursor stays"), "{complaint}");
}

#[tokio::test]
async fn pages_that_are_all_malformed_are_not_asked_for_without_an_end() {
    let server = Server::start(|_| ok("<html>")).await;
    let (cx, _stopping) = context();
    let options = json!({ "pagination": { "kind": "page" } });
    let (texts, refused, _) = read_on(&mut *source(&server.url, options), &cx).await;
    assert_eq!((texts.len(), refused.len(), server.targets().len()), (0, 3, 3));
    assert!(cx.complaint().get().unwrap().contains("no response of the last poll was usable"));
}

#[tokio::test]
async fn a_poll_whose_every_answer_is_of_no_use_makes_the_source_unhealthy() {
    for (options, body) in [
        (json!({}), "<html>"),
        (json!({ "items": ".data" }), "{}"),
        (json!({ "decode": "json_lines" }), "<html>\n</html>"),
        (json!({ "cursor": { "from": ".id", "parameter": "since" } }), "<html>"),
    ] {
        let mut responses = vec![ok(r#"{"data":[1]}"#), ok(body), ok(body)];
        let server = Server::start(move |_| responses.pop().unwrap()).await;
        let (cx, _stopping) = context();
        let mut polling = source(&server.url, with_options(json!({ "times": 3 }), options.clone()));
        polling.open(&cx).await.unwrap();
        for _poll in 0..2 {
            assert!(!polling.next(&cx).await.unwrap().unwrap().rejected.is_empty());
            let complaint = cx.complaint().get().unwrap_or_default();
            assert!(
                complaint.contains("no response of the last poll was usable: "),
                "{options}: {complaint}"
            );
        }
        assert_eq!(polling.next(&cx).await.unwrap().unwrap().batch.len(), 1);
        assert_eq!(cx.complaint().get(), None, "{options}");
    }
}

/// Returns a server like [`ids`] that refuses pages from `limit` on, as GitHub does.
fn limited(newest_first: bool, limit: u64) -> impl FnMut(&ReceivedRequest) -> Reply + Send + 'static {
    let mut all = ids(20, 2, newest_first);
    move |request| match parameter(request, "page").map(|page| page.parse::<u64>().unwrap()) {
        Some(page) if page >= limit => status(422, "only the first results are available"),
        _ => all(request),
    }
}

#[tokio::test]
async fn at_a_limit_of_the_server_the_cursor_stays_and_that_is_said() {
    let server = Server::start(limited(true, 4)).await;
    let (cx, _stopping) = context();
    let (texts, _, position) = read_on(&mut *source(&server.url, with_cursor(json!({}))), &cx).await;
    assert_eq!(texts, events((15..=20).rev()));
    let complaint = cx.complaint().get().unwrap();
    assert!(complaint.contains("422") && complaint.contains("the cursor stays"), "{complaint}");
    let position: Value = position.unwrap().read().unwrap();
    assert_eq!((&position["since"], &position["next"]), (&Value::Null, &Value::Null), "{position}");
}

#[tokio::test]
async fn at_a_limit_of_the_server_the_cursor_moves_where_the_values_only_rose() {
    let server = Server::start(limited(false, 4)).await;
    let options = with_cursor(json!({ "times": 5 }));
    let (texts, _) = read(&server, "/", options).await;
    let mut unique = texts.clone();
    unique.dedup();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 20, "{texts:?}");
    assert_eq!(texts.len(), 23, "the last value of each part may occur again, so it is asked for again");
}

#[tokio::test]
async fn a_refused_page_after_a_short_one_is_the_end() {
    for code in [400, 404, 416, 422] {
        let server = Server::start(move |request| match parameter(request, "page").as_deref() {
            Some("1") => ok(r#"[{"id":3},{"id":2}]"#),
            Some("2") => ok(r#"[{"id":1}]"#),
            _ => status(code, "no such page"),
        })
        .await;
        let (cx, _stopping) = context();
        let (texts, _, position) = read_on(&mut *source(&server.url, with_cursor(json!({}))), &cx).await;
        assert_eq!((texts.len(), cx.complaint().get()), (3, None), "{code}");
        assert_eq!(position.unwrap().read::<Value>().unwrap()["since"], "3", "{code}");
    }
}

#[tokio::test]
async fn equal_pages_are_not_the_end_and_are_delivered_once() {
    let pages = [r#"[{"h":7}]"#, r#"[{"h":7}]"#, r#"[{"h":6}]"#, "[]"];
    let server = Server::start(move |request| {
        let page: usize = parameter(request, "page").unwrap().parse().unwrap();
        ok(pages[page - 1])
    })
    .await;
    let options =
        json!({ "cursor": { "from": ".h", "parameter": "since" }, "pagination": { "kind": "page" } });
    let (cx, _stopping) = context();
    let (texts, _, position) = read_on(&mut *source(&server.url, options), &cx).await;
    assert_eq!(texts, [r#"{"h":7}"#, r#"{"h":6}"#]);
    assert_eq!(position.unwrap().read::<Value>().unwrap()["since"], "7");

    // If the server refers to the next page, equal pages are different pages.
    let server = Server::start(|request| match request.target.as_str() {
        "/" => ok("[7]").with("link", "</2>; rel=next"),
        "/2" => ok("[7]").with("link", "</3>; rel=next"),
        _ => ok("[6]"),
    })
    .await;
    assert_eq!(read(&server, "/", json!({ "pagination": { "kind": "link" } })).await.0, ["7", "7", "6"]);
}

#[tokio::test]
async fn loops_are_cuts_and_nothing_of_them_is_delivered_twice() {
    // The server ignores a cursor in the query.
    let blind = Server::start(|_| ok(r#"{"items":[{"id":2}],"next":"b"}"#)).await;
    let options = json!({
        "method": "POST", "body": "{}", "items": ".items", "cursor": { "from": ".id", "parameter": "since" },
        "pagination": { "kind": "cursor", "from": ".next" }, "times": 2,
    });
    let (cx, _stopping) = context();
    let (texts, _, position) = read_on(&mut *source(&blind.url, options), &cx).await;
    assert_eq!(texts, [r#"{"id":2}"#, r#"{"id":2}"#], "once in each poll");
    let complaint = cx.complaint().get().unwrap();
    assert!(complaint.contains("`body_path`"), "{complaint}");
    assert_eq!(position.unwrap().read::<Value>().unwrap()["since"], Value::Null);

    // Links back to the first page, and to the page itself.
    let back = Server::start(|request| match request.target.as_str() {
        "/2" => ok("[2]").with("link", "</>; rel=next"),
        _ => ok("[1]").with("link", "</2>; rel=next"),
    })
    .await;
    let link = json!({ "pagination": { "kind": "link" } });
    assert_eq!(read(&back, "/", link.clone()).await.0, ["1", "2"]);
    let itself = Server::start(|_| ok("[1]").with("link", "<>; rel=next")).await;
    assert_eq!(read(&itself, "/", link).await.0, ["1"]);

    // A repeated cursor on an empty page means the end.
    let over = Server::start(|request| match parameter(request, "cursor").as_deref() {
        None => ok(r#"{"items":[{"id":1}],"next":"end"}"#),
        _ => ok(r#"{"items":[],"next":"end"}"#),
    })
    .await;
    let options = json!({
        "items": ".items", "cursor": { "from": ".id", "parameter": "since" },
        "pagination": { "kind": "cursor", "from": ".next" },
    });
    let (cx, _stopping) = context();
    let (_, _, position) = read_on(&mut *source(&over.url, options), &cx).await;
    assert_eq!(position.unwrap().read::<Value>().unwrap()["since"], "1");
}

#[tokio::test]
async fn an_answer_that_says_that_there_is_more_is_not_the_only_page() {
    for (name, value, cut) in [
        ("x-next-page", "2", true),
        ("x-next-page", "", false),
        ("x-total-count", "2", true),
        ("x-total", "1", false),
        ("x-total-pages", "2", true),
        ("x-total-pages", "1", false),
        ("x-other", "9", false),
    ] {
        let server = Server::start(move |_| ok("[1]").with(name, value)).await;
        let (cx, _stopping) = context();
        let options = json!({ "pagination": { "kind": "link" }, "times": 2 });
        read_on(&mut *source(&server.url, options), &cx).await;
        assert_eq!(cx.complaint().get().is_some(), cut, "{name}: {value}");
    }
}

#[tokio::test]
async fn the_end_of_a_poll_is_kept_although_no_event_carries_it() {
    let server = Server::start(ids(4, 2, true)).await;
    let mut position: Option<Position> = None;
    let mut counts = Vec::new();
    for _run in 0..3 {
        let (cx, _stopping) = context();
        let cx =
            cx.with_resume(position.clone().map(|position| (String::new(), position)).into_iter().collect());
        let (texts, _, next) = read_on(&mut *source(&server.url, with_cursor(json!({}))), &cx).await;
        counts.push(texts.len());
        position = next.or(position);
    }
    assert_eq!(counts, [4, 0, 0]);
    assert_eq!(server.targets().last().unwrap(), "/?since=4&page=1");
}
