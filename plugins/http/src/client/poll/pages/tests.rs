//! Links, hosts and parameters.

use super::*;

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
