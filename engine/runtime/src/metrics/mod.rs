//! Counters and health of components, and the status that is made of them.

pub(crate) mod component;
pub(crate) mod gauge;
pub(crate) mod log_limit;
pub mod status;
