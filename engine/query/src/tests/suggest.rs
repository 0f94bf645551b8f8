//! Suggestions for misspelt names.

use crate::Query;

#[test]
fn a_misspelt_name_has_a_suggestion() {
    for (query, help) in [
        ("selct(.a)", Some("did you mean `select`?")),
        (".a | lenght", Some("did you mean `length`?")),
        ("to_entrys", Some("did you mean `to_entries`?")),
        ("with_entires(.)", Some("did you mean `with_entries`?")),
        ("groupby(.a)", Some("did you mean `group_by`?")),
        ("ascii_lowercase", Some("did you mean `ascii_downcase`?")),
        ("startsWith(\"a\")", Some("did you mean `startswith`?")),
        ("tonumbr", Some("did you mean `tonumber`?")),
        ("def double: . * 2; duoble", Some("did you mean `double`?")),
        ("def f(filter): fliter; f(1)", Some("did you mean `filter`?")),
        ("map", Some("`map` takes 1 argument")),
        ("range(1; 2; 3; 4)", Some("`range` takes 1 or 2 or 3 arguments")),
        ("length(.a)", Some("`length` takes 0 arguments")),
        ("frobnicate", None),
        (". as $total | $totla", Some("did you mean `$total`?")),
        ("$mata", None),
        ("label $out | break $uot", Some("did you mean `$out`?")),
        ("@base46", Some("did you mean `@base64`?")),
        ("@zzz", None),
        ("{a: selct(.a)}", Some("did you mean `select`?")),
    ] {
        let problem = Query::new(query, &[]).expect_err(query);
        assert_eq!(problem.help.as_deref(), help, "{query}: {}", problem.message);
    }
    let problem = Query::new("$mata", &["meta"]).expect_err("there is no such variable");
    assert_eq!(problem.help.as_deref(), Some("did you mean `$meta`?"));
}
