//! Limits: what data can choose the size of is refused before it is made, and long evaluations run to their end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{on_large_stack, results, run};
use crate::{Interrupt, Limits};

const MEMORY: &str = "the query needs too much memory";
const STEPS: &str = "the query takes too many steps";

/// Each makes very much of little. The input is a text of 100,000 characters, as a string.
const BOMBS: &[&str] = &[
    ". * 1e17",
    "1e17 * .",
    ". * 100000",
    "\"ab\" * 1000000000",
    "reduce range(60) as $i (.; . + .)",
    "reduce range(60) as $i (\"ab\"; \"\\(.)\\(.)\")",
    "reduce range(60) as $i ([1]; . + .)",
    "reduce range(60) as $i ([1]; [.[], .[]])",
    "([.] * 1)? // ([range(1e9)])",
    "[limit(1e9; repeat(.))]",
    "[range(1e15)] | length",
    "null | setpath([500000000]; 1)",
    "[] | .[536870911] = 1",
    "[] | .[400000000:] = [1]| .[400000000] = 1",
    "[range(3000)] | [combinations(3)]",
    "[.] | [combinations(100)] | [limit(1e9; repeat(.))]",
    "[[range(100000)], ([range(20000)] | map([1])[])] | transpose",
    "[range(20000)] | map([., .]) | [[range(100000)], .[]] | transpose | length",
    "[range(200000) as $i | [\"x\" * 10000]] | length",
    "[range(1e6) | {a: ., b: ., c: .}] | [., map(.a |= . + 1), map(.b |= . + 1), map(.c |= . + 1)] | length",
    "[range(100000)] | [range(100000) as $i | .] | [.[] | .[0] = 1] | length",
    "[range(1000000)] | [path(.[], .[], .[], .[])]",
    "[range(1000000)] | [paths] | [., ., .] | [paths]",
    ". as $t | [range(5000)] | map($t) | join(\",\")",
    ". as $t | [range(5000)] | map($t) | add",
    ". as $t | [range(5000)] | map($t) | tojson",
    ". as $t | [range(5000)] | map($t) | tostring | tojson | tojson",
    ". as $t | [range(5000)] | map($t) | @csv",
    ". as $t | [range(5000)] | map($t) | @tsv",
    ". as $t | [range(5000)] | map($t) | @sh",
    ". as $t | [range(5000)] | map($t) | @json",
    ". as $t | [range(5000)] | map($t) | @text",
    ". as $t | [range(5000)] | map($t) | @html",
    ". as $t | [range(5000)] | map($t) | @uri",
    ". as $t | [range(5000)] | map($t) | @base64",
    ". as $t | [range(5000)] | map($t) | @base32",
    ". as $t | \"x\" * 5000 | gsub(\"x\"; $t)",
    ". as $t | \"x\" * 5000 | [gsub(\"x\"; $t, $t)]",
    ". as $t | \"x\" * 5000 | reduce range(5000) as $i (.; sub(\"x\"; $t))",
    "explode | [range(100) as $i | .[$i] = 1] | map(implode) | [limit(1e6; repeat(.[0] + .[1]))]",
    "[range(60)] | reduce .[] as $i ([\"ab\"]; map(. + .))",
    "reduce range(1e9) as $i (\"\"; . + \"0123456789\")",
    "reduce range(1e9) as $i ([]; . + [$i])",
    "reduce range(1e9) as $i ({}; .[\"\\($i)\"] = $i)",
    "[range(1e5)] | [range(1e5) as $i | .[$i:]] | map(.[0] = 1)",
    "[splits(\"\")] | [., ., ., .] | [limit(1e6; repeat(map(map(. + \"x\"))))]",
    "[limit(1e9; repeat(match(\"a\")))]",
    "[limit(1e8; repeat(match(\"\"; \"g\")))]",
    "def f: [., .] | f; f",
    "def f(g): f(g | g); f(. + .)",
    "[range(1e6)] | map({(tostring): .}) | [limit(1e4; repeat(add))]",
    "[range(1e6)] | map(tostring) | [limit(100; repeat(.[1:] + [\"x\"]))]",
    "[range(1e6)] | [limit(1e4; repeat(reverse))]",
    "[range(1e6)] | [limit(1e4; repeat(sort))]",
    "[range(1e6)] | [limit(1e4; repeat(group_by(. % 1000)))]",
    "[range(1e6)] | [limit(1e4; repeat(unique_by(-.)))]",
    "[range(1e6)] | [limit(1e4; repeat(flatten))]",
    "[range(1e6)] | [limit(1e4; repeat(to_entries))]",
    "[range(1e6)] | [limit(1e4; repeat(keys))]",
    "[range(1e6)] | [limit(1e4; repeat(indices(1, 2)))]",
    "[range(1e6)] | [limit(1e4; repeat(. - [1]))]",
    "[range(1e6)] | [limit(1e4; repeat(walk(.)))]",
    "[range(1e6)] | [limit(1e4; repeat([.[]]))]",
    "[range(1e6)] | [limit(1e4; repeat(map_values(. + 1)))]",
    "[range(1e6)] | [limit(1e4; repeat(del(.[0])))]",
    "[range(1e6)] | [limit(1e9; repeat(tostream))]",
    "[range(1e6)] | tojson | [limit(1e4; repeat(fromjson))]",
    "[limit(1e4; repeat(explode))]",
    "[limit(1e4; repeat(ascii_upcase))]",
    "[limit(1e4; repeat(split(\"\")))]",
    "[limit(1e6; repeat(@base64))]",
    "[limit(1e6; repeat(@uri))]",
    "[limit(1e6; repeat(tojson))]",
    "[limit(1e6; repeat(ltrimstr(\"b\") + \"c\"))]",
    "0 | strftime(\"%c\" * 100000000)",
];

/// The most memory that this process has had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

/// Runs each in this process, which is one of its own: see below.
#[test]
#[ignore = "the test below runs it in a process of its own"]
fn bombs_in_this_process() {
    on_large_stack(|| {
        let limits =
            Limits { steps: 1_500_000, memory: 64 << 20, depth: 10_000, stack: 256 << 20, interrupt: None };
        let input = format!("\"{}\"", "a".repeat(100_000));
        for bomb in BOMBS {
            let before = peak();
            let failed = run(bomb, &input, &limits).map(|results| results.len());
            let took = peak().saturating_sub(before);
            assert!(took < 200 << 20, "{bomb}: {took} bytes more");
            match failed {
                Ok(count) => panic!("{bomb}: {count} results"),
                Err(reason) => assert!(
                    [MEMORY, STEPS, "the query recurses too deep", "the query nests a value too deep"]
                        .contains(&&*reason)
                        || reason.contains("too large"),
                    "{bomb}: {reason}"
                ),
            }
        }
        assert!(peak() < 300 << 20, "{} bytes", peak());
    });
}

#[test]
fn no_query_takes_more_memory_than_its_limit_says() {
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(program);
    let output =
        command.args(["--exact", "tests::limits::bombs_in_this_process", "--ignored"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A matcher that copied the text for each match would take 10 GB.
#[test]
fn substitution_is_linear() {
    let limits = Limits { memory: 8 << 20, ..Limits::default() };
    let input = format!("{{\"s\":\"{}\"}}", "word ".repeat(100_000));
    let results = run(r#".s |= gsub(" ";"_") | .s | length, (.[0:10])"#, &input, &limits).unwrap();
    assert_eq!(results, ["500000", "\"word_word_\""]);
}

#[test]
fn loops_change_values_in_place_that_no_other_shares() {
    let limits = Limits { steps: 5_000_000, memory: 32 << 20, ..Limits::default() };
    for (query, expected) in [
        ("reduce range(100000) as $i ([]; . + [$i]) | length", "100000"),
        ("reduce range(100000) as $i ([]; .[$i] = $i) | length", "100000"),
        ("reduce range(100000) as $i ({}; .a[$i].b += 1) | .a | length", "100000"),
        ("reduce range(20000) as $i ({}; .[\"k\\($i)\"] = $i) | length", "20000"),
        ("reduce range(100000) as $i (\"\"; . + \"x\") | length", "100000"),
        ("[range(100000)] | .[] += 1 | add", "5000050000"),
    ] {
        let started = std::time::Instant::now();
        assert_eq!(run(query, "null", &limits).unwrap(), [expected], "{query}");
        assert!(started.elapsed().as_secs() < 20, "{query} is not linear");
    }
}

#[test]
fn tail_calls_run_long() {
    for (query, expected) in [
        ("def f: if . >= 1000000 then . else . + 1 | f end; f", "1000000"),
        ("def f($n): if $n >= 300000 then $n else f($n + 1) end; f(0)", "300000"),
        ("[limit(300000; def f: ., (. + 1 | f); f)] | length", "300000"),
        ("last(range(1000000))", "999999"),
        ("[limit(100000; repeat(1))] | length", "100000"),
        ("0 | until(. >= 500000; . + 1)", "500000"),
        ("[0 | while(. < 100000; . + 1)] | length", "100000"),
        ("last(0 | recurse(if . < 500 then . + 1 else empty end))", "500"),
        ("reduce range(1000000) as $i (0; . + $i)", "499999500000"),
        ("last(foreach range(300000) as $i (0; . + 1))", "300000"),
    ] {
        let limits = Limits { steps: 50_000_000, stack: 4 << 20, ..Limits::default() };
        let query = query.to_owned();
        let shown = query.clone();
        let found = on_large_stack(move || run(&query, "0", &limits));
        assert_eq!(found.unwrap(), [expected], "{shown}");
    }
}

#[test]
fn deep_recursion_is_an_error() {
    for query in [
        "def f: 1 + f; f",
        "def f: [f]; f",
        "def f: try (1 + f) catch 1; f",
        "def f: {a: f}; f",
        "[recurse([.])]",
    ] {
        let limits =
            Limits { steps: 1_000_000_000, memory: 1 << 30, depth: 10_000, stack: 64 << 20, interrupt: None };
        let query = query.to_owned();
        let found = on_large_stack(move || run(&query, "0", &limits));
        let reason = found.unwrap_err();
        assert!(reason.contains("too deep") || reason.contains("too much memory"), "{reason}");
    }
}

#[test]
fn an_error_of_a_limit_is_not_caught() {
    let limits = Limits { steps: 1000, ..Limits::default() };
    for query in [
        "try last(range(1e9)) catch 1",
        "last(range(1e9)) // 1",
        "[last(range(1e9))?]",
        "isempty(last(range(1e9)))",
    ] {
        assert_eq!(run(query, "0", &limits).unwrap_err(), STEPS, "{query}");
    }
    assert_eq!(results("1", "0").unwrap(), ["1"]);
}

#[test]
fn places_of_a_long_part_are_found_in_linear_time() {
    // Each place takes one step and not as many as the part is long, or the limit of steps would end it.
    let text = format!("\"{}\"", "a".repeat(300_000));
    for query in [
        "indices(.[150000:]) | [length, .[0], .[-1]]",
        "explode | indices(.[150000:]) | [length, .[0], .[-1]]",
    ] {
        assert_eq!(results(query, &text).unwrap(), ["[150001,0,150000]"], "{query}");
    }
    let query = r#"[indices("aé" * 40)[0, 1, -1]], ("xaéaéx" | indices("aéaé")), ([1, 2, 1, 2, 1] | indices([1, 2, 1]))"#;
    let text = format!("\"{}\"", "aé".repeat(50));
    assert_eq!(results(query, &text).unwrap(), ["[0,2,20]", "[1]", "[0,2]"]);
}

/// A text of `a`s, as JSON.
fn many(count: usize) -> String {
    format!("\"{}\"", "a".repeat(count))
}

#[test]
fn searches_that_read_a_text_again_for_each_match_are_counted() {
    let limits = Limits { steps: 200_000, ..Limits::default() };
    for query in [
        r#"gsub("a*b|a"; "x")"#,
        r#"[scan("a*b|a")]"#,
        r#"[scan("(a*b)|(a)")]"#,
        r#"split("a*b|a"; null)"#,
        r#"[splits("a*b|a")]"#,
        r#"[match("a*b|a"; "g")]"#,
        r#"[capture("(?<x>a*b|a)"; "g")]"#,
        r#"gsub("(a*b)?"; "x")"#,
        r#"gsub("\\b|a*b|a"; "x")"#,
        r#"sub("a*b|a"; "x"; "g")"#,
        r#"[scan("a*b|a" | ascii_downcase)]"#,
    ] {
        let outcome = run(query, &many(20_000), &limits).map(|results| results.len());
        assert_eq!(outcome, Err(STEPS.to_owned()), "{query}");
    }
    // Searches that look no further than their matches cost about a step each.
    for (query, expected) in [
        (r#"gsub("a"; "bc") | length"#, "40000"),
        (r#"[scan("aa")] | length"#, "10000"),
        (r#"[scan("a(a)")] | length"#, "10000"),
        (r#"split("a{5}"; null) | length"#, "4001"),
        (r#"[scan("(?<=a)a")] | length"#, "19999"),
        (r#"[match("a*?"; "g")] | length"#, "20001"),
        (r#"test("a*b")"#, "false"),
    ] {
        let limits = Limits { steps: 3_000_000, ..Limits::default() };
        assert_eq!(run(query, &many(20_000), &limits).unwrap(), [expected], "{query}");
    }
}

#[test]
fn searches_that_backtrack_are_counted() {
    let limits = Limits { steps: 100_000, ..Limits::default() };
    for query in [r#"test("(?=a)(a*b)")"#, r#"test("(?!x)(a*b|c)")"#, r#"[scan("(?=a)(?:a*b|a)")]"#] {
        assert_eq!(run(query, &many(100_000), &limits).unwrap_err(), STEPS, "{query}");
    }
}

#[test]
fn functions_that_read_a_long_text_take_steps_for_it() {
    let text = many(1 << 20);
    let limits = Limits { steps: 10_000, ..Limits::default() };
    assert!(run(".", &text, &limits).is_ok());
    for query in [
        "length",
        "trim",
        "ltrim",
        "ascii_downcase",
        "explode",
        "split(\"b\")",
        "split(\"b\"; null)",
        "test(\"b\")",
        "[match(\"b\")]",
        "contains(\"b\")",
        "index(\"b\")",
        "indices(\"b\")",
        "tonumber",
        "tojson",
        "@base64",
        "@html",
        "@uri",
        "@csv \"\\([.])\"",
        "@sh",
        ".[1:]",
        ". as $x | startswith($x)",
        ". as $x | endswith($x)",
        ". as $x | ltrimstr($x)",
        ". as $x | rtrimstr($x)",
        ". as $x | trimstr($x)",
        ". == .",
        ". < .",
        "[., .] | sort",
        "[., .] | unique",
        "[., .] | group_by(.)",
        "[., .] | max",
        "[.] - [.]",
        "[.] | index(.[0])",
        "[.] | contains([\"b\"])",
        "{a: .} == {a: .}",
        "[.] | bsearch(\"b\", .[0])",
        ". + .",
        "fromjson?",
        "@json",
    ] {
        let query = format!("[{query}, 1]");
        let outcome = run(&query, &text, &limits).map(|results| results.len());
        assert_eq!(outcome, Err(STEPS.to_owned()), "{query}");
    }
    let digits = "1".repeat(1 << 20);
    for query in [". + 1", ". == 1", ". < 1", "floor", "[., 1] | sort", "-. | abs | . + 1"] {
        let query = format!("[{query}, 1]");
        let outcome = run(&query, &digits, &limits).map(|results| results.len());
        assert_eq!(outcome, Err(STEPS.to_owned()), "{query}");
    }
}

/// Guards results of a last operation that exceeds a limit without an error of its own: they are not valid.
#[test]
fn last_operation_that_exceeds_a_limit_has_no_result() {
    let numbers = format!("[{}]", vec!["1"; 3000].join(","));
    let input = format!(r#"{{"a":{numbers},"b":{numbers}}}"#);
    let limits = Limits { steps: 2000, ..Limits::default() };
    for query in
        [".a == .b", ".a != .b", "[.a == .b]", "{x: (.a == .b)}", "(.a == .b) and true", ". == .", ".a < .b"]
    {
        assert_eq!(run(query, &input, &limits).unwrap_err(), STEPS, "{query}");
    }
    let enough = Limits { steps: 10_000, ..Limits::default() };
    assert_eq!(run(".a == .b", &input, &enough).unwrap(), ["true"]);
    let flat = Limits { depth: 3, ..Limits::default() };
    assert!(run("[[[[1]]]]", "null", &flat).is_err(), "the depth of the last value counts");
}

/// Two arrays of 2^40 elements each, made of 40 shared ones.
#[test]
fn comparisons_of_values_that_share_their_parts_end() {
    for query in [
        "def twice: reduce range(40) as $i ([1]; [., .]); twice == twice",
        "def twice: reduce range(40) as $i ([1]; [., .]); twice < twice",
        "def twice: reduce range(40) as $i ({a: 1}; {a: ., b: .}); twice == twice",
        "def twice: reduce range(40) as $i ({a: 1}; {a: ., b: .}); [twice, twice] | sort",
        "def twice: reduce range(40) as $i ([1]; [., .]); [twice, twice] | group_by(.)",
        "def twice: reduce range(40) as $i ([1]; [., .]); [twice] - [twice]",
        "def twice: reduce range(40) as $i ([1]; [., .]); [twice] | index([twice])",
        "def twice: reduce range(40) as $i ([1]; [., .]); twice | contains(twice)",
    ] {
        let limits = Limits { steps: 100_000, ..Limits::default() };
        let outcome = run(query, "null", &limits).map(|results| results.len());
        assert_eq!(outcome, Err(STEPS.to_owned()), "{query}");
    }
}

#[test]
fn an_interruption_ends_an_evaluation_after_few_steps() {
    for query in
        ["[range(1e9)]", "last(repeat(1))", "def f: f; f", "[range(30000)] | sort", "1", "try error catch 1"]
    {
        let checks = Arc::new(AtomicUsize::new(0));
        for allowed in [0, 3] {
            checks.store(0, Ordering::Relaxed);
            let counted = Arc::clone(&checks);
            let is_over = move || counted.fetch_add(1, Ordering::Relaxed) >= allowed;
            let limits = Limits { interrupt: Some(Interrupt::when(is_over)), ..Limits::default() };
            let outcome = run(query, "null", &limits);
            if allowed == 0 || query.len() > 2 && !query.starts_with("try") {
                assert_eq!(outcome.unwrap_err(), "the evaluation was interrupted", "{query}");
                assert_eq!(
                    checks.load(Ordering::Relaxed),
                    allowed + 1,
                    "{query}: no step after the interruption"
                );
            } else {
                assert!(outcome.is_ok(), "{query} is too short to be interrupted");
            }
        }
    }
}
