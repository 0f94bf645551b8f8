//! Tests of servers that never end, lie about lengths or lead in circles: each poll ends, says why, and loses nothing.

use tokio::io::AsyncReadExt;

use super::*;

/// Reads one poll; returns the events, the reasons of rejections, and the complaint.
async fn poll(server: &Server, options: Value) -> (Vec<String>, Vec<String>, Option<String>) {
    let mut source = source(&server.url, options);
    let (cx, _stopping) = context();
    source.open(&cx).await.unwrap();
    let (mut texts, mut reasons) = (Vec::new(), Vec::new());
    while let Some(next) = source.next(&cx).await.unwrap() {
        texts.extend(next.batch.texts());
        reasons.extend(next.rejected.into_iter().map(|rejection| rejection.reason));
    }
    (texts, reasons, cx.complaint().get())
}

#[tokio::test]
async fn cycles_of_cursors_links_and_numbers_end() {
    for length in [1, 2, 3, 50] {
        let mut number = 0;
        let server = Server::start(move |_| {
            number += 1;
            let (at, next) = (number % length, (number + 1) % length);
            ok(format!(r#"{{"items":[{at}],"next":"c{next}","link":"/p?{next}"}}"#))
        })
        .await;
        for (pagination, most) in [
            (json!({ "kind": "cursor", "from": ".next" }), length + 2),
            (json!({ "kind": "link", "from": ".link" }), length + 2),
            (json!({ "kind": "page" }), 3 * length + 11),
        ] {
            let before = server.targets().len();
            let options = json!({ "items": ".items", "pagination": pagination, "times": 2 });
            let (texts, _, complaint) = poll(&server, options).await;
            let requests = server.targets().len() - before;
            assert!(requests as u64 <= 2 * most, "{requests} requests, cycle of {length}, {pagination}");
            assert!(!texts.is_empty());
            assert!(complaint.is_some(), "cycle of {length}, {pagination}");
        }
    }
}

#[tokio::test]
async fn pages_without_an_end_stop_at_the_limit_and_go_on_there() {
    let mut number = 0;
    let server = Server::start(move |_| {
        number += 1;
        ok(format!(r#"{{"items":[{{"at":{number}}}],"next":"c{number}"}}"#))
    })
    .await;
    let options = json!({
        "items": ".items", "pagination": { "kind": "cursor", "from": ".next" }, "max_pages": 3, "times": 2,
        "cursor": { "from": ".at", "parameter": "since" },
    });
    let (texts, _, complaint) = poll(&server, options).await;
    assert_eq!(texts.len(), 6, "the second poll goes on");
    assert!(complaint.unwrap().contains("`max_pages` (3)"));
    assert_eq!(server.targets()[3], "/?cursor=c3");
}

#[tokio::test]
async fn three_hundred_redirects_are_not_followed() {
    let mut number = 0;
    let server = Server::start(move |_| {
        number += 1;
        if number > 300 { ok("[1]") } else { status(302, "").with("location", format!("/r{number}")) }
    })
    .await;
    for (redirects, requests) in [(0, 1), (5, 6)] {
        let before = server.targets().len();
        let error = failure(&server, json!({ "redirects": redirects })).await;
        assert_eq!(error.class(), Class::Misconfigured, "{error}");
        assert_eq!(server.targets().len() - before, requests);
        assert!(error.message().contains("redirect"), "{error}");
    }
}

#[tokio::test]
async fn an_array_without_an_end_is_left_at_the_limit() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let options = json!({ "body_size": "64KiB" });
    let mut source = source(&url, options);
    let (read, ()) = tokio::join!(read_all(&mut *source), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[0").await.unwrap();
        while stream.write_all(&b",1".repeat(1000)).await.is_ok() {}
    });
    let (texts, refused) = read.unwrap();
    assert_eq!((texts.len(), refused.len()), (0, 1));
    assert!(refused[0].contains("over `body_size` (64KiB)"), "{refused:?}");
}

#[tokio::test]
async fn a_wrong_length_is_never_taken_for_the_whole() {
    let server = Server::start(|request| match request.target.as_str() {
        // More is announced than is sent.
        "/long" => Reply::BreakOff,
        // Less is announced: the rest of the array is not a part of the response.
        _ => Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n[1,2,3]".to_vec()),
    })
    .await;
    let error = read_all(&mut *source(&format!("{}/long", server.url), json!({}))).await.unwrap_err();
    assert_eq!(error.class(), Class::Retry, "{error}");
    let (texts, refused) = read(&server, "/short", json!({})).await;
    assert_eq!((texts.len(), refused.len()), (0, 1), "{refused:?}");
    assert!(refused[0].contains("malformed JSON"), "{refused:?}");
}

#[tokio::test]
async fn results_of_a_query_have_limits() {
    let server = Server::start(|_| ok(r#"{"n":1}"#)).await;
    for (items, words) in [("range(1e12)", "over `inflated_size`"), ("def f: [f]; f", "recurses too deep")] {
        let options = json!({ "items": items, "inflated_size": "64KiB" });
        let (texts, refused) = read(&server, "/", options).await;
        assert_eq!((texts.len(), refused.len()), (0, 1), "{items}");
        assert!(refused[0].contains(words), "{items}: {refused:?}");
    }
}
