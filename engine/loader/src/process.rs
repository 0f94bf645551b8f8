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

mod connection;
mod desk;
mod frame;
mod home;
mod keeper;
mod lineage;
mod message;
mod nursery;
mod pack;
mod receipts;
mod region;
mod remote;
mod serve;
mod stretches;
mod unpack;
mod voice;

pub(crate) use home::Apart;
pub(crate) use nursery::Nursery;
pub use serve::serve;

#[cfg(test)]
mod tests;
