use super::*;

#[test]
fn a_command_is_an_array_of_bulks() {
    let mut out = Vec::new();
    command(&mut out, &[b"SET", b"", b"0123456789"]);
    assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$10\r\n0123456789\r\n");
}

#[test]
fn a_reply_cut_anywhere_is_not_complete() {
    let whole = b"*4\r\n:-7\r\n$3\r\na\r\n\r\n*-1\r\n+OK\r\n";
    for cut in 0..whole.len() {
        assert_eq!(parse(&whole[..cut]), Ok(None), "cut at {cut}");
    }
    let (reply, length) = parse(whole).unwrap().unwrap();
    let values = vec![Reply::Integer(-7), Reply::Bulk(b"a\r\n"), Reply::Null, Reply::Status(b"OK")];
    assert_eq!((reply, length), (Reply::Array(values), whole.len()));
}

#[test]
fn what_is_not_redis_is_malformed() {
    for bytes in [&b"HTTP/1.1 400"[..], b":x\r\n", b"$-2\r\n", b"+OK\n", b"$1\r\nabc", b"$99999999999\r\n"] {
        assert_eq!(parse(bytes), Err(Malformed), "{bytes:?}");
    }
    assert_eq!(parse(&b"*1\r\n".repeat(20)), Err(Malformed));
}
