//! Entry points of the decoders of `http_poll` for the fuzz targets.

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue, LINK};
use reqwest::{StatusCode, Url};
use tidegate_sdk::json;

use super::cursor::CursorValues;
use super::decode::{Decoder, Input};
use super::options::{Decode, MissingItems};
use super::pages::{Lead, Page, Pages, Parameter, Place};
use super::unique::Unique;
use super::walk::{Step, Walk, WalkContext};
use crate::client::expression::Expression;

/// The largest event, in bytes.
const LIMIT: usize = 1000;

fn expression(text: &str) -> Expression {
    Expression::new(text, "").expect("it is a query, as the tests show")
}

/// Decodes a response with each decoder, and looks for the next page in it.
///
/// # Panics
/// If events and rejections do not add up, or an event is not valid JSON.
pub fn response(body: &[u8]) {
    let (body, status) = (Bytes::copy_from_slice(body), StatusCode::OK);
    let input = Input { body, status, headers: HeaderMap::new() };
    let mut lead = Lead::default();
    for (decode, items) in [
        (Decode::Json, None),
        (Decode::Json, Some(expression(".items"))),
        (Decode::Json, Some(expression(".items[]?, .more"))),
        (Decode::JsonLines, None),
        (Decode::Lines, None),
        (Decode::Text, None),
    ] {
        let decoder = Decoder {
            decode,
            items,
            missing: MissingItems::Reject,
            from: Some(expression(".next")),
            stop: None,
            size: 1 << 20,
            unique: None,
            cursor: None,
        };
        let Ok(decoded) = decoder.decode(&input, LIMIT, None, &mut CursorValues::default()) else { continue };
        let rejected = decoded.rejected.len() as u64;
        let mut events = 0;
        for batch in decoded.batches {
            let batch = batch.finish();
            events += batch.len() as u64;
            for event in batch.payloads() {
                assert!(event.len() <= LIMIT, "an event keeps to the limit");
                let checked = matches!(decode, Decode::Json | Decode::JsonLines);
                assert!(!checked || json::check(event).is_ok(), "{decode:?} lets JSON through only");
            }
        }
        assert_eq!(events + rejected, decoded.count, "{decode:?} counts every event");
        lead = decoded.lead;
        let id = ".id".parse().expect("it is a path");
        let unique = Decoder { unique: Some(id), ..decoder };
        let again = unique.decode(&input, LIMIT, Some(&mut Unique::new(4)), &mut CursorValues::default());
        assert_eq!(again.map(|again| again.count), Ok(decoded.count));
    }
    let parameter = Parameter { name: "cursor".into(), place: Place::Query };
    let cursor = Pages::Cursor { from: ".next".into(), parameter };
    follow(&cursor, &input.headers, &input.body, &lead);
}

/// Follows a `Link` header, which must stay on its host.
///
/// # Panics
/// If the link leaves the host.
pub fn link(value: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let headers = HeaderMap::from_iter([(LINK, value)]);
    if let Some(url) = follow(&Pages::Link { from: None, hosts: Vec::new() }, &headers, b"", &Lead::default())
    {
        assert_eq!(url.origin(), base().origin(), "a link does not leave the host");
    }
}

fn base() -> Url {
    Url::parse("https://api.example.com/a?x=1").expect("it is a URL")
}

fn follow(pages: &Pages, headers: &HeaderMap, body: &[u8], lead: &Lead) -> Option<Url> {
    let (base, mut walk) = (base(), Walk::default());
    let page = Page { url: &base, headers, body, count: 1, lead };
    let more = walk.go_on(&WalkContext { pages, base: &base, max_pages: 3 }, &page) == Step::More;
    more.then(|| pages.url(&base, &[("since", "1")], walk.next.as_ref()))
}
