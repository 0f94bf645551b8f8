use super::*;

fn style() -> Arc<ResponseStyle> {
    Arc::new(ResponseStyle { status: StatusCode::OK, content_type: None, headers: HeaderMap::new() })
}

fn pending(limit: usize) -> PendingRequest {
    PendingRequests::new().open(limit, &ByteBudget::new(1 << 20))
}

fn results(entries: &[(u32, &'static str)]) -> Vec<ResultEvent> {
    let one = |(index, text): &(u32, &'static str)| ResultEvent {
        position: (0, *index),
        payload: Bytes::copy_from_slice(text.as_bytes()),
    };
    entries.iter().map(one).collect()
}

fn add(pending: &PendingRequest, results: Vec<ResultEvent>) {
    let collected = pending.pending_requests.get(pending.id()).unwrap();
    collected.add(results.into_iter(), &style());
}

fn body(pending: &PendingRequest, format: ResultFormat) -> Option<String> {
    pending.render(format).unwrap().body.map(|body| String::from_utf8(body.to_vec()).unwrap())
}

fn again(results: &[ResultEvent]) -> Vec<ResultEvent> {
    results.iter().map(|one| ResultEvent { position: one.position, payload: one.payload.clone() }).collect()
}

#[test]
fn results_stand_in_the_order_of_the_request() {
    let pending = pending(100);
    add(&pending, results(&[(2, "c")]));
    add(&pending, results(&[(0, "a"), (1, "b1"), (1, "b2")]));
    assert_eq!(body(&pending, ResultFormat::Array).unwrap(), "[a,b1,b2,c]");
}

#[test]
fn each_shape_with_none_one_and_two() {
    let cases = [
        (ResultFormat::Single, [None, Some("1"), Some("[1,2]")]),
        (ResultFormat::Array, [Some("[]"), Some("[1]"), Some("[1,2]")]),
        (ResultFormat::JsonLines, [None, Some("1\n"), Some("1\n2\n")]),
        (ResultFormat::Lines, [None, Some("1\n"), Some("1\n2\n")]),
    ];
    for (format, expected) in cases {
        for (count, expected) in expected.into_iter().enumerate() {
            let pending = pending(100);
            add(&pending, results(&[(0, "1"), (1, "2")][..count]));
            assert_eq!(body(&pending, format).as_deref(), expected, "{format:?} with {count}");
        }
    }
}

#[test]
fn a_write_that_comes_again_adds_nothing() {
    let pending = pending(100);
    let (first, second) = (results(&[(0, "a"), (0, "a"), (1, "b")]), results(&[(1, "b"), (2, "c")]));
    for write in [again(&first), again(&first), again(&second), again(&second), again(&first)] {
        add(&pending, write);
    }
    assert_eq!(body(&pending, ResultFormat::Array).unwrap(), "[a,a,b,b,c]");
}

#[test]
fn results_over_the_limit_are_let_go_of() {
    let budget = ByteBudget::new(1000);
    let pending_requests = PendingRequests::new();
    let pending = pending_requests.open(3, &budget);
    add(&pending, results(&[(0, "ab"), (1, "cd")]));
    add(&pending, results(&[(2, "e")]));
    assert_eq!(pending.render(ResultFormat::Array).unwrap_err(), TooLarge);
    let other = pending_requests.open(1000, &ByteBudget::new(50));
    add(&other, results(&[(0, "ab"), (1, "cd")]));
    assert_eq!(other.render(ResultFormat::Array).unwrap_err(), TooLarge);
    drop(pending);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_request_that_is_gone_is_not_found() {
    let pending = pending(100);
    let (pending_requests, id) = (Arc::clone(&pending.pending_requests), pending.id());
    assert!(pending_requests.get(id).is_some());
    drop(pending);
    assert!(pending_requests.get(id).is_none());
    assert_eq!(pending_requests.len(), 0);
}

#[test]
fn no_two_requests_have_one_number() {
    let (pending_requests, budget) = (PendingRequests::new(), ByteBudget::new(100));
    let tickets: Vec<PendingRequest> = (0..1000).map(|_| pending_requests.open(1, &budget)).collect();
    assert_eq!(pending_requests.len(), 1000);
    assert!(tickets.iter().all(|pending| pending.id() >= 0));
}
