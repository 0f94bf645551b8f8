//! Records of comma-separated values (RFC 4180).

use tidegate_sdk::framing::{CsvReader, CsvStep};

use crate::fields::Fields;

/// Columns of a record, and their delimiter.
#[derive(Debug)]
pub(crate) struct Csv {
    pub(crate) columns: Vec<String>,
    pub(crate) delimiter: u8,
}

impl Csv {
    pub(crate) fn parse(
        &self,
        text: &[u8],
        reader: &mut CsvReader,
        fields: &mut Fields,
    ) -> Result<(), String> {
        reader.reset();
        if let Err(error) = std::str::from_utf8(text) {
            return Err(format!("the record is not UTF-8 at byte {}", error.valid_up_to()));
        }
        match reader.read(text, true) {
            CsvStep::Malformed { at, reason } => return Err(format!("{reason} (byte {at})")),
            CsvStep::Record { length } if length < text.len() => {
                return Err(format!(
                    "the record ends at byte {length}, and more follows; an event is one record"
                ));
            }
            _ => {}
        }
        let (found, columns) = (reader.len(), self.columns.len());
        if found != columns {
            let noun = if found == 1 { "field" } else { "fields" };
            return Err(format!("the record has {found} {noun}, but there are {columns} columns"));
        }
        for (column, value) in self.columns.iter().zip(reader.fields(text)) {
            fields.typed(column, &value)?;
        }
        Ok(())
    }
}
