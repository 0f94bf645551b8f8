//! Messages of RFC 5424, after `<PRI>1 `.

use std::borrow::Cow;

use super::message;
use crate::fields::Fields;
use crate::scan::Scan;
use crate::time;

pub(super) fn parse(scan: &mut Scan<'_>, fields: &mut Fields) -> Result<(), String> {
    let written = scan.until(b' ', "a time")?;
    if written != b"-" && !time::is_of_syslog(written) {
        return Err(format!("`{}` is not a time of RFC 3339", crate::scan::shorten(written)));
    }
    fields.text_or_null("timestamp", written);
    fields.text_or_null("hostname", word(scan, "a host name")?);
    fields.text_or_null("app_name", word(scan, "the name of a program")?);
    fields.text_or_null("proc_id", word(scan, "the id of a process")?);
    fields.text_or_null("msg_id", word(scan, "the id of a kind of message")?);
    structured_data(scan, fields)?;
    if scan.at_end() {
        fields.text("message", b"");
        return Ok(());
    }
    scan.expect(" ")?;
    message(scan.rest(), fields);
    Ok(())
}

/// Parses a word of printable ASCII characters, and skips the space after it.
fn word<'a>(scan: &mut Scan<'a>, what: &str) -> Result<&'a [u8], String> {
    let before = *scan;
    let word = scan.until(b' ', what)?;
    if word.iter().all(u8::is_ascii_graphic) { Ok(word) } else { Err(before.expected(what)) }
}

/// Parses `-`, or elements such as `[id name="value" name="value"]`, as an object of objects. A parameter that occurs several
/// times in its element, which RFC 5424 allows, becomes an array. An element that does is refused, as it demands.
fn structured_data(scan: &mut Scan<'_>, fields: &mut Fields) -> Result<(), String> {
    if scan.skip(b"-") {
        fields.null("structured_data");
        return Ok(());
    }
    if scan.peek() != Some(b'[') {
        return Err(scan.expected("`-` or structured data in brackets"));
    }
    fields.open("structured_data");
    while scan.skip(b"[") {
        let id = name(scan, "the id of an element")?;
        fields.open(&id);
        while scan.skip(b" ") {
            let name = name(scan, "the name of a parameter")?;
            scan.expect("=\"")?;
            let value = value(scan)?;
            fields.text(&name, &value);
        }
        scan.expect("]")?;
        fields.join_repeated();
        fields.close();
    }
    if let Some(id) = fields.repeated() {
        return Err(format!("the element {} occurs twice", String::from_utf8_lossy(id)));
    }
    fields.close();
    Ok(())
}

fn name<'a>(scan: &mut Scan<'a>, what: &str) -> Result<Cow<'a, str>, String> {
    let name = scan.while_byte(|byte| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"'));
    if name.is_empty() { Err(scan.expected(what)) } else { Ok(String::from_utf8_lossy(name)) }
}

/// Parses the value of a parameter, after its quote. Only `"`, `\` and `]` are escaped in it.
fn value<'a>(scan: &mut Scan<'a>) -> Result<Cow<'a, [u8]>, String> {
    let plain = |byte: u8| byte != b'"' && byte != b'\\';
    let mut value = Cow::Borrowed(scan.while_byte(plain));
    while !scan.skip(b"\"") {
        match *scan.rest() {
            [b'\\', escaped @ (b'"' | b'\\' | b']'), ..] => {
                value.to_mut().push(escaped);
                scan.take(2);
            }
            [b'\\', ..] => {
                value.to_mut().push(b'\\');
                scan.take(1);
            }
            _ => return Err(scan.expected("the quote at the end of a value")),
        }
        value.to_mut().extend_from_slice(scan.while_byte(plain));
    }
    Ok(value)
}
