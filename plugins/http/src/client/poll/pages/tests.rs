//! Links, hosts and parameters.

use super::*;

#[test]
fn the_link_of_the_next_page_is_found_among_others() {
    let next = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, value.parse().unwrap());
        next_link(&headers)
    };
    assert_eq!(
        next(r#"</a?p=1>; rel="prev", </a?p=3,4>; title="x"; rel="last next""#).as_deref(),
        Some("/a?p=3,4")
    );
    assert_eq!(next("<b>; REL=next").as_deref(), Some("b"));
    assert_eq!(next(r#"<b>; rel="prev""#), None);
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
