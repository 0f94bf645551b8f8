//! JSON values that share their parts: a copy costs a counter, and a value that no other shares is changed in place.
//!
//! An array or object that was read is a part of the text until a query needs more of it (`part.rs`, `tape.rs`).

mod array;
mod marks;
mod number;
mod object;
mod order;
mod part;
mod read;
mod tape;
mod text;
mod token;
mod write;

pub use array::Array;
pub use marks::{BLOCK, Marks};
pub use number::plain_whole;
pub use object::Object;
pub use order::order_of_numbers;
pub use read::read;
pub use text::Text;
pub use token::ReadOptions;
pub use write::{WriteError, write, write_escaped, write_number, write_text};

pub(crate) use number::{negated, parse as parse_number, whole};
pub(crate) use order::total;
pub(crate) use token::is_number;
pub(crate) use write::{floor, shown, shown_long, to_json};

use part::Part;
use tape::Kind;

/// A JSON value.
#[derive(Clone, Debug, Default)]
pub enum Val {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Float(f64),
    /// A number as it is written, which it keeps until something is calculated with it.
    Digits(Text),
    /// A string.
    Text(Text),
    /// An array.
    Array(Array),
    /// An object.
    Object(Object),
}

impl Val {
    /// The name of the kind of value, as `type` gives it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Float(_) | Self::Digits(_) => "number",
            Self::Text(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// True if it is neither `false` nor `null`.
    #[inline]
    pub fn is_true(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    /// The number, if it is one.
    #[inline]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            Self::Digits(digits) => Some(number::parse(digits)),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of an entry of a document, in which arrays and objects are built later.
    #[inline]
    fn of_entry(document: &Text, entry: u32) -> Self {
        let found = document.tape()[entry as usize];
        let part = || Part::new(document.clone(), entry);
        match found.kind {
            Kind::Null => Self::Null,
            Kind::True => Self::Bool(true),
            Kind::False => Self::Bool(false),
            Kind::Number => {
                let range = found.start as usize..found.end as usize;
                let whole = whole(document.document_text(range.clone()));
                whole.unwrap_or_else(|| Self::Digits(document.document_slice(range)))
            }
            Kind::Text => Self::Text(part::text(document, entry)),
            Kind::Array => Self::Array(Array::part(part())),
            Kind::Object => Self::Object(Object::part(part())),
        }
    }

    /// The depth to which arrays and objects are nested in it, at most.
    pub(crate) fn depth(&self) -> u32 {
        match self {
            Self::Array(array) => array.depth(),
            Self::Object(object) => object.depth(),
            _ => 0,
        }
    }
}

impl From<&str> for Val {
    fn from(text: &str) -> Self {
        Self::Text(Text::from(text))
    }
}

impl From<String> for Val {
    fn from(text: String) -> Self {
        Self::Text(Text::from(text))
    }
}

impl From<f64> for Val {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<usize> for Val {
    fn from(number: usize) -> Self {
        Self::Float(number as f64)
    }
}

impl From<bool> for Val {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Vec<Self>> for Val {
    fn from(elements: Vec<Self>) -> Self {
        Self::Array(Array::from(elements))
    }
}
