//! The fast path and the evaluator, held against each other: what the fast path answers, the evaluator answers too.

mod random;

use proptest::prelude::*;
use tidegate_query::Val;

use crate::fast::{Answer, Program, Results};
use crate::limit::Limit;
use crate::query::{Flow, Query};
use crate::room::{Room, Rooms};
use crate::writer;

/// The results of the fast path for the event; `None` if the event is for the evaluator.
fn fast(query: &str, event: &[u8]) -> Option<Vec<String>> {
    run(&program(query), event, &mut Answer::default())
}

fn program(query: &str) -> Program {
    lowered(query).unwrap_or_else(|obstacle| panic!("{query}: {obstacle}"))
}

/// The program of a query, or the obstacle.
pub(super) fn lowered(query: &str) -> Result<Program, String> {
    Program::of(&tidegate_query::syntax::tree(query).map_err(|problem| problem.message)?)
}

fn run(program: &Program, event: &[u8], answer: &mut Answer) -> Option<Vec<String>> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a result is UTF-8");
    // What stands around the event must make no difference: neither the end of a string, nor half a character, nor how
    // near the buffer ends.
    let more = &[b'"'; 40][..event.len() % 2 * 40];
    let buffer = [b"{\"a\":\"\xC3", event, b"\"}]:0e\xA9\\", more].concat();
    let place = 7..7 + event.len();
    Some(match program.run(&buffer, place, usize::MAX, answer)? {
        Results::Part(part) => vec![text(&buffer[part])],
        Results::Texts(texts) => texts.iter().map(text).collect(),
    })
}

/// The results of the evaluator, or the reason why there are none.
fn slow(query: &str, event: &[u8]) -> Result<Vec<String>, String> {
    evaluate(&compile(query), event)
}

fn compile(query: &str) -> Query {
    Query::compile(query, "", &[]).unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn evaluate(query: &Query, event: &[u8]) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    let mut reason = None;
    let work = |_: usize, room: &Room| {
        texts.clear();
        let each = |value: Val| {
            let mut text = Vec::new();
            writer::write(&value, &mut text, usize::MAX)?;
            texts.push(String::from_utf8(text).expect("a result is UTF-8"));
            Ok(Flow::Next)
        };
        let event = bytes::Bytes::copy_from_slice(event);
        reason = query.evaluate(&event, |_| Val::Null, room, each).err().map(|stop| format!("{stop:?}"));
        Ok(())
    };
    Rooms::new(Limit::default()).each(1, None, work).unwrap();
    match reason {
        Some(reason) => Err(reason),
        None => Ok(texts),
    }
}

/// Fails unless both agree; says how many events the fast path had an answer for.
fn agree<E: AsRef<[u8]>>(query: &str, events: impl IntoIterator<Item = E>) -> Result<usize, TestCaseError> {
    let (compiled, program) = (compile(query), program(query));
    // The same for all: what it remembers of the first event must not show in the others.
    let mut answer = Answer::default();
    let mut answered = 0;
    for event in events {
        let event = event.as_ref();
        if let Some(texts) = run(&program, event, &mut answer) {
            let shown = String::from_utf8_lossy(event);
            prop_assert_eq!(Ok(texts), evaluate(&compiled, event), "{} on {}", query, shown);
            answered += 1;
        }
    }
    Ok(answered)
}

#[test]
fn the_subset_covers_what_pipelines_ask() {
    let event =
        br#"{"status":"active","name":"Ann \"A\"","age":30,"n":{"b":[1,{"c":2.50}]},"t":"17","z":null}"#;
    let cases: [(&str, &[&str]); 31] = [
        (r#"select(.status == "active") | {name, age}"#, &[r#"{"name":"Ann \"A\"","age":30}"#]),
        (r#"select(.status == "gone")"#, &[]),
        (".n", &[r#"{"b":[1,{"c":2.50}]}"#]),
        (".n.b[1].c", &["2.50"]),
        (".n.b[9], .n.x", &["null", "null"]),
        ("{a: .age, \"b c\": .n.b[0], d: [.t, .x // \"none\"]}", &[r#"{"a":30,"b c":1,"d":["17","none"]}"#]),
        (".age > 29 and .age <= 30.0 and (.age | . != 31)", &["true"]),
        (".age < \"1\" or .nope", &["true"]),
        (".z == null, .nope == null, .z != false", &["true", "true", "true"]),
        ("has(\"z\"), has(\"y\"), (.n | has(\"b\"))", &["true", "false", "true"]),
        (
            ".name | startswith(\"Ann \\\"\"), endswith(\"x\"), contains(\"A\"), test(\"^An+ .A\")",
            &["true", "false", "true", "true"],
        ),
        (".t | tonumber", &["17"]),
        ("(.t | tonumber) + .age", &["47"]),
        (".age * 2 - 1", &["59"]),
        ("if .age >= 18 then \"adult\" elif .age > 12 then \"teen\" else \"child\" end", &["\"adult\""]),
        ("{x: .age, y: .t} | select(.x > 3) | {y, w}", &[r#"{"y":"17","w":null}"#]),
        ("[.age, (.t | select(. == \"x\")), true, {}, []]", &["[30,true,{},[]]"]),
        ("(.nope // .z // false) | not", &["true"]),
        ("-1, \"a\\u00e9\\n\", 1.50, null", &["-1", "\"aé\\n\"", "1.50", "null"]),
        ("empty", &[]),
        (".age?", &["30"]),
        (".[\"age\"]", &["30"]),
        ("[.age == 30.0, .age == 30, .n.b[1].c == 2.5]", &["[true,true,true]"]),
        ("select(.name)|.name|.", &[r#""Ann \"A\"""#]),
        (".n.b[]", &["1", r#"{"c":2.50}"#]),
        (".n | .b[] | select(. != 1) | .c, [.]", &["2.50", r#"[{"c":2.50}]"#]),
        ("{b: (.n.b | map({v: .}))}", &[r#"{"b":[{"v":1},{"v":{"c":2.50}}]}"#]),
        ("[.n.b[] | select(. == 1)], .age", &["[1]", "30"]),
        (".n.b | map(. == 1) | {b: .}", &[r#"{"b":[true,false]}"#]),
        (r#""\(.name): \(.age), \(.z) \(.n.b[1].c + 1)\n""#, &[r#""Ann \"A\": 30, null 3.5\n""#]),
        (r#"select("\(.t)!" == "17!") | .t"#, &[r#""17""#]),
    ];
    for (query, expected) in cases {
        assert_eq!(fast(query, event).expect(query), expected, "{query}");
        assert_eq!(slow(query, event).expect(query), expected, "{query}");
    }
}

/// Queries for awkward events.
const QUERIES: [&str; 31] = [
    ".",
    ".a",
    "{a}",
    ".a.b",
    "[.a, .b]",
    ".a == .b",
    ".a < .b",
    ".a == 1",
    ".a == 1.0",
    ".a == \"A\"",
    "select(.a) | .b",
    "select(.a == \"A\")",
    ".a > 9007199254740993",
    "{b: .a.b, a: .a.a}",
    ".a[0]",
    "has(\"a\")",
    ".a | tonumber",
    ".a + .b",
    ".a // .b",
    ".a | test(\"A\")",
    ".a | contains(\"\\n\")",
    ".a[]",
    ".[]",
    "[.a[] | .b?]",
    ".a | map(., 1)",
    "\"<\\(.a)\\(.b)>\"",
    "{c: \"\\(.a)\"}",
    "\"\\(.a | tonumber)\"",
    "{c: \"<\\(.b | tonumber)>\"}",
    "select(\"\\(.a | tonumber)\" == \"1.50\")",
    "select(\"\\(.b)\" == \"1.0\") | .a",
];

#[test]
fn awkward_events_give_what_the_evaluator_gives() {
    let events = [
        r#"{"a":1,"b":1.0}"#,
        r#"{"a":1.0,"b":1}"#,
        r#"{"a":-0,"b":0}"#,
        r#"{"a":-0.0,"b":0}"#,
        r#"{"a":1e2,"b":100}"#,
        r#"{"a":12345678901234567890123,"b":12345678901234567890124}"#,
        r#"{"a":9007199254740993,"b":9007199254740992.0}"#,
        r#"{"a":1e999,"b":-1e999}"#,
        r#"{"a":"\u0041","b":"A"}"#,
        r#"{"\u0061":1,"b":2}"#,
        r#"{"a":{"\u0062":1},"b":2}"#,
        r#"{"a":1,"b":2,"a":3}"#,
        r#"{"a":{"b":1},"a":{"a":2}}"#,
        r#"{"a":{"b":1},"a":2}"#,
        r#"{"a":2,"a":{"b":1}}"#,
        r#"{"a":null,"b":null}"#,
        "{}",
        "null",
        "[]",
        "[1]",
        "\"a\"",
        "1",
        "true",
        " { \"a\" : [ 1 , 2 ] , \"b\" : \" \" } \r",
        r#"{"a":{"x":1,"x":2},"b":{"x":1,"y":1}}"#,
        r#"{"a":"\ud83d\ude00","b":"\ud83d"}"#,
        r#"{"a":"\ude00\ud83d","b":""}"#,
        r#"{"a":"\/","b":"/"}"#,
        r#"{"a":"\b\f\n\r\t\"\\","b":"\n"}"#,
        "{\"a\":\"\u{7f}\",\"b\":\"\\u007f\"}",
        "{\"a\":\"\\u001f\",\"b\":\"é😀\"}",
        r#"{"a":"17","b":"1.50"}"#,
        r#"{"a":"1.50","b":"9007199254740993.0"}"#,
        r#"{"a":"9007199254740993.0","b":"0.10","\u0063":1}"#,
        r#"{"a":"12345678901234567890123","b":"1E+2"}"#,
        r#"{"a":"-0","b":"1e999"}"#,
        r#"{"a":"\u0031.50","b":"1.50","n\n":"x"}"#,
        r#"{"a":" 17","b":"1 "}"#,
        r#"{"a":"-","b":"01"}"#,
        r#"{"a":[{"b":1}],"b":[[]]}"#,
        r#"{"a":[],"b":{}}"#,
        r#"{"a":true,"b":false}"#,
        r#"{"a":"A","b":[1,2,{"a":"\u0041"}]}"#,
    ];
    let mut answered = 0;
    for query in QUERIES {
        answered += agree(query, events).unwrap();
    }
    assert!(answered > QUERIES.len() * events.len() * 2 / 5, "{answered} were answered by the fast path");
}

/// `$` also matches before the line break at the end of a text, which is for the evaluator.
#[test]
fn end_of_a_pattern_before_a_last_line_break() {
    let query = r#".a | test("b$")"#;
    for (event, expected) in
        [(r#"{"a":"ab"}"#, "true"), (r#"{"a":"ab\n"}"#, "true"), (r#"{"a":"ab\n\n"}"#, "false")]
    {
        assert_eq!(slow(query, event.as_bytes()).as_deref(), Ok(&[expected.to_owned()][..]), "{event}");
        if let Some(texts) = fast(query, event.as_bytes()) {
            assert_eq!(texts, [expected], "{event}");
        }
    }
    assert!(fast(query, br#"{"a":"ab"}"#).is_some());
}

/// The text of a number is that of the event, as jq keeps it, whichever path answers.
#[test]
fn numbers_in_texts_keep_their_digits() {
    let query = r#""\(.a | tonumber)""#;
    for digits in ["1.50", "9007199254740993.0", "0.10", "12345678901234567890123", "1E+2", "-0"] {
        let expected = [format!("\"{digits}\"")];
        for event in
            [format!(r#"{{"a":"{digits}"}}"#), format!(r#"{{"a":"{digits}","x\ty":{{"\u0061":1}}}}"#)]
        {
            if let Some(texts) = fast(query, event.as_bytes()) {
                assert_eq!(texts, expected, "{event}");
            }
            assert_eq!(slow(query, event.as_bytes()).as_deref(), Ok(&expected[..]), "{event}");
        }
        let plain = format!(r#"{{"a":"{digits}","b":{digits}}}"#);
        assert_eq!(fast(query, plain.as_bytes()).expect("it is answered"), expected, "{plain}");
        let select = format!(r#"select("\(.b)" == "{digits}") | .a"#);
        assert_eq!(fast(&select, plain.as_bytes()).expect("it is answered"), expected, "{select}");
    }
}

#[test]
fn half_a_surrogate_pair_is_malformed() {
    for event in [
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\ud800\ud800"}"#,
        r#"{"a":"\udc00"}"#,
        r#"{"a":"\ud800x"}"#,
        r#"{"\ud800":1,"\ud801":2}"#,
        r#"{"b":["\udbff\ue000"]}"#,
    ] {
        assert_eq!(fast(".c", event.as_bytes()), None, "{event}");
        assert!(slow(".c", event.as_bytes()).unwrap_err().contains("half of a surrogate pair"), "{event}");
    }
    assert_eq!(fast(".a", br#"{"a":"\ud83d\ude00"}"#).expect("it is answered"), ["\"\u{1f600}\""]);
}

#[test]
fn the_last_of_equal_names_counts() {
    for (event, expected) in [
        (r#"{"a":{"b":1},"a":{"c":2}}"#, "null"),
        (r#"{"a":{"b":1},"a":null}"#, "null"),
        (r#"{"a":5,"a":{"b":1}}"#, "1"),
    ] {
        assert_eq!(fast(".a.b", event.as_bytes()).expect("it is answered"), [expected], "{event}");
    }
    assert_eq!(fast(".a.b", br#"{"a":{"b":1},"a":5}"#), None);
    assert_eq!(fast(".a", br#"{"a":{"x":1,"y":2,"x":3}}"#).expect("it is answered"), [r#"{"x":3,"y":2}"#]);
}

#[test]
fn names_that_are_expected_twice_are_printed_once() {
    let program = program("select(.a != 1)");
    let mut answer = Answer::default();
    // Nothing is expected so near to the end of the buffer that it might be after it.
    let long = "z".repeat(40);
    for (event, expected) in [
        (r#"{"a":"x","b":"y","b":"LONG"}"#, r#"{"a":"x","b":"LONG"}"#),
        (r#"{"a":"v","b":"w","b":"LONG"}"#, r#"{"a":"v","b":"LONG"}"#),
        (r#"{"a":"v","b":"LONG"}"#, r#"{"a":"v","b":"LONG"}"#),
        (r#"{"a":"v","b":"w","c":"LONG","a":2}"#, r#"{"a":2,"b":"w","c":"LONG"}"#),
    ] {
        let (event, expected) = (event.replace("LONG", &long), expected.replace("LONG", &long));
        assert_eq!(run(&program, event.as_bytes(), &mut answer), Some(vec![expected]), "{event}");
    }
}

#[test]
fn expected_members_are_only_expected() {
    let program = program("select(.a == \"x\") | {b, c}");
    let mut answer = Answer::default();
    for (event, expected) in [
        (r#"{"a":"x","b":"y","c":1,"d":"z"}"#, Some(r#"{"b":"y","c":1}"#)),
        (r#"{"a":"x","b":"yy","c":2,"d":""}"#, Some(r#"{"b":"yy","c":2}"#)),
        (r#"{"a":"x","b": "y","c": [3, 4],"d":"z"}"#, Some(r#"{"b":"y","c":[3,4]}"#)),
        (r#"{"a":"x","b":5,"c":"y","d":{}}"#, Some(r#"{"b":5,"c":"y"}"#)),
        (r#"{"b":"y","a":"x","c":1}"#, Some(r#"{"b":"y","c":1}"#)),
        (r#"{"a":"x","b":"y","c":1,"b":"z"}"#, Some(r#"{"b":"z","c":1}"#)),
        (r#"{"a":"x"}"#, Some(r#"{"b":null,"c":null}"#)),
        (r#"{"a":"x","b":"y","c":,"d":"z"}"#, None),
        (r#"{"a":"x","b":"y","c":1,"d":"z""#, None),
        (r#"{"a":"x","b":"y","c":1,"d":"#, None),
        (r#"{"a":"x","b":"y,"c":1,"d":"z"}"#, None),
    ] {
        let results = run(&program, event.as_bytes(), &mut answer);
        assert_eq!(results, expected.map(|text| vec![text.to_owned()]), "{event}");
    }
}

#[test]
fn depth_is_limited_as_it_is_on_the_slow_path() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(fast(".", nested(512).as_bytes()).expect("it is answered"), [nested(512)]);
    assert_eq!(fast(".", nested(513).as_bytes()), None);
    assert_eq!(fast("[.]", nested(511).as_bytes()).expect("it is answered"), [nested(512)]);
    assert_eq!(fast("[.]", nested(512).as_bytes()), None);
}

#[test]
fn obstacles_are_reported() {
    let cases = [
        ("first(.a)", "the function `first` with these arguments"),
        (".a[1:]", "a slice, or the iterator `.[]` where one value is asked for"),
        ("{a: .b[]}", "a slice, or the iterator `.[]` where one value is asked for"),
        ("reduce .[] as $x (0; . + $x)", "`reduce`"),
        (". as $x | $x", "a variable (`as`)"),
        (".a |= 1", "the operator `|=`"),
        ("$meta", "the variable `$meta`"),
        ("@base64 \"\\(.a)\"", "a text with a format"),
        ("..", "`..`"),
        ("try (1 + .a)", "`try` (`?` after a path is fine)"),
        ("{(.a): 1}", "a name in an object that is not a plain text"),
        ("{a: 1, a: 2}", "the name `a`, which an object has twice"),
        ("def f: 1; f", "`def`"),
        (".\"\\n\"", "the name `\n`, which JSON writes in another way"),
    ];
    for (query, obstacle) in cases {
        assert_eq!(lowered(query).expect_err(query), obstacle, "{query}");
    }
    let large = format!("{{a: .}}{}", " | {a: [., .]}".repeat(20));
    assert_eq!(lowered(&large).expect_err("it is refused"), "its size");
}
