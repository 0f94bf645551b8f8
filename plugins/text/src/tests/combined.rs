//! Access logs.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{format, parse};

#[test]
fn a_combined_line() {
    let line = r#"203.0.113.9 - ann [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 2326 "http://x.y/" "Mozilla/5.0 (X11)""#;
    let expected = json!({
        "remote_addr": "203.0.113.9", "user": "ann", "time": "2000-10-10T13:55:36-07:00", "method": "GET",
        "path": "/a?b=c", "protocol": "HTTP/1.1", "status": 200, "bytes": 2326, "referer": "http://x.y/",
        "user_agent": "Mozilla/5.0 (X11)"
    });
    assert_eq!(parse(&format("combined"), line).unwrap(), expected);
    assert_eq!(parse(&format("combined"), format!("{line}\r\n")).unwrap(), expected);
}

#[test]
fn a_common_line_and_its_dashes() {
    let line = r#"::1 - - [29/Feb/2024:00:00:00 +0000] "-" 408 -"#;
    let expected = json!({
        "remote_addr": "::1", "user": null, "time": "2024-02-29T00:00:00+00:00", "method": null, "path": null,
        "protocol": null, "status": 408, "bytes": null, "referer": null, "user_agent": null
    });
    assert_eq!(parse(&format("combined"), line).unwrap(), expected);
}

#[test]
fn requests_that_are_garbage_or_escaped() {
    let request = |request: &str| {
        let line =
            format!(r#"h - - [10/Oct/2000:13:55:36 +0000] "{request}" 400 0 "-" "a \"b\" \\ \x41\xc3\xa9""#);
        let value = parse(&format("combined"), line).unwrap();
        assert_eq!(value["user_agent"], "a \"b\" \\ A\u{e9}");
        (value["method"].clone(), value["path"].clone(), value["protocol"].clone())
    };
    assert_eq!(request(r"\x16\x03\x01"), (Value::Null, json!("\u{16}\u{3}\u{1}"), Value::Null));
    assert_eq!(request(r"GET /a b HTTP/1.0"), (json!("GET"), json!("/a b"), json!("HTTP/1.0")));
    assert_eq!(request("GET /"), (json!("GET"), json!("/"), Value::Null));
    assert_eq!(request(r"\xff\q"), (Value::Null, json!("\u{fffd}\\q"), Value::Null));
}

#[test]
fn a_line_that_departs_is_rejected_where_it_does() {
    let cases = [
        ("", "the address of the client and a space after it is expected at byte 0, where the line ends"),
        ("h - - 10/Oct", "a user and the time in brackets is expected at byte 4, not `- 10/Oct`"),
        ("h - - [31/Feb/2000:13:55:36 +0000] x", "`31/Feb/2000:13:55:36 +0000` is not a time like"),
        ("h - - [10/Oct/2000:13:55:36 +0000] GET", "the request in quotes is expected at byte 35, not `GET`"),
        (r#"h - - [10/Oct/2000:13:55:36 +0000] "GET /"#, "the quote at the end of the request"),
        (r#"h - - [10/Oct/2000:13:55:36 +0000] "-" ok"#, "the status is expected at byte 39, not `ok`"),
        (
            r#"h - - [10/Oct/2000:13:55:36 +0000] "-" 200 1 "-" "-" "x""#,
            "the end of the line, or a list of addresses in quotes, is expected at byte 53",
        ),
    ];
    for (line, reason) in cases {
        let actual = parse(&format("combined"), line).unwrap_err();
        assert!(actual.starts_with("not an access log: ") && actual.contains(reason), "{line}: {actual}");
    }
}

const REST: &str = r#" [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 1 "-" "-""#;

#[test]
fn words_before_the_time_are_recognized_or_refused() {
    let read = |words: &str| parse(&format("combined"), format!("{words}{REST}"));
    for (words, vhost, address, user) in [
        ("www.example.com:80 203.0.113.9 - -", Some("www.example.com:80"), "203.0.113.9", None),
        ("www.example.com 203.0.113.9 - ann", Some("www.example.com"), "203.0.113.9", Some("ann")),
        (
            "[::1]:443 client.example.net - ann smith",
            Some("[::1]:443"),
            "client.example.net",
            Some("ann smith"),
        ),
        ("www:80 203.0.113.9, 10.0.0.1 - -", Some("www:80"), "203.0.113.9, 10.0.0.1", None),
        ("203.0.113.9, 10.0.0.1 - -", None, "203.0.113.9, 10.0.0.1", None),
        ("unknown, 10.0.0.1,::1 - ann smith", None, "unknown, 10.0.0.1,::1", Some("ann smith")),
        ("203.0.113.9:5678 - -", None, "203.0.113.9:5678", None),
        ("203.0.113.9 ident ann", None, "203.0.113.9", Some("ann")),
        ("2001:db8::1 - -", None, "2001:db8::1", None),
        ("::1 - ann smith", None, "::1", Some("ann smith")),
        ("host.example - 10.0.0.1", None, "host.example", Some("10.0.0.1")),
    ] {
        let event = read(words).unwrap_or_else(|reason| panic!("{words}: {reason}"));
        assert_eq!(event.get("vhost"), vhost.map(Value::from).as_ref(), "{words}");
        assert_eq!((&event["remote_addr"], &event["user"]), (&json!(address), &json!(user)), "{words}");
        assert_eq!(event["status"], 200);
    }
    for words in
        ["www.example.com client - -", "a b c d", "one two three four five", "203.0.113.9 -", "h  - -"]
    {
        assert!(read(words).unwrap_err().contains("is expected at byte"), "{words}: {:?}", read(words));
    }
}

#[test]
fn methods_are_tokens() {
    for method in ["M-SEARCH", "VERSION-CONTROL", "get", "X_1.2~"] {
        let line = format!(r#"h - - [10/Oct/2000:13:55:36 -0700] "{method} * HTTP/1.1" 200 1"#);
        let event = parse(&format("combined"), line).unwrap();
        assert_eq!((&event["method"], &event["path"]), (&json!(method), &json!("*")));
    }
    for garbage in ["G(T / HTTP/1.1", "SSH-2.0-OpenSSH 9"] {
        let line = format!(r#"h - - [10/Oct/2000:13:55:36 -0700] "{garbage}" 400 1"#);
        let event = parse(&format("combined"), line).unwrap();
        assert_eq!((&event["method"], &event["path"]), (&Value::Null, &json!(garbage)));
    }
}

#[test]
fn only_addresses_are_accepted_after_the_agent() {
    let read = |last: &str| parse(&format("combined"), format!("h - -{REST} {last}"));
    for list in ["203.0.113.9", "203.0.113.9, 10.0.0.1", "unknown, [2001:db8::1]:443, ::1"] {
        assert_eq!(read(&format!("\"{list}\"")).unwrap()["forwarded_for"], list);
    }
    assert_eq!(read("\"-\"").unwrap()["forwarded_for"], Value::Null);
    for other in ["\"0.004\"", "\"session=1\"", "0.004", "\"10.0.0.1\" \"x\"", "\"10.0.0.1\" "] {
        assert!(read(other).unwrap_err().contains("is expected at byte 66"), "{other}: {:?}", read(other));
    }
}

#[test]
fn one_event_is_one_line() {
    for name in ["combined", "logfmt"] {
        let reason = parse(&format(name), "a=1\nb=2").unwrap_err();
        assert!(reason.contains("there is a line break at byte 3"), "{reason}");
    }
}

/// As Apache writes text in quotes.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b'\n' => "\\n".to_owned(),
        0..0x20 | 0x7f.. => format!("\\x{byte:02x}"),
        plain => char::from(plain).to_string(),
    };
    text.bytes().map(byte).collect()
}

proptest! {
    #[test]
    fn printed_lines_are_parsed_back(
        host in "[0-9a-f.:]{1,20}", user in "[a-z][a-z ]{0,9}", path in "/\\PC{0,20}", status in 100_u64..600,
        bytes in proptest::option::of(any::<u64>()), agent in "[^-]\\PC{0,30}\n?\"?",
    ) {
        let size = bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
        let line = format!(
            "{host} - {user} [01/Jan/2026:00:00:59 +0130] \"POST {} HTTP/2.0\" {status} {size} \"-\" \"{}\"",
            escaped(&path), escaped(&agent)
        );
        let expected = json!({
            "remote_addr": host, "user": user, "time": "2026-01-01T00:00:59+01:30", "method": "POST", "path": path,
            "protocol": "HTTP/2.0", "status": status, "bytes": bytes, "referer": null, "user_agent": agent
        });
        prop_assert_eq!(parse(&format("combined"), line).unwrap(), expected);
    }
}
