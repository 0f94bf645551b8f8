//! What the fuzz targets of `tests/fuzz` feed: decoders that are private to this crate.

pub use crate::client::fuzzing::{answer, link};
pub use crate::server::fuzzing::{query, request};
