//! Code that runs in one task: a source with the filters downstream of it, filters between edges, or a sink.

pub(crate) mod acknowledge;
pub(crate) mod async_filter;
mod commit;
pub(crate) mod concurrent;
pub(crate) mod cutter;
mod permits;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod workers;
