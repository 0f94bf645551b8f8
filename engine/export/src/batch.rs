//! The conversion of batches from the engine and for the engine.

pub(crate) mod decode;
pub(crate) mod encode;
mod mapping;
