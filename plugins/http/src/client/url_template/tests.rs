//! Tests of URLs that are rendered from events.

use super::*;

fn address(text: &str) -> Result<UrlTemplate, ConfigError> {
    UrlTemplate::new(text.parse().unwrap(), vec![("k".into(), "v w".into())])
}

#[test]
fn values_are_encoded_wherever_they_stand() {
    let address = address("http://h:1/a/{.id}?q={.q}").unwrap();
    let url = address.render(r#"{"id":"x/../y?#%é","q":"a&b=c d"}"#.as_bytes()).unwrap();
    assert_eq!(url.as_str(), "http://h:1/a/x%2F..%2Fy%3F%23%25%C3%A9?q=a%26b%3Dc%20d&k=v+w");
}

#[test]
fn data_never_leaves_the_path() {
    let address = address("http://h/a/{.id}/b").unwrap();
    for id in ["..", ".", ""] {
        let event = format!(r#"{{"id":"{id}"}}"#);
        assert!(address.render(event.as_bytes()).is_err(), "{id}");
    }
    assert_eq!(address.render(br#"{"id":"..."}"#).unwrap().path(), "/a/.../b");
}

#[test]
fn the_host_is_literal() {
    for text in ["http://{.host}/x", "http://a{.host}/x", "http://h:80{.x}/", "http://me@{.x}"] {
        assert_eq!(address(text).unwrap_err().pointer, "/url", "{text}");
    }
    assert!(address("ftp://h/{.x}").unwrap_err().message.contains("ftp"));
    assert!(address("http://h?x={.x}").is_ok());
}
