//! Tests of a poll over its pages, without a server.

use reqwest::header::HeaderMap;

use super::*;
use crate::client::poll::pages::{Lead, Parameter, Place};

fn base() -> Url {
    Url::parse("http://h/").unwrap()
}

/// Returns the step after each of these bodies, with their number of events.
fn steps(pages: &Pages, max_pages: u64, bodies: &[(&str, u64)]) -> Vec<Step> {
    let (base, headers, mut walk) = (base(), HeaderMap::new(), Walk::default());
    let context = WalkContext { pages, base: &base, max_pages };
    let mut steps = Vec::new();
    for (body, count) in bodies {
        let count = *count;
        let lead = Lead {
            next: body.starts_with('"').then(|| body.trim_matches('"').to_owned()),
            ..Lead::default()
        };
        let body = body.as_bytes();
        steps.push(walk.go_on(&context, &Page { url: &base, headers: &headers, body, count, lead: &lead }));
    }
    steps
}

fn numbered(size: Option<u64>) -> Pages {
    let parameter = Parameter { name: "page".into(), place: Place::Query };
    Pages::Number { parameter, start: 1, size: size.map(|size| ("limit".into(), size)) }
}

#[test]
fn only_an_empty_page_is_the_end_of_numbered_ones() {
    for size in [None, Some(2)] {
        let all = steps(&numbered(size), 100, &[("[1,2]", 2), ("[3]", 1), ("[4]", 1), ("[]", 0)]);
        assert_eq!(
            all,
            [Step::More, Step::More, Step::More, Step::End],
            "a server may give less than was asked for"
        );
    }
}

#[test]
fn a_page_over_the_limit_cuts_the_poll_only_if_there_is_more() {
    let pages = numbered(None);
    let all = steps(&pages, 2, &[("[1]", 1), ("[2]", 1)]);
    assert!(matches!(&all[1], Step::Incomplete(cut) if cut.resumes && !cut.needs_help), "{all:?}");
    assert_eq!(steps(&pages, 2, &[("[1]", 1), ("[]", 0)])[1], Step::End);
}

#[test]
fn the_same_page_for_ever_is_a_cut() {
    let bodies = [("[1]", 1); 12];
    let all = steps(&numbered(None), 100, &bodies);
    assert!(all[..10].iter().all(|step| *step == Step::More));
    assert!(
        matches!(&all[10], Step::Incomplete(cut) if cut.needs_help && cut.reason.contains("`page`")),
        "{:?}",
        all[10]
    );
}

#[test]
fn a_cursor_that_is_too_long_is_not_followed() {
    let parameter = Parameter { name: "cursor".into(), place: Place::Query };
    let pages = Pages::Cursor { from: ".next".into(), parameter };
    let body = format!(r#""{}""#, "x".repeat(LONGEST + 1));
    let all = steps(&pages, 100, &[(&body, 1)]);
    assert!(matches!(&all[0], Step::Incomplete(cut) if cut.needs_help), "{all:?}");
}

#[test]
fn numbered_pages_in_a_cycle_are_a_cut() {
    for length in [2, 3, 7, 64] {
        let bodies: Vec<(String, u64)> = (0..400).map(|n| (format!("[{}]", n % length), 1)).collect();
        let bodies: Vec<(&str, u64)> = bodies.iter().map(|(body, count)| (body.as_str(), *count)).collect();
        let all = steps(&numbered(None), 1000, &bodies);
        let cut = all.iter().position(|step| *step != Step::More);
        assert_eq!(cut, Some(3 * length - 1), "{length}");
        assert!(matches!(&all[3 * length - 1], Step::Incomplete(cut) if cut.reason.contains("circles")));
    }
    let few: Vec<(&str, u64)> = [("[1]", 1), ("[2]", 1), ("[1]", 1), ("[2]", 1), ("[3]", 1)].to_vec();
    assert!(steps(&numbered(None), 100, &few).iter().all(|step| *step == Step::More), "values may repeat");
}

#[test]
fn cursors_in_a_cycle_or_at_a_standstill_are_cuts() {
    let parameter = Parameter { name: "cursor".into(), place: Place::Query };
    let pages = Pages::Cursor { from: ".next".into(), parameter };
    for (bodies, expected) in [
        (&[("\"a\"", 1), ("\"a\"", 1)][..], 1),
        (&[("\"a\"", 1), ("\"b\"", 1), ("\"a\"", 1)], 2),
        (&[("\"a\"", 1), ("\"b\"", 1), ("\"c\"", 1), ("\"b\"", 1)], 3),
    ] {
        let all = steps(&pages, 100, bodies);
        let cut = all.iter().position(|step| *step != Step::More);
        assert_eq!(cut, Some(expected), "{bodies:?}");
    }
}
