//! The child process: serves one instance to the engine.

mod answer;
mod dispatcher;
mod frame_writer;
pub(crate) mod serve;
