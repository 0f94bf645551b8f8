//! Tests of the grammar.

use super::*;

#[test]
fn every_form_of_the_header_is_understood() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770); // 1994-11-06T08:49:30Z
    let cases: &[(&str, Option<u64>)] = &[
        ("0", Some(0)),
        ("7", Some(7)),
        (" 120 ", Some(120)),
        ("007", Some(7)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", Some(u64::MAX)),
        ("99999999999999999999999999999999999999999999", Some(u64::MAX)),
        // The three forms of a date: IMF-fixdate, RFC 850, asctime.
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7)),
        ("Sun Nov  6 08:49:37 1994", Some(7)),
        // A date in the past, and other zones.
        ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
        ("Sun, 06 Nov 1994 09:49:37 +0100", Some(7)),
        // A two-digit year is in this century until 2069.
        ("Saturday, 28-Nov-26 08:49:37 GMT", Some(1_795_855_777 - 784_111_770)),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("+7", None),
        ("soon", None),
        ("Sun, 06 Nov 1994", None),
    ];
    for (text, expected) in cases {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
        assert_eq!(pause(&headers, now), expected.map(Duration::from_secs), "{text}");
    }
    assert_eq!(pause(&HeaderMap::new(), now), None);
}
