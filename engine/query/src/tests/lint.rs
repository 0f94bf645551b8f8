//! Sure mistakes, and queries that only look like one.

use crate::lint;
use crate::syntax::tree;

fn mistakes(query: &str) -> Vec<(String, String)> {
    let problems = lint(&tree(query).unwrap());
    problems.into_iter().map(|problem| (query[problem.span].to_owned(), problem.message)).collect()
}

#[test]
fn sure_mistakes_are_found_at_their_places() {
    for (query, place, message) in [
        (r#"select(.status = "active")"#, r#".status = "active""#, "`==` compares"),
        (r#"select(.a and .b = 1)"#, ".a and .b = 1", "is no path, so that this fails: `==` compares"),
        ("select(.a == 1 and .b = 2)", ".a == 1 and .b = 2", "is no path, so that this fails: `==` compares"),
        ("if 1 + .a = 2 then 1 else 2 end", "1 + .a = 2", "is no path, so that this fails: `==` compares"),
        ("select(.a == 1 or .b |= 2)", ".a == 1 or .b |= 2", "is no path, so that this fails"),
        ("select((.a // .b) = 2)", "(.a // .b) = 2", "a condition that always holds: `==` compares"),
        ("select(.a | first = 2)", "first = 2", "a condition that always holds: `==` compares"),
        ("select((.a = 1) or .b)", ".a = 1", "`==` compares"),
        ("if .a |= 1 then 2 else 3 end", ".a |= 1", "`|=` changes"),
        (r#"select("a")"#, "\"a\"", "always holds"),
        (r#"map(select("\(.a)"))"#, "\"\\(.a)\"", "always holds"),
        (".[] | select([.a])", "[.a]", "always holds"),
        (r#".a | "x" | .b"#, "\"x\"", "always fails"),
        (r#""x" | 1 | ."#, "\"x\"", "nothing uses"),
        (r#"{a: (1 == 2)}"#, "1 == 2", "two literals"),
        (r#"def f: select("x" != "y"); f"#, "\"x\" != \"y\"", "two literals"),
    ] {
        let found = mistakes(query);
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        assert_eq!(found[0].0.trim_matches(['(', ')']), place.trim_matches(['(', ')']), "{query}");
        assert!(found[0].1.contains(message), "{query}: {}", found[0].1);
    }
}

#[test]
fn queries_that_may_be_meant_are_no_mistakes() {
    for query in [
        r#"select(.status == "active")"#,
        ".a = 1",
        "map(.a = 1 | select(.b))",
        r#"if .a then "x" else "y" end"#,
        "select(true)",
        "null | .a",
        r#""x" as $x | .a"#,
        r#".[] | 1"#,
        r#""abc" | test("b")"#,
        r#".a // "x" | length"#,
        "[.[] | select(.a) | {b: 1}]",
        "if . == \"a\" then 1 elif . > 2 then \"b\" else null end",
    ] {
        assert_eq!(mistakes(query), [], "{query}");
    }
}
