//! Tests with responses of known servers.

use tidegate_sdk::Class;

use super::*;

#[test]
fn a_lifetime_is_understood_however_it_is_written() {
    let cases = [
        ("3600", Some(3600.0)),
        ("\"3600\"", Some(3600.0)),
        ("\" 3600 \"", Some(3600.0)),
        ("3599.5", Some(3599.5)),
        ("\"3599.5\"", Some(3599.5)),
        ("3.6e3", Some(3600.0)),
        ("0", Some(0.0)),
        ("-0", Some(0.0)),
        ("-1", None),
        ("\"-1\"", None),
        ("null", None),
        ("\"\"", None),
        ("\"soon\"", None),
        ("\"NaN\"", None),
        ("true", None),
        ("{}", None),
        ("18446744073709551616", None),
        ("1e400", None),
        ("9999999999999999999999999999999999999999", None),
    ];
    for (written, expected) in cases {
        let body = format!(r#"{{"access_token":"t","expires_in":{written}}}"#);
        let lifetime = granted(body.as_bytes()).unwrap().lifetime;
        assert_eq!(lifetime, expected.map(Duration::from_secs_f64), "{written}");
    }
    assert_eq!(granted(br#"{"access_token":"t"}"#).unwrap().lifetime, None);
}

#[test]
fn a_type_is_a_bearer_however_it_is_written_unless_it_needs_a_key() {
    for kind in ["\"bearer\"", "\"Bearer\"", "\"BEARER\"", "\"BearerToken\"", "\"\"", "null", "7"] {
        let body = format!(r#"{{"access_token":"t","token_type":{kind}}}"#);
        assert_eq!(granted(body.as_bytes()).unwrap().header, "Bearer t", "{kind}");
    }
    for kind in ["mac", "DPoP", "PoP"] {
        let body = format!(r#"{{"access_token":"t","token_type":"{kind}"}}"#);
        let error = granted(body.as_bytes()).unwrap_err();
        assert!(error.message().contains(kind) && error.class() == Class::Misconfigured, "{error}");
    }
}

#[test]
fn errors_are_named_and_only_some_pass_by_themselves() {
    let cases = [
        (
            r#"{"error":"invalid_client","error_description":"who?"}"#,
            Class::Misconfigured,
            "`invalid_client`: who?",
        ),
        (r#"{"error":"temporarily_unavailable"}"#, Class::Retry, "`temporarily_unavailable`"),
        (r#"{"error":"server_error","access_token":"t"}"#, Class::Retry, "`server_error`"),
        (r#"{"access_token":""}"#, Class::Misconfigured, "no `access_token`"),
        (r#"{"token":"t"}"#, Class::Misconfigured, "no `access_token`"),
        ("<html>", Class::Misconfigured, "not JSON"),
        ("", Class::Misconfigured, "not JSON"),
    ];
    for (body, class, words) in cases {
        let error = granted(body.as_bytes()).unwrap_err();
        assert_eq!(error.class(), class, "{body}: {error}");
        assert!(error.message().contains(words), "{body}: {error}");
    }
    assert!(granted(br#"{"access_token":"t","error":null}"#).is_ok());
}
