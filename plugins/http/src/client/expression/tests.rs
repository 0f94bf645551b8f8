//! Tests of expressions over responses.

use super::*;

fn text(expression: &str, body: &str) -> Result<Option<String>, String> {
    let headers = HeaderMap::from_iter([("x-next".parse().unwrap(), "h2".parse().unwrap())]);
    let document = Document::new(body.as_bytes(), StatusCode::OK, &headers, true);
    document.count.set(3);
    Expression::new(expression, "/from").unwrap().text(&document)
}

#[test]
fn text_is_found_by_paths_and_queries() {
    for (expression, body, expected) in [
        (".next", r#"{"next":"a"}"#, Some("a")),
        (r#"."@odata.nextLink""#, r#"{"@odata.nextLink":"b"}"#, Some("b")),
        (".data[-1].id", r#"{"data":[{"id":1},{"id":12345678901234567890}]}"#, Some("12345678901234567890")),
        (".data[-1].id", r#"{"data":[]}"#, None),
        (".next", "", None),
        (".next", r#"{"next":false}"#, None),
        (".next // empty", r#"{"next":null}"#, None),
        ("if .more then .id + 1 else null end", r#"{"more":true,"id":4}"#, Some("5")),
        (r#"$headers["x-next"]"#, "{}", Some("h2")),
        ("$count + $status", "{}", Some("203")),
    ] {
        assert_eq!(text(expression, body).unwrap().as_deref(), expected, "{expression} {body}");
    }
    assert!(text(".next", r#"{"next":{}}"#).unwrap_err().contains("is not text or a number"));
    assert!(text(".a.b + 1", r#"{"a":[]}"#).unwrap_err().contains("`.a.b + 1`"));
    assert!(text(".a | .", "{").unwrap_err().contains("malformed JSON"));
}

#[test]
fn results_become_elements_of_one_array() {
    let elements = |expression: &str, body: &str| {
        let headers = HeaderMap::new();
        let document = Document::new(body.as_bytes(), StatusCode::OK, &headers, true);
        let elements = Expression::new(expression, "/items").unwrap().elements(&document, 100);
        elements.map(|found| found.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
    };
    let body = r#"{"a":[1.50,2],"b":[3],"c":{"x":[4]},"d":null,"e":[]}"#;
    for (expression, expected) in [
        (".a, .b", "[1.50,2,3]"),
        ("(.a,.b)[]", "[1.50,2,3]"),
        (".d, .e, .c", r#"[{"x":[4]}]"#),
        (".e, .d", "[]"),
        ("empty", "[]"),
        (".a | map(select(. > 1.6))", "[2]"),
    ] {
        assert_eq!(elements(expression, body).unwrap().as_deref(), Some(expected), "{expression}");
    }
    assert_eq!(elements(".a", body).unwrap(), None, "a path is answered from the bytes");
    let long = elements("[range(100)] | .", body).unwrap_err();
    assert!(long.contains("over `inflated_size`"), "{long}");
    assert!(elements("range(1e9)", "{}").unwrap_err().contains("inflated_size"));
}

#[test]
fn a_mistake_is_underlined() {
    let error = Expression::new(".a | selct(.b)", "/stop").unwrap_err();
    assert_eq!((error.pointer.as_str(), error.range.is_some()), ("/stop", true), "{error:?}");
    let error = Expression::new("$nothing", "/stop").unwrap_err();
    assert!(error.message.contains("nothing"), "{error:?}");
}
