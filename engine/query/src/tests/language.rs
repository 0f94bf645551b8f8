//! Parts of the language that jq's own tests do not reach.

use super::results;
use crate::Query;

#[test]
fn results_come_in_the_order_of_jq() {
    for (query, expected) in [
        ("[(1,2) + (10,20)]", "[11,12,21,22]"),
        ("[{a:(1,2),b:(3,4)}]", r#"[{"a":1,"b":3},{"a":1,"b":4},{"a":2,"b":3},{"a":2,"b":4}]"#),
        (r#"["\(1,2)-\(3,4)"]"#, r#"["1-3","2-3","1-4","2-4"]"#),
        ("[[1,2,3] | .[0,1:2,3]]", "[[1,2],[1,2,3],[2],[2,3]]"),
        ("[pow(2,3;1,2)]", "[2,3,4,9]"),
        ("[range(0,1;3,4)]", "[0,1,2,0,1,2,3,1,2,1,2,3]"),
        ("def f($a;$b): [$a,$b]; [f(1,2;3,4)]", "[[1,3],[1,4],[2,3],[2,4]]"),
        (r#"["abc" | sub("a","b";"x","y")]"#, r#"["xbc","ybc","axc","ayc"]"#),
        ("[(true,false) and (true,false)]", "[true,false,false]"),
        ("[foreach (1,2,3) as $x (0; if $x == 2 then empty else . + $x end)]", "[1,3]"),
        ("[.[]?, (1 | .a?), 2]", "[2]"),
        ("[limit(3; (1,2,error(\"x\")))?]", "[1,2]"),
        ("[first(1, error(\"x\"))]", "[1]"),
        ("try error({a:1}) catch .a", "1"),
        ("[1 as $x | 2 as $x | $x, ([3] | .[] as $x | $x), $x]", "[2,3,2]"),
        ("def f(g): def h: g; h; 5 | f(. + 1)", "6"),
        ("def f: def g: 3; g; def g: 4; [f, g]", "[3,4]"),
        ("[label $a | 1, (label $b | 2, break $a), 3]", "[1,2]"),
        ("try (label $a | error(\"x\")) catch .", "\"x\""),
        (".a.b.c = 1", r#"{"a":{"b":{"c":1}}}"#),
        ("{a:[1,2,3,4]} | .a |= map(select(. > 2))", r#"{"a":[3,4]}"#),
        ("[1,5,3,0,7] | (.[] | select(. >= 2)) |= empty", "[1,0]"),
        ("{a:1,b:2} | to_entries", r#"[{"key":"a","value":1},{"key":"b","value":2}]"#),
        ("[.[] as [$a] ?// $a | $a]?", "null"),
        (r#""x" as $x | {$x, "y": 1, @base64 "z": 2, "\($x)!": 3}"#, r#"{"x":"x","y":1,"z":2,"x!":3}"#),
        (
            "[1.50, 1e3, 100000000000000000000000001, -0, 1.0]",
            "[1.50,1e3,100000000000000000000000001,-0,1.0]",
        ),
        ("1.50 + 0, 1e17 + 0, 0.00001 + 0, 3 / 2 * 2", "1.5"),
        ("[9007199254740993 == 9007199254740992, 1.0 == 1]", "[false,true]"),
        ("{if:1, then:2} | .if + .then", "3"),
        ("[\"a\",\"b\"] | .[1:] = [1,2,3]", r#"["a",1,2,3]"#),
        ("@json \"v=\\([1,\"a\"])\"", r#""v=[1,\"a\"]""#),
        ("[.[]?] | length", "0"),
        (
            "\"aé😀b\" | [length, utf8bytelength, .[1:3], index(\"b\"), explode]",
            r#"[4,8,"é😀",3,[97,233,128512,98]]"#,
        ),
        ("[\"aXbX\" | splits(\"x\"; \"i\")]", r#"["a","b",""]"#),
        (
            "\"2015-03-05T23:51:47Z\" | [fromdate, (strptime(\"%Y-%m-%dT%H:%M:%SZ\") | mktime)]",
            "[1425599507,1425599507]",
        ),
        (
            "1425599621 | [todate, strftime(\"%A, %B %d, %Y %j %U %V\")]",
            r#"["2015-03-05T23:53:41Z","Thursday, March 05, 2015 064 09 10"]"#,
        ),
        (
            "\"ab12\" | [test(\"\\\\h{2}\"), test(\"(?=b)\"), test(\"[[:digit:]]+\"), (capture(\"(?<d>\\\\d+)\") | .d)]",
            r#"[true,true,true,"12"]"#,
        ),
        (
            "[1,[2]] | [getpath([1,0]), (try getpath([\"a\"]) catch .)]",
            r#"[2,"Cannot index array with string \"a\""]"#,
        ),
        ("[splits(\"a\")]?", "null"),
    ] {
        let found = results(query, "null").unwrap_or_else(|reason| panic!("{query}: {reason}"));
        let first = found.first().map_or("null", String::as_str);
        assert_eq!(first, expected, "{query}");
    }
}

#[test]
fn corner_cases_have_the_results_of_jq() {
    for (query, expected) in [
        (".[1:] |= empty", "null"),
        ("[[] | indices([]), ([1] | indices([])), ([[]] | index([]))]", "[[],[],null]"),
        ("[getpath([\"a\", 0, {start: 0, end: 1}])]", "[null]"),
        ("[true, false] | [.[0] | contains(true)]", "[true]"),
        ("(.a, .b) |= empty", "null"),
        ("(.[0], .[1:]) |= empty", "null"),
        ("[1,2,3] | (.[0], .[1:]) |= empty", "[]"),
        ("{a:1} | (.a, .b) |= empty", "{}"),
        ("[(0, -0, null, {}, \"\", [1,2]) | reverse]", "[[],[],[],[],[],[2,1]]"),
        (
            "[({}, {a:[1]}, {a:[1,2],b:[3]}, [null,[1]]) | transpose]",
            "[[],[[1]],[[1,3],[2,null]],[[null,1]]]",
        ),
        (
            "[(\"7aCA\", \"8EE=\", \"wIA=\", \"4oI=\", \"4oJB\", \"YfCfmIBi\") | @base64d | explode]",
            "[[65533],[65533],[65533,65533],[65533],[65533,65],[97,128512,98]]",
        ),
        (
            "[(0.1, 1.5, 2.3, -3.7, 10.25, 3, -2) | exp10]",
            "[1.2589254117941673,31.622776601683793,199.52623149688787,0.00019952623149688788,17782794100.38923,1000,0.01]",
        ),
        (r#"["a\n", "a", "a\nb", "a\n\n" | test("a$")]"#, "[true,true,false,false]"),
        (r#"["a\n", "a" | test("a\\Z"), test("a\\z")]"#, "[true,false,true,true]"),
        (r#"["a\nb" | test("(?m)a$"), test("^b"), test("[$]b")]"#, "[true,false,false]"),
        (
            r#"["a\n" | [match("$"; "g").offset], sub("$"; "x"), [scan("(a)$")], [splits("$")]]"#,
            r#"[[1,2],"ax\n",[["a"]],["a","\n",""]]"#,
        ),
    ] {
        let found = results(query, "null").unwrap_or_else(|reason| panic!("{query}: {reason}"));
        let first = found.first().map_or("null", String::as_str);
        assert_eq!(first, expected, "{query}");
    }
}

#[test]
fn errors_are_in_the_words_of_jq() {
    for (query, expected) in [
        ("{a:1} | .[0]", "Cannot index object with number"),
        ("1 | .a", "Cannot index number with string \"a\""),
        ("null | .[]", "Cannot iterate over null (null)"),
        ("[1] - 1", "array ([1]) and number (1) cannot be subtracted"),
        ("{} - 1", "object ({}) and number (1) cannot be subtracted"),
        ("1 / 0", "number (1) and number (0) cannot be divided because the divisor is zero"),
        ("1 % 0", "number (1) and number (0) cannot be divided (remainder) because the divisor is zero"),
        ("\"a\" | has(\"a\")", "Cannot check whether string has a string key"),
        ("[\"a\"] | implode", "string (\"a\") can't be imploded, unicode codepoint needs to be numeric"),
        ("[limit(-1; 1)]", "limit doesn't support negative count"),
        ("[limit(null; 1)]", "limit doesn't support negative count"),
        ("[skip(false; 1)]", "skip doesn't support negative count"),
        ("true | .a[]?", "Cannot index boolean with string \"a\""),
        ("path(1 + 1)", "Invalid path expression with result 2"),
        ("(1 + 1 | .a) = 1", "Invalid path expression near attempt to access element \"a\" of 2"),
        ("\"ab\" | reverse", "Cannot index string with number"),
        ("getpath([\"a\", true])", "Cannot index null with boolean"),
        (
            "true | contains(false)",
            "boolean (true) and boolean (false) cannot have their containment checked",
        ),
        ("1 | .a // 2", "Cannot index number with string \"a\""),
        ("[(null, error(\"x\")) // 2]", "x"),
        ("1 | .a //= 2", "Cannot index number with string \"a\""),
        ("true | paths(.a)", "Cannot index boolean with string \"a\""),
        ("{a:[1]} | path(.a.b // .a)", "Cannot index array with string \"b\""),
        ("1 | reverse", "Cannot index number with number"),
        ("true | reverse", "boolean (true) has no length"),
        ("null | transpose", "Cannot iterate over null (null)"),
        ("(map(1) | .[]) = 1", "Cannot iterate over null (null)"),
        (
            "{a:2} | sort_by(.)",
            "object ({\"a\":2}) and array ([[2]]) cannot be sorted, as they are not both arrays",
        ),
        ("{} | unique", "object ({}) and array ([]) cannot be sorted, as they are not both arrays"),
        ("{} | max_by(.a)", "object ({}) and array ([]) cannot be iterated over"),
        ("{} | sort", "object ({}) cannot be sorted, as it is not an array"),
        ("[1] | .[-5] = 1", "Out of bounds negative array index"),
        ("1 | test(\"a\")", "number (1) cannot be matched, as it is not a string"),
        ("\"a\" | test(1)", "number not a string or array"),
        ("\"\" | @base32d | @csv", "string (\"\") cannot be csv-formatted, only array"),
        ("\"x\" | strptime(\"%Y\")", "date \"x\" does not match format \"%Y\""),
    ] {
        assert_eq!(results(query, "null").unwrap_err(), expected, "{query}");
    }
}

#[test]
fn a_mistake_is_found_at_its_place() {
    for (query, at, message) in [
        ("select(.a == )", 13, "an expression is expected before `)`"),
        (".a | foo(1; 2)", 5, "there is no function `foo` with 2 arguments"),
        ("$x + 1", 0, "there is no variable `$x`"),
        ("[.a", 0, "`[` is never closed"),
        ("{a: 1", 0, "`{` is never closed"),
        ("\"a\\(1\"", 5, "`)` is expected before `\"`"),
        ("1 == 1 == 1", 7, "`== 1` is one too many here"),
        ("break $x", 0, "there is no label `$x`"),
        ("@nope", 0, "`@nope` is not a valid format"),
        ("test(\"(\")", 5, "this is not a regular expression: unclosed group"),
        ("import \"a\" as a; .", 0, "modules cannot be loaded: write the definitions into the query"),
        ("if . then 1", 10, "else or end is expected at the end of the query"),
        ("\"\\x\"", 1, "`\\x` is not an escape"),
        (".a as [$x, {b: $y}] | $z", 22, "there is no variable `$z`"),
    ] {
        let problem = Query::new(query, &[]).expect_err(query);
        assert_eq!((problem.span.start, &*problem.message), (at, message), "{query}");
    }
}

#[test]
fn any_text_is_a_query_or_a_problem() {
    let pieces = [
        "[", "(", "{", "\"", "\\(", ")", "]", "}", "|", ",", ".a", "$x", "as", "def f:", ";", "..", "?//",
        "1e", "@", "#", "é",
    ];
    for first in pieces {
        for second in pieces {
            for third in pieces {
                let _ = Query::new(&format!("{first}{second} {third}"), &[]);
            }
        }
    }
    for deep in [
        "[".repeat(30_000),
        "-".repeat(30_000),
        ".a".repeat(15_000),
        "1+".repeat(15_000),
        "\"\\(".repeat(10_000),
    ] {
        super::on_large_stack(move || assert!(Query::new(&deep, &[]).is_err()));
    }
}
