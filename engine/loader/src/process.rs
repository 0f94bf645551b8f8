//! `isolation = "process"`: an instance in a process of its own.
//!
//! The engine starts itself once more for each instance (`nursery`), keeps the child company until it is over (`keeper`),
//! and calls the instance over a socket (`connection`, `remote`). The child loads the same library and serves that one
//! instance with the links that an instance in the engine has (`serve`, `desk`). Batches go through two shared regions
//! (`region`): in with one copy of what their spans mean (`stretches`, `pack`, `receipts`), back with one copy of what is new
//! (`unpack`); what lies within the batch that a filter was given is not copied back, but found again in the original.
//!
//! The child is not trusted: whatever comes from it was looked at before it is used. What went wrong is told as a
//! [`Fault`](crate::link::Fault), and `recover` sees to the rest, as for every other instance.

mod child;
mod child_process;
mod connection;
mod frame;
mod message;
mod remote;
mod shared;
mod spawner;
mod supervisor;

pub use child::serve::serve;
pub(crate) use child_process::ChildProcess;
pub(crate) use spawner::Spawner;

#[cfg(test)]
mod tests;
