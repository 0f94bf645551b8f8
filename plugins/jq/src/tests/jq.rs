//! The filter `jq`.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_sdk::{Attributes, Batch, Output};
use tidegate_testkit as testkit;

use super::{filter, plugin, reason, refused, results};

#[test]
fn selects_reshapes_splits_and_drops() {
    let mut active = filter("jq", &json!({ "query": r#"select(.status == "active") | {name, age}"# }));
    let events = [
        r#"{"status":"active","name":"Ann","age":30}"#,
        r#"{"status":"gone","name":"Bob","age":40}"#,
        r#"{ "age" : 50, "name" : "Cy", "status" : "active" }"#,
    ];
    let (texts, rejected) = testkit::apply(active.as_mut(), events);
    assert_eq!(texts, [r#"{"name":"Ann","age":30}"#, r#"{"name":"Cy","age":50}"#]);
    assert!(rejected.is_empty());
    assert_eq!(results(".[]", "[1,[2],\"x\"]").unwrap(), ["1", "[2]", "\"x\""]);
    assert_eq!(results("empty", "1").unwrap(), Vec::<String>::new());
}

#[test]
fn the_language_gives_known_results() {
    let cases = [
        ("[.[] | select(. > 1)] | add / length", "[1,2,3]", "2.5"),
        ("to_entries | map(.key) | join(\"-\")", r#"{"a":1,"b":2}"#, r#""a-b""#),
        ("reduce .[] as $x (0; . + $x)", "[1,2,3]", "6"),
        ("test(\"^a+$\")", "\"aaa\"", "true"),
        ("capture(\"(?<y>[0-9]+)-(?<m>[0-9]+)\")", "\"2026-07\"", r#"{"y":"2026","m":"07"}"#),
        (".a.b //= 3", r#"{"a":{}}"#, r#"{"a":{"b":3}}"#),
        ("[limit(3; repeat(1))]", "null", "[1,1,1]"),
        ("[range(0; 10; 3)], [range(3; 0; -1)]", "null", "[0,3,6,9]"),
        ("def f: if . > 9 then . else . + 1 | f end; f", "0", "10"),
        ("try error(\"x\") catch .", "null", "\"x\""),
        ("todate", "0", "\"1970-01-01T00:00:00Z\""),
        ("@csv", r#"[1,"a\"b",null,true,2.5]"#, r#""1,\"a\"\"b\",,true,2.5""#),
        ("@tsv", r#"["a\tb","c\\d",null,7]"#, r#""a\\tb\tc\\\\d\t\t7""#),
        ("try @csv catch .", r#"[{}]"#, "\"object ({}) is not valid in a csv row\""),
        ("toarray, (.[0] | toarray)", "[1]", "[1]"),
        ("[.[] | IN(2, 3)], IN(.[]; 3)", "[1,2]", "[false,true]"),
        ("INDEX(.id)", r#"[{"id":7}]"#, r#"{"7":{"id":7}}"#),
        ("ascii", "65", "\"A\""),
        ("@base64", "\"abc\"", "\"YWJj\""),
        ("fromjson, (fromjson | tojson)", "\"[1, 2]\"", "[1,2]"),
        ("group_by(.a) | map(length)", r#"[{"a":1},{"a":2},{"a":1}]"#, "[2,1]"),
    ];
    for (query, payload, first) in cases {
        assert_eq!(results(query, payload).unwrap()[0], first, "{query}");
    }
}

#[test]
fn numbers_and_text_stay_what_they_are() {
    let json =
        r#"{"a":1.0,"b":12345678901234567890123,"c":-0,"d":1e3,"e":"\u00e9\ud83d\ude00\/\n\u007f","f":"é"}"#;
    let printed = r#"{"a":1.0,"b":12345678901234567890123,"c":-0,"d":1e3,"e":"é😀/\n\u007f","f":"é"}"#;
    for query in [".", ". | .", "map_values(.)", "{a,b,c,d,e,f}"] {
        assert_eq!(results(query, json).unwrap(), [printed], "{query}");
    }
    let half = results(".", r#""\ud800x""#).unwrap_err();
    assert!(half.contains("byte 1: this escape is half of a surrogate pair"), "{half}");
    assert_eq!(results(".", r#"{"a":1,"b":2,"a":3}"#).unwrap(), [r#"{"a":3,"b":2}"#]);
    assert_eq!(
        results("nan, infinite, -infinite", "0").unwrap(),
        ["null", "1.7976931348623157e+308", "-1.7976931348623157e+308"]
    );
    assert_eq!(results(".b + 1", json).unwrap(), ["12345678901234568000000"]);
}

#[test]
fn one_bad_event_is_rejected_alone() {
    let mut filter = filter("jq", &json!({ "query": ".a + 1" }));
    let events: [&[u8]; 6] =
        [br#"{"a":1}"#, br#"{"a": nope}"#, br#"{"a":"x"}"#, b"{\"a\":\"\xff\"}", b"[1]", br#"{"a":2}"#];
    let (texts, rejected) = testkit::apply(filter.as_mut(), events);
    assert_eq!(texts, ["2", "3"]);
    let reasons: Vec<_> = rejected.iter().map(|(event, reason)| (*event, reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            (1, "malformed JSON at byte 6: a value is expected"),
            (2, r#"string ("x") and number (1) cannot be added"#),
            (3, "malformed JSON at byte 6: this is not UTF-8"),
            (4, r#"Cannot index array with string "a""#),
        ]
    );
}

#[test]
fn events_that_are_no_json_are_rejected() {
    let bad = [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "NaN",
        "Infinity",
        "nul",
        "\"",
        "\"\t\"",
        r#""\x""#,
        r#""\u12""#,
        "1 2",
        "[1] # x",
        "b\"x\"",
        "'a'",
        "[1",
        "{\"a\"",
        "{\"a\":",
    ];
    for json in bad {
        let reason = reason(".", json);
        assert!(reason.starts_with("malformed JSON at byte "), "{json}: {reason}");
        assert!(serde_json::from_str::<Value>(json).is_err(), "{json}");
    }
}

#[test]
fn errors_of_a_query_keep_its_words() {
    assert_eq!(reason(r#"error("no user in \(.)")"#, "[1]"), "no user in [1]");
    assert_eq!(reason("error({code: 7})", "0"), r#"the query ended with the error {"code":7}"#);
    assert!(reason("halt", "0").contains("`halt`"));
    assert_eq!(reason("{(1 | tostring): 1} | .[0:1]", "0"), "Cannot index object with object");
    assert_eq!(reason("{(1 + .): 2}", "0"), "Cannot use number (1) as object key");
    let message = refused("jq", &json!({ "query": "{(1): 2}" })).message;
    assert_eq!(message, "Cannot use number (1) as object key");
    assert_eq!(reason("tonumber", r#""x1""#), r#"string ("x1") cannot be parsed as a number"#);
    assert_eq!(reason("tonumber", r#""[1]""#), r#"string ("[1]") cannot be parsed as a number"#);
    assert_eq!(reason("tonumber", "[1]"), "array ([1]) cannot be parsed as a number");
    let read = reason("fromjson", r#""{oops}""#);
    assert_eq!(read, "a name in quotes is expected at byte 1 (while parsing '{oops}')");
    assert!(reason("tonumber", format!("\"{}\"", "é".repeat(100))).contains("éé...)"));
    assert!(reason("1, error(\"late\")", "0").contains("late"), "no result goes on before an error");
    let long = reason("error(\"x\" * 100000)", "0");
    assert!(long.len() < 500 && long.ends_with("(100000 bytes)"), "{long}");
}

#[test]
fn deep_input_is_rejected_and_does_not_end_the_process() {
    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        assert!(reason(".", &deep).contains("nested deeper than 512"));
    }
    let allowed = format!("{}{}", "[".repeat(512), "]".repeat(512));
    assert_eq!(results(". | .", &allowed).unwrap(), [allowed]);
    let text = format!("\"{}\"", "[".repeat(100_000));
    assert!(reason("fromjson", text).contains("Exceeds depth limit for parsing"));
}

#[test]
fn deep_queries_are_rejected_and_do_not_end_the_process() {
    assert_eq!(reason("def f: 1 + f; f", "0"), "the query recurses too deep for this event");
    assert_eq!(reason("def f: [f]; f", "0"), "the query recurses too deep for this event");
    assert_eq!(reason("def f: try (1 + f) catch 1; f", "0"), "the query recurses too deep for this event");
    let too_deep = "reduce range(100000) as $i (null; [.])";
    assert_eq!(reason(too_deep, "0"), "the query nests a value deeper than 10000 for this event");
    let deep = "reduce range(10000) as $i (null; [.])";
    assert_eq!(reason(deep, "0"), "the result is nested deeper than 512");
    assert_eq!(results(&format!("{deep} | 1"), "0").unwrap(), ["1"]);
    assert_eq!(results(&format!("{deep} | tostring | length"), "0").unwrap(), ["20004"]);
    assert_eq!(results("def f: if . > 100000 then . else . + 1 | f end; f", "0").unwrap(), ["100001"]);
    assert_eq!(results("[recurse(if . < 3000 then . + 1 else empty end)] | length", "0").unwrap(), ["3001"]);
}

#[test]
fn endless_queries_end() {
    let mut options = json!({ "query": "", "limit": { "steps": 200_000, "events": 1000, "bytes": "1MiB" } });
    let steps = "the query took more than 200000 steps for this event, which is `limit.steps`";
    let events = "the query made more than 1000 events of this one, which is `limit.events`";
    let depth = "the query nests a value deeper than 10000 for this event";
    let bytes = "the query made more than 1MiB of this event, which is `limit.bytes`";
    let endless = [
        ("last(range(1e18))", steps),
        ("until(false; .)", steps),
        ("[range(1e9)]", steps),
        ("[repeat(1)]", steps),
        ("def f: f; f", steps),
        ("def f(g): f(g | . + 1); f(.)", steps),
        ("reduce range(1e9) as $i (null; [.])", depth),
        ("repeat(.)", events),
        ("range(1e9)", events),
        ("repeat(\"x\" * 10000)", bytes),
        ("\"x\" * 3000000", bytes),
    ];
    for (query, expected) in endless {
        options["query"] = query.into();
        let mut filter = filter("jq", &options);
        let (texts, rejected) = testkit::apply(filter.as_mut(), ["1"]);
        assert!(texts.is_empty(), "{query}");
        assert_eq!(rejected, [(0, expected.to_owned())], "{query}");
    }
}

#[test]
fn a_low_limit_of_steps_holds() {
    let mut filter = filter("jq", &json!({ "query": "[range(.)] | length", "limit": { "steps": 40 } }));
    let (texts, rejected) = testkit::apply(filter.as_mut(), ["5", "50", "6"]);
    assert_eq!(texts, ["5", "6"]);
    assert!(rejected[0].1.contains("more than 40 steps"));
}

#[test]
fn an_event_that_needs_a_large_room_does_not_disturb_the_others() {
    let mut filter = filter("jq", &json!({ "query": "[range(.)] | length" }));
    let expected = ["3", "100000", "5"];
    assert_eq!(testkit::apply(filter.as_mut(), expected).0, expected);
    assert_eq!(testkit::apply(filter.as_mut(), expected).0, expected, "and again, when it starts there");
}

#[test]
fn nothing_outside_the_event_is_seen() {
    assert_eq!(results("env, $ENV", "0").unwrap(), ["{}", "{}"]);
    assert_eq!(results("$__loc__", "0").unwrap(), [r#"{"file":"<top-level>","line":1}"#]);
    assert_eq!(results("[inputs], [input?], try input catch .", "0").unwrap(), ["[]", "[]", "\"break\""]);
    assert!(refused("jq", &json!({ "query": "input_line_number" })).message.contains("no meaning here"));
    for query in ["import \"a\" as a; .", "include \"a\"; .", "import \"a\" as $a; ."] {
        let error = refused("jq", &json!({ "query": query }));
        assert!(error.message.contains("modules cannot be loaded"), "{query}: {error}");
    }
}

#[test]
fn meta_is_key_time_and_attributes() {
    let shared = Attributes::default().with("path", "a.log").with("line", 3_i64);
    let mut builder = Batch::builder().with_attributes(Arc::new(shared));
    builder.push_copy(b"1");
    builder.key(b"k");
    builder.timestamp(1_500_000_000);
    builder.attributes(Arc::new(Attributes::default().with("line", 4_i64)));
    builder.push_copy(b"2");
    let input = builder.finish();
    let mut out = Output::new(&input);
    filter("jq", &json!({ "query": "$meta" })).process(&input, &mut out).unwrap();
    assert_eq!(
        out.emitted()[0].1.texts(),
        [
            r#"{"key":"k","timestamp":1.5,"attributes":{"path":"a.log","line":4}}"#,
            r#"{"key":null,"timestamp":null,"attributes":{"path":"a.log","line":3}}"#,
        ]
    );
}

#[test]
fn results_keep_what_belongs_to_their_event() {
    let mut builder = Batch::builder();
    for (payload, key) in [("[1,2]", "a"), ("[]", "b"), ("[3]", "c")] {
        builder.push_copy(payload.as_bytes());
        builder.key(key.as_bytes());
    }
    let input = builder.finish();
    let mut out = Output::new(&input);
    filter("jq", &json!({ "query": ".[]" })).process(&input, &mut out).unwrap();
    let batch = &out.emitted()[0].1;
    let keys: Vec<_> = (0..batch.len()).map(|event| batch.key(event).unwrap()).collect();
    assert_eq!(keys, [b"a", b"a", b"c"]);
    assert_eq!((0..batch.len()).map(|event| batch.source_index(event)).collect::<Vec<_>>(), [0, 0, 2]);
}

#[test]
fn a_fork_does_the_same() {
    let original = filter("jq", &json!({ "query": ". + 1" }));
    let mut fork = original.fork().expect("it can be forked");
    assert_eq!(testkit::apply(fork.as_mut(), ["1"]).0, ["2"]);
}

#[test]
fn a_bad_query_is_underlined() {
    let cases = [
        ("select(.a == )", ")", "an expression is expected before `)`"),
        (".a | foo(1; 2)", "foo", "there is no function `foo` with 2 arguments"),
        (".a | nope | also_not", "nope", "there is no function `nope`"),
        ("$x + 1", "$x", "there is no variable `$x`"),
        ("[.a", "[", "`[` is never closed"),
        (".a | § | 2", "§", "`§ | 2` means nothing here"),
        ("\"a", "\"", "`\"` is never closed"),
        ("if .a then 1", "1", "else or end is expected at the end of the query"),
        (".a )", ")", "`)` means nothing here"),
        (".a .b c", "c", "`c` is one too many here"),
        ("", "", "an expression is expected at the end of the query"),
    ];
    for (query, token, message) in cases {
        let error = refused("jq", &json!({ "query": query }));
        assert_eq!(error.message, message, "{query}");
        assert_eq!(error.pointer, "/query");
        assert_eq!(&query[error.range.clone().unwrap()], token, "{query}");
        assert!(error.help.is_some());
    }
    let long = format!("{}.{}", "[".repeat(20_000), "]".repeat(20_000));
    assert!(refused("jq", &json!({ "query": long })).message.contains("longer than"));
    let deep = format!("{}.{}", "[".repeat(15_000), "]".repeat(15_000));
    assert!(refused("jq", &json!({ "query": deep })).message.contains("nested deeper than 1000"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |float| serde_json::Number::from_f64(float).map(Value::from)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_json_goes_through_unchanged(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        for query in [".", ". | ."] {
            let printed = results(query, &text).unwrap();
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            prop_assert_eq!(read(&printed[0]), read(&text));
            prop_assert!(!printed[0].contains('\n'));
        }
    }

    #[test]
    fn reader_agrees_with_serde_json(text in r#"[\[\]{}:,"0-9eE.+\-truefalsn \\]{0,12}"#) {
        // Two leniencies of serde_json's or ours apart: it refuses numbers over the range of a double and
        // halves of surrogate pairs.
        let ours = results(".", &text);
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => prop_assert!(ours.is_ok(), "{:?}", ours),
            Err(_) => prop_assert!(ours.is_err(), "{:?}", ours),
        }
    }

    #[test]
    fn any_bytes_are_survived(payload: Vec<u8>) {
        let _ = results(".. | tojson", payload);
    }
}

#[test]
fn queries_as_deep_as_they_may_be_long_are_survived() {
    let deep = |open: &str, middle: &str, close: &str| {
        let times = 32_000 / (open.len() + close.len());
        format!("{}{middle}{}", open.repeat(times), close.repeat(times))
    };
    let queries = [
        deep("[", ".", "]"),
        deep("(", ".", ")"),
        deep("{a:", ".", "}"),
        deep("-", "1", ""),
        deep(".|", ".", ""),
        ".,".repeat(2000) + ".",
        deep("1+", "1", ""),
        deep("1 as $x|", "1", ""),
        deep("try ", "1", ""),
        deep("if . then ", ".", " end"),
        deep("reduce . as $x (1;", ".", ")"),
        "def f:".repeat(1000) + "1" + &";1".repeat(1000),
        deep("\"\\(", ".", ")\""),
        deep(".[", "0", "]"),
        deep(".", "", "[0]"),
        deep("[", "", ""),
        deep("", "1", "]"),
        deep("first(", ".", ")"),
        deep(".a.", "a", ""),
        deep("label $x|", "1", ""),
    ];
    for query in queries {
        let options = json!({ "query": query, "limit": { "steps": 100_000 } });
        if let Ok(tidegate_sdk::Component::Filter(mut filter)) = super::plugin("jq").build(&options) {
            testkit::apply(filter.as_mut(), ["1"]);
        }
    }
}

#[test]
fn a_filter_says_how_it_runs() {
    let explained = |query: &str| filter("jq", &json!({ "query": query })).explain().expect("it says");
    assert!(explained("select(.a > 1) | {b}").starts_with("fast: "));
    assert_eq!(explained("sort"), "builds values: the fast path lacks the function `sort`");
    let options = json!({ "query": "select(.a == \"x\" or .a == \"y\")", "validate": "touched" });
    assert_eq!(
        filter("jq", &options).explain().expect("it says"),
        "fast: answered from the bytes of the events that have `\"x\"` or `\"y\"`; others are not looked at"
    );
}

#[test]
fn limits_hold_on_the_fast_path_too() {
    let options = json!({ "query": "[.a, .a]", "limit": { "bytes": "10B" } });
    let (texts, rejected) = testkit::apply(filter("jq", &options).as_mut(), [r#"{"a":"xyz"}"#, r#"{"a":1}"#]);
    assert_eq!(texts, ["[1,1]"]);
    assert!(rejected[0].1.contains("`limit.bytes`"));
    let options = json!({ "query": ".a, .a", "limit": { "events": 1 } });
    let (texts, rejected) = testkit::apply(filter("jq", &options).as_mut(), [r#"{"a":"xyz"}"#]);
    assert!(texts.is_empty() && rejected[0].1.contains("`limit.events`"));
}

/// Every one of them would take gigabytes, or the process with it.
#[test]
fn an_event_that_would_take_too_much_memory_is_rejected_alone() {
    let queries = [
        ".price * .qty",
        ".qty * .price",
        "[range(.qty)] | length",
        ".a[.qty] = 1",
        "reduce range([.qty, 64] | min) as $i (.price; . + .)",
        ".price as $p | [range(.qty | if . > 9 then 1e6 else . end)] | map($p) | join(\",\") | length",
        ".price as $p | \"x\" * .qty | gsub(\"x\"; $p)",
        "[limit(.qty; repeat(.price))] | length",
    ];
    for query in queries {
        let limit = json!({ "memory": "16MiB", "steps": 2_000_000 });
        let mut filter = filter("jq", &json!({ "query": query, "limit": limit }));
        let bad = r#"{"price":"ab","qty":100000000000000000}"#;
        let good = r#"{"price":"ab","qty":2}"#;
        let (texts, rejected) = testkit::apply(filter.as_mut(), [good, bad, good]);
        assert_eq!(texts.len(), 2, "{query}: {rejected:?}");
        let reason = &rejected[0].1;
        let known = ["`limit.memory`", "`limit.steps`", "Array index too large"];
        assert!(known.iter().any(|part| reason.contains(part)), "{query}: {reason}");
    }
}

#[test]
fn substitution_in_a_long_text_takes_as_much_memory_as_its_result() {
    let event = format!("{{\"s\":\"{}\"}}", "word ".repeat(100_000));
    let options = json!({ "query": r#".s |= gsub(" ";"_")"#, "limit": { "memory": "8MiB" } });
    let (texts, rejected) = testkit::apply(filter("jq", &options).as_mut(), [event.as_str()]);
    assert!(rejected.is_empty(), "{rejected:?}");
    assert_eq!(texts, [event.replace(' ', "_")]);
}

#[test]
fn sure_mistakes_are_warnings() {
    let warnings = |name: &str, options: &Value| plugin(name).build(options).unwrap().capabilities().warnings;
    let query = r#".[] | select(.status = "active")"#;
    let found = warnings("jq", &json!({ "query": query }));
    assert_eq!((found.len(), &*found[0].pointer), (1, "/query"));
    assert_eq!(&query[found[0].range.clone().unwrap()], r#".status = "active""#);
    assert!(found[0].message.contains("`==` compares"), "{}", found[0].message);
    let found = warnings("route", &json!({ "routes": { "a": ".x", "b": "\"a\" == \"b\"" } }));
    assert_eq!((found.len(), &*found[0].pointer), (1, "/routes/b"));
    let found = warnings("route", &json!({ "routes": { "a": ".n = 1", "rest": "true" } }));
    assert_eq!((found.len(), &*found[0].pointer), (1, "/routes/a"), "a route is a condition");
    let found = warnings("generate", &json!({ "query": "select(\"x\") | $n" }));
    assert_eq!((found.len(), &*found[0].pointer), (1, "/query"));
    assert!(warnings("jq", &json!({ "query": "select(.status == \"active\") | .a = 1" })).is_empty());
    assert!(refused("jq", &json!({ "query": "test(\"(\")" })).message.contains("not a regular expression"));
}
