use super::*;

/// The first reply in `bytes` and its length, if it is complete.
fn parse(bytes: &[u8]) -> Result<Option<(Reply<'_>, usize)>, Malformed> {
    match Frame::new().end(bytes)? {
        Some(length) => Ok(Some((tree(&bytes[..length])?, length))),
        None => Ok(None),
    }
}

#[test]
fn command_is_an_array_of_bulks() {
    let mut out = Vec::new();
    command(&mut out, &[b"SET", b"", b"0123456789"]);
    assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$10\r\n0123456789\r\n");
}

#[test]
fn reply_cut_anywhere_is_not_complete() {
    let whole = b"*4\r\n:-7\r\n$3\r\na\r\n\r\n*-1\r\n+OK\r\n";
    for cut in 0..whole.len() {
        assert_eq!(parse(&whole[..cut]), Ok(None), "cut at {cut}");
    }
    let (reply, length) = parse(whole).unwrap().unwrap();
    let values = vec![Reply::Integer(-7), Reply::Bulk(b"a\r\n"), Reply::Null, Reply::Status(b"OK")];
    assert_eq!((reply, length), (Reply::Array(values), whole.len()));
}

#[test]
fn bytes_that_are_not_a_reply_are_malformed() {
    for bytes in [
        &b"HTTP/1.1 400"[..],
        b"H",
        b":x\r\n",
        b"$-2\r\n",
        b"*-2\r\n",
        b"+OK\n",
        b"$1\r\nabc",
        b"$99999999999999999999\r\n",
        b"*1\r\n?",
    ] {
        assert_eq!(parse(bytes), Err(Malformed), "{bytes:?}");
    }
    let deep = [b"*1\r\n".repeat(20), b":1\r\n".to_vec()].concat();
    assert_eq!(parse(&deep), Err(Malformed));
    assert_eq!(parse(&vec![b'+'; LINE_BYTES + 2]), Err(Malformed), "a line without an end");
    assert_eq!(parse(b"$99999999999\r\n"), Ok(None), "the limit of a reply is the connection's");
}

#[test]
fn array_with_a_huge_length_takes_no_memory() {
    assert_eq!(parse(b"*9223372036854775807\r\n:1\r\n"), Ok(None));
    assert_eq!(
        parse(b"*9223372036854775807\r\n*9223372036854775807\r\n*9223372036854775807\r\n"),
        Err(Malformed)
    );
}

/// The frame of a reply that arrives in single bytes looks at each byte a bounded number of times. With a search
/// from the start for each byte, this test would take minutes.
#[test]
fn reply_in_single_bytes_is_read_in_linear_time() {
    let mut reply = format!("*{}\r\n", 8_192).into_bytes();
    (0..8_192).for_each(|_| reply.extend_from_slice(b"$8\r\n01234567\r\n"));
    let mut frame = Frame::new();
    for length in 0..reply.len() {
        assert_eq!(frame.end(&reply[..length]), Ok(None));
    }
    assert_eq!(frame.end(&reply), Ok(Some(reply.len())));
    let long = [b"+".as_slice(), &vec![b'x'; LINE_BYTES - 2], b"\r\n"].concat();
    let mut frame = Frame::new();
    for length in 0..long.len() {
        assert_eq!(frame.end(&long[..length]), Ok(None));
        assert!(length == 0 || frame.searched == length || frame.searched == long.len());
    }
    assert_eq!(frame.end(&long), Ok(Some(long.len())));
}
