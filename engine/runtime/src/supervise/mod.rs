//! Supervision of graphs: start, restart, drain, reload.

pub(crate) mod changes;
pub(crate) mod engine;
pub(crate) mod graph;
pub(crate) mod handoff;
pub(crate) mod options;
pub(crate) mod orphaned_positions;
pub(crate) mod pipeline_dir;
pub(crate) mod planned;
pub(crate) mod reload;
pub(crate) mod start_error;
