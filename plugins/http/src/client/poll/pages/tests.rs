//! Tests of links, hosts and parameters.

use super::*;

#[test]
fn a_page_of_a_round_or_requested_number_of_events_may_be_full() {
    let may_be_full = |url: &str, count| {
        let (url, headers) = (Url::parse(url).unwrap(), HeaderMap::new());
        Page { url: &url, headers: &headers, body: b"", count, lead: &Lead::default() }.may_be_full()
    };
    for (url, count, expected) in [
        ("http://h/", 0, false),
        ("http://h/?page=0", 0, false),
        ("http://h/", 3, false),
        ("http://h/", 5, false),
        ("http://h/?per_page=3", 3, true),
        ("http://h/", 25, true),
        ("http://h/", 27, false),
        ("http://h/", 100, true),
    ] {
        assert_eq!(may_be_full(url, count), expected, "{url} {count}");
    }
}

#[test]
fn a_link_does_not_leave_the_host() {
    let base = Url::parse("https://api.example.com/a").unwrap();
    let check = |link: &str, hosts: &[String]| check_host(&Url::parse(link).unwrap(), &base, hosts).is_ok();
    assert!(check("https://api.example.com/b", &[]));
    for link in ["https://evil.example.com/b", "http://api.example.com/b", "https://api.example.com:444/"] {
        assert!(!check(link, &[]), "{link}");
    }
    let hosts = ["evil.example.com".to_owned()];
    assert!(check("https://evil.example.com/b", &hosts));
    assert!(!check("http://evil.example.com/b", &hosts), "credentials do not leave encryption");
}

#[test]
fn parameters_take_the_place_of_known_ones() {
    let base = Url::parse("http://h/a?x=1&page=9&y=2").unwrap();
    let url = with_parameters(&base, &[("page", "3 4".into())]);
    assert_eq!(url.as_str(), "http://h/a?x=1&y=2&page=3+4");
}
