use proptest::prelude::*;
use tidegate_sdk::Batch;

use super::*;

/// Feeds `input` in pieces of `step` bytes.
fn records(
    options: &CsvOptions,
    input: &[u8],
    step: usize,
    limit: usize,
) -> (Vec<String>, Vec<SourceRejection>) {
    let mut records = Records::new(options, limit);
    let (mut texts, mut rejected, mut consumed) = (Vec::new(), Vec::new(), 0);
    for piece in input.chunks(step) {
        records.buffer().extend_from_slice(piece);
        loop {
            let mut builder = Batch::builder();
            let passed = records.cut(&mut builder, &mut rejected).unwrap();
            consumed += passed;
            texts.extend(builder.finish().texts());
            if passed == 0 {
                break;
            }
        }
    }
    let mut builder = Batch::builder();
    consumed += records.finish(&mut builder, &mut rejected).unwrap();
    texts.extend(builder.finish().texts());
    assert_eq!(consumed, input.len() as u64, "every byte is consumed once");
    (texts, rejected)
}

#[test]
fn records_become_objects_however_they_are_fed() {
    let input = b"id,\"full \"\"name\"\"\"\r\n1,Ann\r\n\r\n2,\"a,\n\"\"b\"\"\"\r\n3,last";
    for step in [1, 2, 3, 7, 1000] {
        let (texts, rejected) = records(&CsvOptions::default(), input, step, 1000);
        assert_eq!(
            texts,
            [
                r#"{"id":"1","full \"name\"":"Ann"}"#,
                r#"{"id":"2","full \"name\"":"a,\n\"b\""}"#,
                r#"{"id":"3","full \"name\"":"last"}"#
            ]
        );
        assert!(rejected.is_empty(), "{rejected:?}");
    }
}

#[test]
fn a_wrong_number_of_fields_is_rejected_with_its_line() {
    let input = b"a,b\r\n1,2\r\n\r\n3\r\n4,5,6\r\n\"7\r\n\",8\r\n9\r\n";
    for step in [1, 5, 1000] {
        let (texts, rejected) = records(&CsvOptions::default(), input, step, 1000);
        assert_eq!(texts, [r#"{"a":"1","b":"2"}"#, r#"{"a":"7\r\n","b":"8"}"#]);
        let rejections: Vec<(&[u8], &str)> =
            rejected.iter().map(|one| (&one.payload[..], one.reason.split(':').next().unwrap())).collect();
        assert_eq!(rejections, [(&b"3"[..], "line 4"), (b"4,5,6", "line 5"), (b"9", "line 8")]);
        assert!(rejected[0].reason.contains("has 1 field, but there are 2 names"), "{rejected:?}");
    }
}

#[test]
fn types_and_given_names() {
    let options = CsvOptions {
        delimiter: ";".into(),
        header: Header::Names(vec!["a".into(), "b".into(), "c".into()]),
        types: true,
    };
    let (texts, _) = records(&options, b"1;-2.5e3;true\n007;1.;False\n;-;0\n", 4, 1000);
    assert_eq!(
        texts,
        [
            r#"{"a":1,"b":-2.5e3,"c":true}"#,
            r#"{"a":"007","b":"1.","c":"False"}"#,
            r#"{"a":"","b":"-","c":0}"#
        ]
    );
}

#[test]
fn an_open_quote_costs_its_line_and_no_other() {
    let input = b"id,name\n1,a\n2,\"open\n3,c\n\"4\",\"d\ne\"\n5,f\n";
    for step in [1, 3, 7, 1000] {
        let (texts, rejected) = records(&CsvOptions::default(), input, step, 1000);
        let expected = [(1, "a"), (3, "c"), (4, "d\\ne"), (5, "f")];
        let expected = expected.map(|(id, name)| format!(r#"{{"id":"{id}","name":"{name}"}}"#));
        assert_eq!(texts, expected, "step {step}");
        let refused: Vec<_> = rejected.iter().map(|one| (&one.payload[..], one.reason.as_str())).collect();
        let reason = "line 3: something follows the closing quote of a field (byte 13 of the record)";
        assert_eq!(refused, [(&b"2,\"open"[..], reason)], "step {step}");
    }
}

#[test]
fn an_open_quote_at_the_end_or_beyond_the_limit_costs_its_line_only() {
    let lines = (0..200).map(|number| format!("{number},x\n")).collect::<String>();
    let input = format!("id,name\n1,\"open\n{lines}");
    for (limit, reason) in [(100_000, "is never closed"), (100, "over the limit of 100B")] {
        for step in [1, 50, 100_000] {
            let (texts, rejected) = records(&CsvOptions::default(), input.as_bytes(), step, limit);
            assert_eq!((texts.len(), rejected.len()), (200, 1), "step {step}, limit {limit}");
            let reason_of = &rejected[0].reason;
            assert!(reason_of.starts_with("line 2: ") && reason_of.contains(reason), "{reason_of}");
            assert_eq!(&rejected[0].payload[..], b"1,\"open");
        }
    }
}

#[test]
fn malformed_records_are_rejected_one_by_one_with_their_lines() {
    let input = b"a,b\n\"a\"x,1\n1,2\n5\" disk,3\r\nx\ry,4\n\n\"m\nn\",5\n \"q\",6\n7,8\n9,\"";
    for step in [1, 4, 1000] {
        let (texts, rejected) = records(&CsvOptions::default(), input, step, 1000);
        assert_eq!(texts, [r#"{"a":"1","b":"2"}"#, r#"{"a":"m\nn","b":"5"}"#, r#"{"a":"7","b":"8"}"#]);
        let rejections: Vec<(&[u8], &str)> =
            rejected.iter().map(|one| (&one.payload[..], one.reason.split(':').next().unwrap())).collect();
        let expected: [(&[u8], &str); 5] = [
            (b"\"a\"x,1", "line 2"),
            (b"5\" disk,3", "line 4"),
            (b"x\ry,4", "line 5"),
            (b" \"q\",6", "line 9"),
            (b"9,\"", "line 11"),
        ];
        assert_eq!(rejections, expected, "step {step}");
    }
}

#[test]
fn a_line_over_the_limit_is_rejected_and_reading_continues() {
    let input =
        [b"a,b\n1,2\n".as_slice(), &b"x".repeat(20_000), b"\",\"\n4,5\n", &b"y".repeat(9000)].concat();
    for step in [100, 7000, 100_000] {
        let (texts, rejected) = records(&CsvOptions::default(), &input, step, 50);
        assert_eq!(texts, [r#"{"a":"1","b":"2"}"#, r#"{"a":"4","b":"5"}"#]);
        assert_eq!(rejected.iter().map(|one| one.length).collect::<Vec<_>>(), [20_003, 9000], "step {step}");
        assert!(
            rejected[0].reason.contains("line 3") && rejected[1].reason.contains("line 5"),
            "{rejected:?}"
        );
        assert!(rejected[0].payload.len() <= KEPT);
    }
}

#[test]
fn a_line_over_the_limit_is_known_to_go_by() {
    let mut records = Records::new(&CsvOptions::default(), 10);
    records.buffer().extend_from_slice(b"a\nb\nmuch longer than the limit");
    let mut rejected = Vec::new();
    while records.cut(&mut Batch::builder(), &mut rejected).unwrap() > 0 {}
    assert!(records.is_within());
    records.buffer().extend_from_slice(b"\nc\n");
    records.cut(&mut Batch::builder(), &mut rejected).unwrap();
    assert!(!records.is_within() && rejected.len() == 1);
}

#[test]
fn records_that_are_not_utf_8_are_rejected() {
    let (texts, rejected) = records(&CsvOptions::default(), b"a\n\xff\nb\n", 1, 100);
    assert_eq!(texts, [r#"{"a":"b"}"#]);
    assert!(rejected[0].reason.contains("not UTF-8"));
}

#[test]
fn equal_names_are_refused() {
    let mut records = Records::new(&CsvOptions::default(), 100);
    records.buffer().extend_from_slice(b"a,b,a\n1,2,3\n");
    let problem = records.cut(&mut Batch::builder(), &mut Vec::new()).unwrap_err();
    assert!(problem.contains("two fields are named `a`"), "{problem}");
}

#[test]
fn a_header_over_the_limit_is_refused_however_it_is_fed() {
    // Read as a whole, it once passed.
    let input = b"a name that is longer than the limit,b\n1,2\n";
    for step in [1, 100] {
        let mut records = Records::new(&CsvOptions::default(), 20);
        let refused = input.chunks(step).find_map(|piece| {
            records.buffer().extend_from_slice(piece);
            records.read_header().err()
        });
        assert!(refused.is_some_and(|reason| reason.contains("over the limit")), "step {step}");
    }
}

proptest! {
    /// However the bytes are fed, the events are the same, and so are the lines that are refused.
    #[test]
    fn any_bytes_are_cut_the_same_however_they_are_fed(
        input in "(a,b\n)?[ab,\"\r\n]{0,40}", step in 1_usize..12, limit in 4_usize..40
    ) {
        let lengths = |(texts, rejected): (Vec<String>, Vec<SourceRejection>)| {
            (texts, rejected.into_iter().map(|one| one.length).collect::<Vec<_>>())
        };
        let names = Header::Names(vec!["a".into(), "b".into()]);
        let options = CsvOptions { header: names, ..CsvOptions::default() };
        let whole = lengths(records(&options, input.as_bytes(), input.len().max(1), limit));
        prop_assert_eq!(lengths(records(&options, input.as_bytes(), step, limit)), whole);
    }

    /// A record that is well-formed is never lost to one that is not, if that has no quote.
    #[test]
    fn good_records_survive_bad_lines(lines in prop::collection::vec("[ab]{1,3},\"[ab,\n]{0,4}\"|[ab]\"[ab]|[ab]\r[ab]|[ab]", 0..12)) {
        let names = Header::Names(vec!["a".into(), "b".into()]);
        let options = CsvOptions { header: names, ..CsvOptions::default() };
        let (texts, rejected) = records(&options, lines.join("\n").as_bytes(), 5, 1000);
        let good = lines.iter().filter(|line| line.contains(",\"")).count();
        prop_assert_eq!((texts.len(), rejected.len()), (good, lines.len() - good));
    }
}
