//! Writes payloads into one body: a JSON array, or lines.

use bytes::{BufMut, Bytes, BytesMut};

/// Joins payloads, which are JSON values, into an array. `bytes` is their total size.
pub(crate) fn array(payloads: impl ExactSizeIterator<Item = impl AsRef<[u8]>>, bytes: usize) -> Bytes {
    let mut body = BytesMut::with_capacity(bytes + payloads.len() + 2);
    body.put_u8(b'[');
    for (index, payload) in payloads.enumerate() {
        if index > 0 {
            body.put_u8(b',');
        }
        body.put_slice(payload.as_ref());
    }
    body.put_u8(b']');
    body.freeze()
}

/// Joins payloads into lines, each with a line end. `bytes` is their total size.
pub(crate) fn lines(payloads: impl ExactSizeIterator<Item = impl AsRef<[u8]>>, bytes: usize) -> Bytes {
    let mut body = BytesMut::with_capacity(bytes + payloads.len());
    for payload in payloads {
        body.put_slice(payload.as_ref());
        body.put_u8(b'\n');
    }
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_become_an_array_or_lines_without_a_second_allocation() {
        let cases: [(&[&str], &str, &str); 3] =
            [(&[], "[]", ""), (&["1"], "[1]", "1\n"), (&["1", "{}", "3"], "[1,{},3]", "1\n{}\n3\n")];
        for (payloads, in_array, in_lines) in cases {
            let bytes = payloads.iter().map(|payload| payload.len()).sum();
            assert_eq!(array(payloads.iter(), bytes), in_array);
            assert_eq!(lines(payloads.iter(), bytes), in_lines);
        }
    }
}
