//! Division of the bytes of a file into events, in one of three ways.

use bytes::BytesMut;
use tidegate_sdk::framing::{Elements, Lines};
use tidegate_sdk::{BatchBuilder, SourceRejection};

use super::options::{CsvOptions, Decode, SourceOptions};
use super::records::Records;

/// Framing of one file. Its use is that of [`Lines`].
pub(crate) enum Framing {
    Lines(Lines),
    Elements(Elements),
    Csv(Box<Records>),
}

impl Framing {
    /// Creates the framing for the start of a file. No event is larger than `limit`.
    pub(crate) fn new(options: &SourceOptions, limit: usize) -> Self {
        match options.decode {
            Decode::Lines => Self::Lines(Lines::new(limit)),
            Decode::JsonArray => Self::Elements(Elements::new(limit)),
            Decode::Csv => {
                let default = CsvOptions::default();
                Self::Csv(Box::new(Records::new(options.csv.as_ref().unwrap_or(&default), limit)))
            }
        }
    }

    /// Continues after the events of an earlier run.
    pub(crate) fn resumed(self, limit: usize, line: Option<u64>) -> Self {
        match self {
            Self::Lines(lines) => Self::Lines(lines),
            Self::Elements(_) => Self::Elements(Elements::resumed(limit)),
            Self::Csv(records) => Self::Csv(Box::new(records.resumed(line))),
        }
    }

    /// Returns the bytes that are not cut yet. New bytes are appended to them.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        match self {
            Self::Lines(lines) => lines.buffer(),
            Self::Elements(elements) => elements.buffer(),
            Self::Csv(records) => records.buffer(),
        }
    }

    /// Moves whole events to `builder`. Returns the number of bytes that are consumed.
    pub(crate) fn cut(
        &mut self,
        builder: &mut BatchBuilder,
        rejected: &mut Vec<SourceRejection>,
    ) -> Result<u64, String> {
        match self {
            Self::Lines(lines) => Ok(lines.cut(builder, rejected)),
            Self::Elements(elements) => elements.cut(builder, rejected),
            Self::Csv(records) => records.cut(builder, rejected),
        }
    }

    /// Moves the rest at the end of the file to `builder`. Returns the number of bytes that are consumed.
    pub(crate) fn finish(
        &mut self,
        builder: &mut BatchBuilder,
        rejected: &mut Vec<SourceRejection>,
    ) -> Result<u64, String> {
        match self {
            Self::Lines(lines) => Ok(lines.finish(builder, rejected)),
            Self::Elements(elements) => elements.finish().map(|()| 0),
            Self::Csv(records) => records.finish(builder, rejected),
        }
    }

    /// Tells whether only white space may follow.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self {
            Self::Elements(elements) => elements.finish().is_ok(),
            _ => false,
        }
    }

    /// Tells whether an event over the limit is being skipped: its beginning is consumed, its end is not.
    pub(crate) fn is_within(&self) -> bool {
        match self {
            Self::Lines(lines) => lines.is_within(),
            Self::Elements(elements) => elements.is_within(),
            Self::Csv(records) => records.is_within(),
        }
    }

    /// Returns the line of the next record, if lines are counted.
    pub(crate) fn line(&self) -> Option<u64> {
        match self {
            Self::Csv(records) => Some(records.line()),
            _ => None,
        }
    }

    /// Tells whether it needs the header at the beginning of the file, also to continue in the middle.
    pub(crate) fn needs_header(&self) -> bool {
        matches!(self, Self::Csv(records) if records.needs_header())
    }
}
