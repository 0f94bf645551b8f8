//! A run of a graph: the plan, the tasks of its segments, and the edges between them.

pub(crate) mod chain;
pub(crate) mod context;
pub(crate) mod dead_letter_writer;
pub(crate) mod edge;
pub(crate) mod emission;
pub(crate) mod failure;
pub(crate) mod plan;
pub(crate) mod retry;
pub(crate) mod router;
pub(crate) mod segment;
pub(crate) mod spec;
pub(crate) mod state_handoff;
pub(crate) mod tasks;
pub(crate) mod wiring;
