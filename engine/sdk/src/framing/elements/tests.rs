use proptest::prelude::*;

use super::*;
use crate::Batch;

fn elements(input: &[u8], step: usize, limit: usize) -> Result<(Vec<String>, Vec<SourceRejection>), String> {
    let mut elements = Elements::new(limit);
    let (mut texts, mut rejected) = (Vec::new(), Vec::new());
    for piece in input.chunks(step) {
        elements.buffer().extend_from_slice(piece);
        loop {
            let mut builder = Batch::builder();
            let consumed = elements.cut(&mut builder, &mut rejected)?;
            texts.extend(builder.finish().texts());
            if consumed == 0 {
                break;
            }
        }
    }
    elements.finish().map(|()| (texts, rejected))
}

#[test]
fn cuts_the_same_however_it_is_fed() {
    let input = br#" [ {"a":"],\"["} , [1,[2]], "x\\", 3.0 , null ] "#;
    for step in [1, 2, 3, 1000] {
        let (texts, rejected) = elements(input, step, 100).unwrap();
        assert_eq!(texts, [r#"{"a":"],\"["}"#, "[1,[2]]", r#""x\\""#, "3.0", "null"], "step {step}");
        assert!(rejected.is_empty());
    }
    assert_eq!(elements(b"[ ]", 1, 100).unwrap().0.len(), 0);
    assert_eq!(elements_of(input).unwrap().len(), 5);
}

#[test]
fn bad_elements_are_rejected_and_the_rest_read() {
    for step in [1, 4, 1000] {
        let input = format!(r#"[1, {{"a" 2}}, , "{}", 5]"#, "z".repeat(60));
        let (texts, rejected) = elements(input.as_bytes(), step, 20).unwrap();
        assert_eq!(texts, ["1", "5"]);
        assert_eq!(rejected.len(), 3, "{rejected:?}");
        assert!(rejected[2].reason.contains("over the limit"));
    }
}

#[test]
fn bytes_consumed_with_elements_end_where_reading_can_resume() {
    let mut elements = Elements::new(10);
    elements.buffer().extend_from_slice(b"[1,2,[\"much longer than the limit");
    let mut builder = Batch::builder();
    let consumed = elements.cut(&mut builder, &mut Vec::new()).unwrap();
    assert_eq!((builder.len(), consumed), (2, 5));
}

#[test]
fn elements_before_a_problem_are_not_lost() {
    let mut elements = Elements::new(100);
    elements.buffer().extend_from_slice(b"[1,2] x");
    let mut builder = Batch::builder();
    assert_eq!(elements.cut(&mut builder, &mut Vec::new()), Ok(5));
    assert_eq!(builder.finish().texts(), ["1", "2"]);
    assert!(elements.cut(&mut Batch::builder(), &mut Vec::new()).unwrap_err().contains("follows"));
}

#[test]
fn input_other_than_one_array_is_refused() {
    assert!(elements(b"{}", 1, 9).unwrap_err().contains("begins with `{`"));
    assert!(elements(b"[1", 1, 9).unwrap_err().contains("before its `]`"));
    assert!(elements(b"[1] 2", 1, 9).unwrap_err().contains("follows"));
    assert!(elements(b"", 1, 9).unwrap_err().contains("empty"));
}

#[test]
fn blanks_before_an_element_do_not_count_however_they_are_fed() {
    // Fed in pieces, an indented element once was taken for one over the limit.
    let input = b"[          1,\n          [2], 3         ]";
    for step in [1, 5, 100] {
        let (texts, rejected) = elements(input, step, 8).unwrap();
        assert_eq!((texts, rejected.len()), (vec!["1".to_owned(), "[2]".to_owned()], 1), "step {step}");
    }
    assert_eq!(elements(b"[          ]", 1, 4).unwrap().0.len(), 0);
}

#[test]
fn a_byte_order_mark_comes_first_or_not_at_all() {
    for step in [1, 2, 100] {
        assert_eq!(elements(b"\xef\xbb\xbf[1]", step, 9).unwrap().0, ["1"]);
        assert!(elements(b" \xef\xbb\xbf[1]", step, 9).is_err(), "step {step}");
    }
}

proptest! {
    #[test]
    fn elements_are_those_of_a_reader_of_the_whole(
        input in r#"\[( ?(1|"\[\],a"|\[[12, ]{0,4}\]|\{\}) ?,){0,6} ?2 ?\] ?"#, step in 1_usize..20
    ) {
        let cut = elements(input.as_bytes(), step, 100);
        match elements_of(input.as_bytes()) {
            Ok(ranges) => {
                let texts: Vec<_> = ranges.into_iter().map(|range| input[range].to_owned()).collect();
                prop_assert_eq!(cut.map(|(texts, rejected)| (texts, rejected.len())), Ok((texts, 0)));
            }
            // A bad element between good ones is rejected alone.
            Err(_) => prop_assert!(cut.is_err() || !cut.unwrap().1.is_empty()),
        }
    }

    #[test]
    fn any_text_is_cut_the_same_however_it_is_fed(
        input in r#"\[?[\[\]{}1,:" a\\]{0,40}"#, step in 1_usize..12, limit in 1_usize..12
    ) {
        let lengths = |(texts, rejected): (Vec<String>, Vec<SourceRejection>)| {
            (texts, rejected.into_iter().map(|one| one.length).collect::<Vec<_>>())
        };
        let whole = elements(input.as_bytes(), 100, limit).map(lengths);
        prop_assert_eq!(elements(input.as_bytes(), step, limit).map(lengths), whole);
    }
}

#[test]
fn an_element_over_several_lines_becomes_one_line() {
    let input = b"[\n  {\n    \"a b\": [1.50,\r\n 2],\n    \"c\": \"x \\\" \\n\"\n  },\n  3,\n  [\n  ]\n]\n";
    for step in [1, 3, 1000] {
        let (texts, rejected) = elements(input, step, 100).unwrap();
        assert_eq!(texts, [r#"{"a b":[1.50,2],"c":"x \" \n"}"#, "3", "[]"], "step {step}");
        assert!(rejected.is_empty());
    }
}

#[test]
fn elements_that_are_no_json_are_rejected_with_the_reason() {
    let input = b"[\"\\ud800\", {\"a\":\"\xff\"}, \x0c1, \"\\ud83d\\ude00\"]";
    for step in [1, 1000] {
        let (texts, rejected) = elements(input, step, 100).unwrap();
        assert_eq!(texts, ["\"\\ud83d\\ude00\""]);
        let reasons: Vec<&str> = rejected.iter().map(|one| one.reason.as_str()).collect();
        assert!(reasons[0].contains("half of a surrogate pair"), "{reasons:?}");
        assert!(
            reasons[1].contains("not UTF-8") && reasons[2].contains("a value is expected"),
            "{reasons:?}"
        );
    }
}

#[test]
fn an_element_over_the_limit_is_known_to_go_by() {
    let mut elements = Elements::new(4);
    elements.buffer().extend_from_slice(b"[\"much longer");
    let mut rejected = Vec::new();
    while elements.cut(&mut Batch::builder(), &mut rejected).unwrap() > 0 {}
    assert!(elements.is_within());
    elements.buffer().extend_from_slice(b"\",1]");
    elements.cut(&mut Batch::builder(), &mut rejected).unwrap();
    assert!(!elements.is_within() && rejected.len() == 1);
}
