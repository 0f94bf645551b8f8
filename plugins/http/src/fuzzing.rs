//! Entry points for the fuzz targets in `tests/fuzz`: decoders that are private to this crate.

pub use crate::client::fuzzing::{link, response as answer};
pub use crate::server::fuzzing::{query, request};
