use super::*;

fn key(json: &str) -> Key {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_stable_hash_is_the_published_one() {
    // Computed with the reference implementation: a sample drawn today is the sample drawn next year.
    assert_eq!(key(r#"".id""#).stable_hash(br#"{"id":""}"#), Ok(Some(0x2d06_8005_38d3_94c2)));
}

#[test]
fn values_count_by_their_text_and_together() {
    let one = key(r#"".a""#);
    assert_eq!(one.hash(br#"{"a":"1"}"#, 7), one.hash(br#"{"b":0,"a": 1 }"#, 7));
    assert_ne!(one.hash(br#"{"a":1}"#, 7), one.hash(br#"{"a":1}"#, 8));
    assert_eq!(one.hash(br#"{"a":null}"#, 7), Ok(None));
    assert!(one.hash(b"{", 7).is_err());
    let both = key(r#"[".a", ".b"]"#);
    assert_ne!(both.hash(br#"{"a":"ab","b":"c"}"#, 7), both.hash(br#"{"a":"a","b":"bc"}"#, 7));
    assert_eq!(both.stable_hash(br#"{"a":"ab"}"#), Ok(None));
}

#[test]
fn bad_paths_are_refused() {
    for (json, part) in [("3", "a path such as"), ("[]", "empty"), (r#""id""#, "is not a path")] {
        let error = serde_json::from_str::<Key>(json).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn missing_without_a_key_is_refused() {
    for plugin in crate::plugins().into_iter().filter(|plugin| plugin.kind() == tidegate_sdk::Kind::Filter) {
        let name = plugin.name().to_owned();
        let error = plugin.build(&serde_json::json!({ "missing": "reject" })).err();
        assert_eq!(error.map(|error| error.pointer), Some("/missing".to_owned()), "{name}");
    }
}
