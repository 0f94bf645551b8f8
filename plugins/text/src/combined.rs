//! Access logs of Apache and nginx: the common log format, and the combined one with referer and user agent, both also
//! with a virtual host at the front.

use std::borrow::Cow;
use std::net::IpAddr;

use memchr::{memchr, memmem, memrchr};

use crate::fields::Fields;
use crate::scan::{Scan, is_one_line};
use crate::time;

/// Parses `[vhost] address ident user [time] "request" status bytes`, then `"referer" "agent"` and `"forwarded for"` if they
/// follow.
pub(crate) fn parse(line: &[u8], fields: &mut Fields) -> Result<(), String> {
    is_one_line(line)?;
    let mut scan = Scan::new(line);
    let client = client(&mut scan)?;
    if let Some(vhost) = client.vhost {
        fields.text("vhost", vhost);
    }
    fields.text_or_null("remote_addr", client.address);
    fields.text_or_null("user", client.user);
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
    if scan.skip(b"-") {
        fields.null("bytes");
    } else {
        fields.integer("bytes", digits(&mut scan, "the number of bytes")?);
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
    if scan.at_end() {
        return Ok(());
    }
    scan.expect(" ")?;
    let before = scan;
    let forwarded = quoted(&mut scan, "the end of the line, or addresses")?;
    if !scan.at_end() || !is_list_of_addresses(&forwarded) {
        return Err(before.expected("the end of the line, or a list of addresses in quotes,"));
    }
    fields.text_or_null("forwarded_for", &forwarded);
    Ok(())
}

/// Words before the time.
struct Client<'a> {
    vhost: Option<&'a [u8]>,
    address: &'a [u8],
    user: &'a [u8],
}

/// Parses the words before the time, up to the space before its bracket.
fn client<'a>(scan: &mut Scan<'a>) -> Result<Client<'a>, String> {
    let start = *scan;
    let mut first = address(scan, "the address of the client")?;
    let mut vhost = None;
    // With a virtual host there are four words, and the second is an address. A name counts as an address only after a
    // host with a port, because otherwise it may be an identity.
    let mut second = *scan;
    if let Ok(next) = address(&mut second, "an address")
        && (is_address(next) || (has_port(first) && next.contains(&b'.')))
    {
        (vhost, first, *scan) = (Some(first), next, second);
    }
    let identity = scan.until(b' ', "the identity of the client")?;
    let length =
        memmem::find(scan.rest(), b" [").ok_or_else(|| scan.expected("a user and the time in brackets"))?;
    let user = scan.take(length);
    // A user name may have spaces. After an identity, the line more likely has another form.
    if user.is_empty() || (identity != b"-" && user.contains(&b' ')) {
        return Err(start
            .expected("an address, an identity and a user before the time, or a virtual host before them,"));
    }
    Ok(Client { vhost, address: first, user })
}

/// Parses a word, or several that are a list, such as `203.0.113.7, 10.0.0.1`, and skips the space after it.
fn address<'a>(scan: &mut Scan<'a>, what: &str) -> Result<&'a [u8], String> {
    let whole = scan.rest();
    let mut length = 0;
    loop {
        let word = scan.until(b' ', what)?;
        length += word.len();
        if !word.ends_with(b",") || word.len() == 1 {
            return Ok(&whole[..length]);
        }
        length += 1;
    }
}

/// Tells whether the text is an IP address or a list of them.
fn is_address(text: &[u8]) -> bool {
    text != b"-" && is_list_of_addresses(text)
}

/// Tells whether the text is a list of addresses as `X-Forwarded-For` has it, in which `unknown` and `-` may replace one.
fn is_list_of_addresses(text: &[u8]) -> bool {
    let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
    let is_item = |item: &str| {
        let bracketed = || item.strip_prefix('[')?.split_once(']').map(|(inner, _)| is_ip(inner));
        let with_port = || item.rsplit_once(':').map(|(host, _)| is_ip(host));
        item == "unknown" || is_ip(item) || bracketed() == Some(true) || with_port() == Some(true)
    };
    text == b"-"
        || std::str::from_utf8(text).is_ok_and(|text| text.split(',').all(|item| is_item(item.trim())))
}

/// Tells whether the text is a name with the number of a port.
fn has_port(text: &[u8]) -> bool {
    let Some(colon) = memrchr(b':', text) else { return false };
    let port = &text[colon + 1..];
    let is_address = || std::str::from_utf8(text).is_ok_and(|text| text.parse::<IpAddr>().is_ok());
    colon > 0 && !port.is_empty() && port.iter().all(u8::is_ascii_digit) && !is_address()
}

/// Splits `GET /path HTTP/1.1` into its parts. Any other text (garbage of a scanner) is the path.
fn request(request: &[u8], fields: &mut Fields) {
    let (line, protocol) = match memrchr(b' ', request) {
        Some(end) if request[end + 1..].starts_with(b"HTTP/") => (&request[..end], Some(&request[end + 1..])),
        _ => (request, None),
    };
    // Without a protocol it is a request of HTTP/0.9, whose methods are words.
    let is_method = |method: &[u8]| {
        let fits = if protocol.is_some() { is_token } else { |byte: &u8| byte.is_ascii_alphabetic() };
        !method.is_empty() && method.iter().all(fits)
    };
    match memchr(b' ', line).filter(|end| is_method(&line[..*end])) {
        Some(end) => {
            fields.text("method", &line[..end]);
            fields.text("path", &line[end + 1..]);
            match protocol {
                Some(protocol) => fields.text("protocol", protocol),
                None => fields.null("protocol"),
            }
        }
        None => {
            fields.null("method");
            fields.text_or_null("path", request);
            fields.null("protocol");
        }
    }
}

/// Tells whether the byte may be part of a method (RFC 9110, section 5.6.2).
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

fn digits(scan: &mut Scan<'_>, what: &str) -> Result<u64, String> {
    let before = *scan;
    let digits = scan.while_byte(|byte| byte.is_ascii_digit());
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(|| before.expected(what))
}

/// Parses text in quotes, and resolves the escapes of Apache (`\"`, `\\`, `\n`, `\t`, `\xhh`) and nginx (`\xHH`).
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

/// Resolves the escape that comes next. An unknown one is kept as text.
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
