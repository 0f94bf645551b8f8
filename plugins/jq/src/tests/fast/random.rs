//! Random queries over random events.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::{agree, fast, lowered, slow};

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
            1 => path().prop_map(|value| format!("\"\\({value} | tonumber)\"")),
            1 => (path(), prop::sample::select(vec!["1.50", "0.10", "1", "-0", "1E+2", "9007199254740993.0"]))
                .prop_map(|(value, text)| format!("(\"\\({value} | tonumber)\" == \"{text}\")")),
            1 => (path(), name()).prop_map(|(value, name)| format!("({value} | has(\"{name}\"))")),
            1 => (inner.clone(), inner).prop_map(|(first, second)| format!("[({first}), ({second})] | .")),
        ]
    })
}

/// White space, mostly none.
fn gap() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n\t"), 1 => Just("\r")]
}

/// Strings that are awkward to read, as they stand in an event.
const TEXTS: &[&str] = &[
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
    "9007199254740993.0",
    "12345678901234567890123",
    "0.10",
    "1E+2",
    "1e999",
    "\\u0031.0",
    "1.5\\u0030",
    "-0.0",
    "a long text that takes more than one word",
    "\\u00e9",
];

/// The text of an event, with all that makes JSON awkward.
fn event() -> impl Strategy<Value = String> {
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
        1 => prop::sample::select(vec![
            "\\u0061", "\\u0062", "d", "", "\\n", "aa", "long_name_of_a_membex", "\\ud83d\\ude00", "\\ud83d", "\\t\\u0063",
        ]),
    ];
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned),
        prop::sample::select(number.to_vec()).prop_map(str::to_owned),
        prop::sample::select(TEXTS.to_vec()).prop_map(|text| format!("\"{text}\"")),
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
        if lowered(&query).is_ok() {
            agree(&query, events)?;
        }
    }

    #[test]
    fn damaged_events_are_never_answered_unless_they_are_json(query in query(), events in prop::collection::vec(damaged(), 1..4)) {
        if lowered(&query).is_ok() {
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
        if lowered(&query).is_ok() {
            fast_queries += 1;
            // What the evaluator rejects is not for the fast path to answer.
            if slow(&query, event.as_bytes()).is_ok() {
                asked += 1;
                answered += usize::from(fast(&query, event.as_bytes()).is_some());
            }
        }
    }
    assert!(fast_queries > 120, "{fast_queries} of 200 queries are of the subset");
    assert!(answered * 10 > asked * 7, "{answered} of {asked} are answered");
}
