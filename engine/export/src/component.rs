//! The tables of functions of sources, filters and sinks.

pub(crate) mod filter;
pub(crate) mod sink;
pub(crate) mod source;
