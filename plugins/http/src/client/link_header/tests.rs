//! Tests of the grammar, with the examples of RFC 8288 and headers of known servers.

use super::*;

fn next_of(values: &[&str]) -> Option<String> {
    let headers: HeaderMap = values.iter().map(|value| (LINK, value.parse().unwrap())).collect();
    next(&headers, &Url::parse("https://api.example.com/a?page=2").unwrap())
}

#[test]
fn the_next_link_is_found_whatever_the_header_looks_like() {
    let cases: &[(&[&str], Option<&str>)] = &[
        // RFC 8288, section 3.5.
        (&[r#"<http://example.com/TheBook/chapter2>; rel="previous"; title="previous chapter""#], None),
        (&[r#"</>; rel="http://example.net/foo""#], None),
        (&[r##"</terms>; rel="copyright"; anchor="#foo""##], None),
        (
            &[
                r#"</TheBook/chapter2>; rel="previous"; title*=UTF-8'de'letztes%20Kapitel, </TheBook/chapter4>; rel="next"; title*=UTF-8'de'n%c3%a4chstes%20Kapitel"#,
            ],
            Some("/TheBook/chapter4"),
        ),
        (&[r#"<http://example.org/>; rel="start http://example.net/relation/other""#], None),
        (&[r#"<https://example.org/>; rel="start", <https://example.org/index>; rel="index""#], None),
        // Headers in the style of GitHub, Shopify and Stripe.
        (
            &[
                r#"<https://api.github.com/r?page=1>; rel="prev", <https://api.github.com/r?page=3>; rel="next", <https://api.github.com/r?page=50>; rel="last""#,
            ],
            Some("https://api.github.com/r?page=3"),
        ),
        (&[r#"<https://x/a?limit=1&page_info=vwx>; rel=next"#], Some("https://x/a?limit=1&page_info=vwx")),
        // Commas, semicolons and brackets that are not syntax.
        (&[r#"</a?ids=1,2;x=3>; rel="next""#], Some("/a?ids=1,2;x=3")),
        (&[r#"</p>; title="a, <b>; rel=\"next\""; rel="prev", </n>; rel="next""#], Some("/n")),
        (&[r#"</n>; title="</p>; rel=prev, x"; rel="next""#], Some("/n")),
        (&[r#"</p>; title=";rel=next", </n>; rel=next"#], Some("/n")),
        // Parameters in any order, spelling and number.
        (&[r#"</n>; title="t"; REL="Next""#], Some("/n")),
        (&["</n>;rel=next"], Some("/n")),
        (&["  </n> ;\t rel = next  "], Some("/n")),
        (&[r#"</n>; rel = "next""#], Some("/n")),
        (&[r#"</n>; rel="last next""#], Some("/n")),
        (&[r#"</n>; rel="prev"; rel="next""#], None),
        (&[r#"</n>; flag; rel=next"#], Some("/n")),
        (&[r#"</n>;; ;rel=next"#], Some("/n")),
        (&[r#"</n>; rel="ne\xt""#], Some("/n")),
        (&[r#"</n>; relation="next""#], None),
        (&[r#"</n>; rel="nextpage""#], None),
        (&[r#"</n>"#], None),
        // References of every kind.
        (&["<?page=3>; rel=next"], Some("?page=3")),
        (&["<>; rel=next"], Some("")),
        (&["< /n >; rel=next"], Some("/n")),
        (&["<//other.example.com/n>; rel=next"], Some("//other.example.com/n")),
        // Anchors: a link about another resource is not this page's.
        (&[r#"</n>; rel=next; anchor="/other""#], None),
        (&[r#"</n>; rel=next; anchor="""#], Some("/n")),
        // Several headers, empty elements, and malformed links.
        (&["</p>; rel=prev", "</n>; rel=next"], Some("/n")),
        (&[", ,</p>; rel=prev,, </n>; rel=next,"], Some("/n")),
        (&["nonsense, </n>; rel=next"], Some("/n")),
        (&["</never>ending; rel=next"], None),
        (&["</n; rel=next"], None),
        (&[r#"</p>; title="never ends, </n>; rel=next"#], None),
        (&[""], None),
        (&[], None),
    ];
    for (values, expected) in cases {
        assert_eq!(next_of(values).as_deref(), *expected, "{values:?}");
    }
}

proptest::proptest! {
    /// Checks that no input panics, and that no target contains `>`.
    #[test]
    fn anything_is_survived(value in "[<>;,=\"\\\\ a-z/?]{0,60}") {
        for link in links(&value) {
            proptest::prop_assert!(!link.target.contains('>'));
        }
    }
}
