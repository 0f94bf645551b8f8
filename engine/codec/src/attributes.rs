//! Encodes the names and texts of attributes into one buffer.

use bytes::Bytes;
use tidegate_abi::{Attr, AttrValue, View, attribute};
use tidegate_sdk::{AttributeValue, Attributes, Error};

/// The number of distinct names that are written only once. A batch rarely has more.
const NAMES: usize = 32;

/// The buffer of names and texts under construction.
pub(crate) struct Texts {
    /// Its number in the batch.
    buffer: u32,
    bytes: Vec<u8>,
    /// The names so far.
    names: Vec<View>,
    /// The last attributes and their range: events of one file or request share theirs.
    last: (*const Attributes, std::ops::Range<usize>),
}

impl Texts {
    /// Starts buffer number `buffer`.
    pub(crate) fn new(buffer: u32) -> Self {
        Self { buffer, bytes: Vec::new(), names: Vec::new(), last: (std::ptr::null(), 0..0) }
    }

    /// Appends attributes to `attrs`.
    pub(crate) fn encode(&mut self, attributes: &Attributes, attrs: &mut Vec<Attr>) {
        if std::ptr::eq(self.last.0, attributes) {
            attrs.extend_from_within(self.last.1.clone());
            return;
        }
        let start = attrs.len();
        for (name, value) in attributes.iter() {
            let name = self.name(name);
            let (kind, value) = match value {
                AttributeValue::Text(text) => {
                    (attribute::TEXT, AttrValue { text: self.write(text.as_bytes()) })
                }
                AttributeValue::Integer(number) => (attribute::INTEGER, AttrValue { i: *number }),
                AttributeValue::Float(number) => (attribute::FLOAT, AttrValue { f: *number }),
                AttributeValue::Boolean(is) => (attribute::BOOLEAN, AttrValue { i: i64::from(*is) }),
            };
            attrs.push(Attr { name, kind, value });
        }
        self.last = (attributes, start..attrs.len());
    }

    /// The buffer, which is empty if there were no attributes.
    ///
    /// # Errors
    /// It has 4 GiB or more.
    pub(crate) fn finish(self) -> Result<Bytes, Error> {
        match u32::try_from(self.bytes.len()) {
            Ok(_) => Ok(self.bytes.into()),
            Err(_) => Err(Error::fatal("the attributes of one batch are over 4 GiB")),
        }
    }

    fn name(&mut self, name: &str) -> View {
        let written = |view: &View| &self.bytes[view.off as usize..][..view.len as usize];
        if let Some(known) = self.names.iter().find(|known| written(known) == name.as_bytes()) {
            return *known;
        }
        let view = self.write(name.as_bytes());
        if self.names.len() < NAMES {
            self.names.push(view);
        }
        view
    }

    fn write(&mut self, text: &[u8]) -> View {
        // `finish` refuses a buffer with offsets over 32 bits.
        let view = View { buf: self.buffer, off: self.bytes.len() as u32, len: text.len() as u32 };
        self.bytes.extend_from_slice(text);
        view
    }
}
