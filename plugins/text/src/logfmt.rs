//! `key=value key="a value" flag`.

use std::borrow::Cow;

use crate::fields::Fields;
use crate::scan::Scan;

/// Reads pairs that are separated by blanks. A key without a value is true.
pub(crate) fn parse(line: &[u8], fields: &mut Fields) -> Result<(), String> {
    let mut scan = Scan::new(line);
    let blank = |byte: u8| byte == b' ' || byte == b'\t';
    let mut any = false;
    loop {
        scan.while_byte(blank);
        if scan.at_end() {
            break;
        }
        let key = scan.while_byte(|byte| byte > b' ' && byte != b'=' && byte != b'"');
        if key.is_empty() {
            return Err(scan.expected("a key"));
        }
        let key = String::from_utf8_lossy(key);
        any = true;
        match scan.peek() {
            Some(b'=') => {
                scan.take(1);
                let value = value(&mut scan)?;
                fields.typed(&key, &value)?;
            }
            Some(b'"') => return Err(scan.expected("`=`")),
            _ => fields.yes(&key),
        }
        if !scan.at_end() && !scan.peek().is_some_and(blank) {
            return Err(scan.expected("a space"));
        }
    }
    match any {
        true => Ok(()),
        false => Err("the line is empty".to_owned()),
    }
}

fn value<'a>(scan: &mut Scan<'a>) -> Result<Cow<'a, [u8]>, String> {
    if scan.peek() != Some(b'"') {
        return Ok(scan.while_byte(|byte| byte != b' ' && byte != b'\t').into());
    }
    scan.take(1);
    let plain = scan.while_byte(|byte| byte != b'"' && byte != b'\\');
    if scan.peek() == Some(b'"') {
        scan.take(1);
        return Ok(plain.into());
    }
    let mut value = plain.to_vec();
    loop {
        value.extend_from_slice(scan.while_byte(|byte| byte != b'"' && byte != b'\\'));
        match scan.peek() {
            Some(b'"') => break,
            Some(_) if scan.rest().len() > 1 => {
                let escape = scan.take(2)[1];
                value.push(match escape {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                });
            }
            _ => return Err(scan.expected("the quote at the end of a value")),
        }
    }
    scan.take(1);
    Ok(value.into())
}
