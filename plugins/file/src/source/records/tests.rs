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
    let (mut texts, mut rejected, mut settled) = (Vec::new(), Vec::new(), 0);
    for piece in input.chunks(step) {
        records.buffer().extend_from_slice(piece);
        loop {
            let mut builder = Batch::builder();
            let passed = records.cut(&mut builder, &mut rejected).unwrap();
            settled += passed;
            texts.extend(builder.finish().texts());
            if passed == 0 {
                break;
            }
        }
    }
    let mut builder = Batch::builder();
    settled += records.finish(&mut builder, &mut rejected).unwrap();
    texts.extend(builder.finish().texts());
    assert_eq!(settled, input.len() as u64, "every byte is settled once");
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
        let told: Vec<(&[u8], &str)> =
            rejected.iter().map(|one| (&one.payload[..], one.reason.split(':').next().unwrap())).collect();
        assert_eq!(told, [(&b"3"[..], "line 4"), (b"4,5,6", "line 5"), (b"9", "line 8")]);
        assert!(rejected[0].reason.contains("has 1 fields, but there are 2 names"), "{rejected:?}");
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
fn a_record_over_the_limit_is_told_and_the_stream_goes_on() {
    let input = [b"a,b\n1,2\n\"".as_slice(), &b"x\n".repeat(20_000), b"\",3\n4,5\n"].concat();
    for step in [100, 7000, 100_000] {
        let (texts, rejected) = records(&CsvOptions::default(), &input, step, 50);
        assert_eq!(texts, [r#"{"a":"1","b":"2"}"#, r#"{"a":"4","b":"5"}"#]);
        assert_eq!((rejected.len(), rejected[0].length), (1, 40_005));
        assert!(rejected[0].reason.contains("line 3"), "{}", rejected[0].reason);
        assert!(rejected[0].payload.len() <= KEPT);
    }
}

#[test]
fn what_is_not_utf_8_is_rejected() {
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
