use super::*;

fn style() -> Arc<Style> {
    Arc::new(Style { status: StatusCode::OK, content_type: None, headers: HeaderMap::new() })
}

fn ticket(limit: usize) -> Ticket {
    Exchange::new().open(limit, &Budget::new(1 << 20))
}

fn made(entries: &[(u32, &'static str)]) -> Vec<Made> {
    let one = |(index, text): &(u32, &'static str)| Made {
        place: (0, *index),
        payload: Bytes::copy_from_slice(text.as_bytes()),
    };
    entries.iter().map(one).collect()
}

fn add(ticket: &Ticket, made: Vec<Made>) {
    let results = ticket.exchange.get(ticket.id()).unwrap();
    results.add(made.into_iter(), &style());
}

fn body(ticket: &Ticket, shape: Shape) -> Option<String> {
    ticket.render(shape).unwrap().body.map(|body| String::from_utf8(body.to_vec()).unwrap())
}

fn again(made: &[Made]) -> Vec<Made> {
    made.iter().map(|one| Made { place: one.place, payload: one.payload.clone() }).collect()
}

#[test]
fn results_stand_in_the_order_of_the_request() {
    let ticket = ticket(100);
    add(&ticket, made(&[(2, "c")]));
    add(&ticket, made(&[(0, "a"), (1, "b1"), (1, "b2")]));
    assert_eq!(body(&ticket, Shape::Array).unwrap(), "[a,b1,b2,c]");
}

#[test]
fn each_shape_with_none_one_and_two() {
    let cases = [
        (Shape::Single, [None, Some("1"), Some("[1,2]")]),
        (Shape::Array, [Some("[]"), Some("[1]"), Some("[1,2]")]),
        (Shape::JsonLines, [None, Some("1\n"), Some("1\n2\n")]),
        (Shape::Lines, [None, Some("1\n"), Some("1\n2\n")]),
    ];
    for (shape, expected) in cases {
        for (count, expected) in expected.into_iter().enumerate() {
            let ticket = ticket(100);
            add(&ticket, made(&[(0, "1"), (1, "2")][..count]));
            assert_eq!(body(&ticket, shape).as_deref(), expected, "{shape:?} with {count}");
        }
    }
}

#[test]
fn a_write_that_comes_again_adds_nothing() {
    let ticket = ticket(100);
    let (first, second) = (made(&[(0, "a"), (0, "a"), (1, "b")]), made(&[(1, "b"), (2, "c")]));
    for write in [again(&first), again(&first), again(&second), again(&second), again(&first)] {
        add(&ticket, write);
    }
    assert_eq!(body(&ticket, Shape::Array).unwrap(), "[a,a,b,b,c]");
}

#[test]
fn results_over_the_limit_are_let_go_of() {
    let budget = Budget::new(1000);
    let exchange = Exchange::new();
    let ticket = exchange.open(3, &budget);
    add(&ticket, made(&[(0, "ab"), (1, "cd")]));
    add(&ticket, made(&[(2, "e")]));
    assert_eq!(ticket.render(Shape::Array).unwrap_err(), TooLarge);
    let other = exchange.open(1000, &Budget::new(50));
    add(&other, made(&[(0, "ab"), (1, "cd")]));
    assert_eq!(other.render(Shape::Array).unwrap_err(), TooLarge);
    drop(ticket);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_request_that_is_gone_is_not_found() {
    let ticket = ticket(100);
    let (exchange, id) = (Arc::clone(&ticket.exchange), ticket.id());
    assert!(exchange.get(id).is_some());
    drop(ticket);
    assert!(exchange.get(id).is_none());
    assert_eq!(exchange.len(), 0);
}

#[test]
fn no_two_requests_have_one_number() {
    let (exchange, budget) = (Exchange::new(), Budget::new(100));
    let tickets: Vec<Ticket> = (0..1000).map(|_| exchange.open(1, &budget)).collect();
    assert_eq!(exchange.len(), 1000);
    assert!(tickets.iter().all(|ticket| ticket.id() >= 0));
}
