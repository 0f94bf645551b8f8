//! One record of comma-separated values, as RFC 4180 describes it.

use std::borrow::Cow;

use crate::fields::Fields;
use crate::scan::Scan;

/// The columns of a record and what separates them.
#[derive(Debug)]
pub(crate) struct Csv {
    pub(crate) columns: Vec<String>,
    pub(crate) delimiter: u8,
}

impl Csv {
    pub(crate) fn parse(&self, line: &[u8], fields: &mut Fields) -> Result<(), String> {
        let mut scan = Scan::new(line);
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 && !scan.skip(&[self.delimiter]) {
                return Err(match scan.at_end() {
                    true => format!("the line ends after {index} of {} columns", self.columns.len()),
                    false => scan.expected(&format!("`{}`", char::from(self.delimiter))),
                });
            }
            fields.typed(column, &self.value(&mut scan)?)?;
        }
        match scan.at_end() {
            true => Ok(()),
            false => Err(scan.expected(&format!("the end of the line after {} columns", self.columns.len()))),
        }
    }

    fn value<'a>(&self, scan: &mut Scan<'a>) -> Result<Cow<'a, [u8]>, String> {
        if scan.peek() != Some(b'"') {
            return Ok(scan.word(self.delimiter).into());
        }
        scan.take(1);
        let mut value = Cow::Borrowed(scan.word(b'"'));
        loop {
            if scan.skip(b"\"\"") {
                let joined = value.to_mut();
                joined.push(b'"');
                joined.extend_from_slice(scan.word(b'"'));
            } else if scan.skip(b"\"") {
                return Ok(value);
            } else {
                return Err(scan.expected("the quote at the end of a value"));
            }
        }
    }
}
