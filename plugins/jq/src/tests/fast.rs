//! The fast path and jaq, held against each other: whatever the fast path answers, jaq answers the same.

use jaq_json::Val;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::fast::{Answer, Program, Results};
use crate::limit::Limit;
use crate::query::{Flow, Query};
use crate::room::{Room, Rooms};
use crate::writer;

/// What the fast path makes of the event; `None` if the event is for jaq.
fn fast(query: &str, event: &[u8]) -> Option<Vec<String>> {
    run(&program(query), event, &mut Answer::default())
}

fn program(query: &str) -> Program {
    Program::new(query).unwrap_or_else(|obstacle| panic!("{query}: {obstacle}"))
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

/// What jaq makes of it, or why not.
fn slow(query: &str, event: &[u8]) -> Result<Vec<String>, String> {
    evaluate(&compile(query), event)
}

fn compile(query: &str) -> Query {
    Query::compile(query, "", &[]).unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn evaluate(query: &Query, event: &[u8]) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    let mut reason = None;
    let work = |_: usize, room: Room| {
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
    Rooms::new(Limit::default()).each(1, work).unwrap();
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

/// What is asked of awkward events.
const QUERIES: [&str; 27] = [
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
];

#[test]
fn awkward_events_give_what_jaq_gives() {
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
    // Nothing is expected so near to the end of the buffer that it might be behind it.
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
fn what_is_expected_of_an_event_is_only_expected() {
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
fn what_stands_in_the_way_is_told() {
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
        ("try .a", "`try` (`?` behind a path is fine)"),
        ("{(.a): 1}", "a name in an object that is not a plain text"),
        ("{a: 1, a: 2}", "the name `a`, which an object has twice"),
        ("def f: 1; f", "`def`"),
        (".\"\\n\"", "the name `\n`, which JSON writes in another way"),
    ];
    for (query, obstacle) in cases {
        assert_eq!(Program::new(query).expect_err(query), obstacle, "{query}");
    }
    let large = format!("{{a: .}}{}", " | {a: [., .]}".repeat(20));
    assert_eq!(Program::new(&large).expect_err("it is refused"), "its size");
}

/// Names that are asked for and that events have.
fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("a"), 4 => Just("b"), 2 => Just("c"), 1 => Just("long_name_of_a_member"), 1 => Just("é")]
}

fn literal() -> impl Strategy<Value = String> {
    let fixed = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "1.0",
        "2.5",
        "1e2",
        "9007199254740993",
        "12345678901234567890",
        "\"\"",
        "\"a\"",
        "\"A\"",
        "\"abc\"",
        "\"\\n\"",
        "\"é\"",
        "\"1\"",
        "[]",
        "{}",
    ];
    prop::sample::select(fixed.to_vec()).prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = String> {
    let step = prop_oneof![
        6 => name().prop_map(|name| format!("[\"{name}\"]")),
        1 => (0..3_usize).prop_map(|index| format!("[{index}]")),
    ];
    (prop::collection::vec((step, prop::bool::weighted(0.1)), 0..3)).prop_map(|steps| {
        let steps = steps.into_iter().map(|(step, optional)| step + if optional { "?" } else { "" });
        format!(".{}", steps.collect::<String>())
    })
}

fn query() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![3 => path(), 1 => literal(), 1 => Just("empty".to_owned())];
    leaf.prop_recursive(5, 24, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        let comparison = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
        let operator = prop::sample::select(vec!["and", "or", "//", "|", "+", "-", "*", "/", "%"]);
        let test = prop::sample::select(vec!["startswith", "endswith", "contains", "test"]);
        prop_oneof![
            4 => (inner.clone(), comparison, prop_oneof![inner.clone(), literal()])
                .prop_map(|(left, sign, right)| format!("({left}) {sign} ({right})")),
            4 => (two, operator).prop_map(|((left, right), sign)| format!("(({left}) {sign} ({right}))")),
            3 => inner.clone().prop_map(|condition| format!("select({condition})")),
            3 => prop::collection::btree_map(name(), inner.clone(), 0..3).prop_map(|members| {
                let members = members.into_iter().map(|(name, value)| format!("\"{name}\": ({value})"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }),
            2 => prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|elements| format!("[{}]", elements.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(", "))),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(condition, then, or)| format!("if {condition} then {then} else {or} end")),
            1 => (inner.clone(), test, prop::sample::select(vec!["a", "A", "", "b", "\\n", "1"]))
                .prop_map(|(value, test, text)| format!("({value} | {test}(\"{text}\"))")),
            2 => (path(), inner.clone()).prop_map(|(value, each)| format!("[{value} | .[] | {each}]")),
            1 => (path(), inner.clone()).prop_map(|(value, each)| format!("({value} | map({each}))")),
            1 => (path(), inner.clone()).prop_map(|(value, each)| format!("{value}[]? | ({each})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(first, second)| format!("\"\\({first}) é\\n\\({second})\"")),
            1 => inner.clone().prop_map(|value| format!("({value} | not)")),
            1 => inner.clone().prop_map(|value| format!("({value} | tonumber)")),
            1 => (path(), name()).prop_map(|(value, name)| format!("({value} | has(\"{name}\"))")),
            1 => (inner.clone(), inner).prop_map(|(first, second)| format!("[({first}), ({second})] | .")),
        ]
    })
}

/// White space, mostly none.
fn gap() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n\t"), 1 => Just("\r")]
}

/// The text of an event, with all that makes JSON awkward.
fn event() -> impl Strategy<Value = String> {
    let text = [
        "",
        "a",
        "A",
        "abc",
        "\\u0041",
        "\\n",
        "\\u000a",
        "\\/",
        "\\\"",
        "\\\\",
        "\\ud83d\\ude00",
        "\\ud83d",
        "\\ude00x",
        "é😀",
        "\u{7f}",
        "\\u007f",
        "1",
        "1.50",
        " 1",
        "-0",
        "a long text that takes more than one word",
        "\\u00e9",
    ];
    let number = [
        "0",
        "-0",
        "1",
        "1.0",
        "-1",
        "2.50",
        "1e2",
        "1E+2",
        "100",
        "9007199254740993",
        "9007199254740992.0",
        "1e999",
        "12345678901234567890",
        "123456789012345678901234567890",
        "0.1",
        "-0.0",
        "1e-7",
    ];
    let name = prop_oneof![
        12 => name(),
        1 => prop::sample::select(vec!["\\u0061", "\\u0062", "d", "", "\\n", "aa", "long_name_of_a_membex"]),
    ];
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned),
        prop::sample::select(number.to_vec()).prop_map(str::to_owned),
        prop::sample::select(text.to_vec()).prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        let element = (gap(), inner.clone(), gap()).prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        let member = (gap(), name.clone(), gap(), gap(), inner, gap()).prop_map(|(first, name, second, third, value, last)| {
            format!("{first}\"{name}\"{second}:{third}{value}{last}")
        });
        prop_oneof![
            1 => prop::collection::vec(element, 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
            4 => prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// An event, as it was and with a byte of it changed, taken out or put in.
fn damaged() -> impl Strategy<Value = [Vec<u8>; 2]> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\ 0-.e\x1f\xff".to_vec())];
    (event(), any::<prop::sample::Index>(), byte, 0..4_u8).prop_map(|(event, at, byte, how)| {
        let whole = event.into_bytes();
        let (mut event, at) = (whole.clone(), at.index(whole.len()));
        match how {
            0 => event[at] = byte,
            1 => drop(event.remove(at)),
            2 => event.insert(at, byte),
            _ => event.truncate(at),
        }
        [whole, event]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_queries_over_random_events(query in query(), events in prop::collection::vec(event(), 1..16)) {
        if Program::new(&query).is_ok() {
            agree(&query, events)?;
        }
    }

    #[test]
    fn damaged_events_are_never_answered_unless_they_are_json(query in query(), events in prop::collection::vec(damaged(), 1..4)) {
        if Program::new(&query).is_ok() {
            for event in &events {
                agree(&query, event)?;
            }
            agree(&query, events.concat())?;
        }
    }
}

#[test]
fn most_of_what_is_asked_at_random_is_answered_fast() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut fast_queries, mut answered, mut asked) = (0, 0, 0);
    for _ in 0..200 {
        let query = query().new_tree(&mut runner).unwrap().current();
        let event = event().new_tree(&mut runner).unwrap().current();
        if Program::new(&query).is_ok() {
            fast_queries += 1;
            // What jaq rejects is not for the fast path to answer.
            if slow(&query, event.as_bytes()).is_ok() {
                asked += 1;
                answered += usize::from(fast(&query, event.as_bytes()).is_some());
            }
        }
    }
    assert!(fast_queries > 120, "{fast_queries} of 200 queries are of the subset");
    assert!(answered * 10 > asked * 7, "{answered} of {asked} are answered");
}
