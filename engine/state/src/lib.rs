//! Files of the data folder: locked, private to their owner, durable. The crate knows nothing of graphs, plugins and tasks.

#![warn(clippy::match_bool)]

pub mod storage;
