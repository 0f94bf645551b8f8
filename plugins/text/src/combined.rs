//! The access logs of Apache and nginx: the common log format, and the combined one with referer and user agent.

use std::borrow::Cow;

use memchr::{memchr, memmem, memrchr};

use crate::fields::Fields;
use crate::scan::Scan;
use crate::time;

/// Reads `host ident user [time] "request" status bytes`, and `"referer" "agent"` if they follow.
pub(crate) fn parse(line: &[u8], fields: &mut Fields) -> Result<(), String> {
    let mut scan = Scan::new(line);
    fields.text_or_null("remote_addr", scan.until(b' ', "the address of the client")?);
    scan.until(b' ', "the identity of the client")?;
    // A user name may hold blanks, but the time always begins with a bracket.
    let length =
        memmem::find(scan.rest(), b" [").ok_or_else(|| scan.expected("a user and the time in brackets"))?;
    fields.text_or_null("user", scan.take(length));
    scan.expect(" [")?;
    let written = scan.until(b']', "the time")?;
    let time = time::access_log(written).ok_or_else(|| {
        format!("`{}` is not a time like `10/Oct/2000:13:55:36 -0700`", crate::scan::shorten(written))
    })?;
    fields.text("time", &time);
    scan.expect(" ")?;
    request(&quoted(&mut scan, "the request")?, fields);
    scan.expect(" ")?;
    let status = digits(&mut scan, "the status")?;
    fields.integer("status", status);
    scan.expect(" ")?;
    match scan.skip(b"-") {
        true => fields.null("bytes"),
        false => fields.integer("bytes", digits(&mut scan, "the number of bytes")?),
    }
    if scan.at_end() {
        fields.null("referer");
        fields.null("user_agent");
        return Ok(());
    }
    scan.expect(" ")?;
    fields.text_or_null("referer", &quoted(&mut scan, "the referer")?);
    scan.expect(" ")?;
    fields.text_or_null("user_agent", &quoted(&mut scan, "the user agent")?);
    match scan.at_end() {
        true => Ok(()),
        false => Err(scan.expected("the end of the line")),
    }
}

/// `GET /path HTTP/1.1` in its parts. What is not of this form (garbage that a scanner sent) is the path.
fn request(request: &[u8], fields: &mut Fields) {
    let method_end = memchr(b' ', request).filter(|end| request[..*end].iter().all(u8::is_ascii_alphabetic));
    let Some(method_end) = method_end.filter(|end| *end > 0) else {
        fields.null("method");
        fields.text_or_null("path", request);
        return fields.null("protocol");
    };
    let target = &request[method_end + 1..];
    fields.text("method", &request[..method_end]);
    match memrchr(b' ', target) {
        Some(end) if target[end + 1..].starts_with(b"HTTP/") => {
            fields.text("path", &target[..end]);
            fields.text("protocol", &target[end + 1..]);
        }
        _ => {
            fields.text("path", target);
            fields.null("protocol");
        }
    }
}

fn digits(scan: &mut Scan<'_>, what: &str) -> Result<u64, String> {
    let before = *scan;
    let digits = scan.while_byte(|byte| byte.is_ascii_digit());
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(|| before.expected(what))
}

/// Text in quotes, without the escapes of Apache (`\"`, `\\`, `\n`, `\t`, `\xhh`) and nginx (`\xHH`).
fn quoted<'a>(scan: &mut Scan<'a>, what: &str) -> Result<Cow<'a, [u8]>, String> {
    if !scan.skip(b"\"") {
        return Err(scan.expected(&format!("{what} in quotes")));
    }
    let mut text = Cow::Borrowed(scan.while_byte(|byte| byte != b'"' && byte != b'\\'));
    while !scan.skip(b"\"") {
        if scan.rest().len() < 2 {
            return Err(scan.expected(&format!("the quote at the end of {what}")));
        }
        let unescaped = text.to_mut();
        escape(scan, unescaped);
        unescaped.extend_from_slice(scan.while_byte(|byte| byte != b'"' && byte != b'\\'));
    }
    Ok(text)
}

/// The backslash that comes next and what it stands for. An escape that is none of theirs stays as it is.
fn escape(scan: &mut Scan<'_>, text: &mut Vec<u8>) {
    let hex = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    match *scan.rest() {
        [b'\\', b'x' | b'X', high, low, ..] if hex(high).is_some() && hex(low).is_some() => {
            text.push(hex(high).unwrap_or(0) << 4 | hex(low).unwrap_or(0));
            scan.take(4);
        }
        [b'\\', known @ (b'"' | b'\\' | b'n' | b'r' | b't' | b'b' | b'v'), ..] => {
            text.push(match known {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 8,
                b'v' => 11,
                same => same,
            });
            scan.take(2);
        }
        _ => text.extend_from_slice(scan.take(1)),
    }
}
