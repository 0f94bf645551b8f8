//! Batches across the boundary to a library in this process: the engine lends its own, and takes over those of the library.

pub(crate) mod exported;
pub(crate) mod imported;

#[cfg(test)]
mod tests;
