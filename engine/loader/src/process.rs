//! `isolation = "process"`: an instance in a child process.
//!
//! The engine spawns itself once for each instance (`spawner`), supervises the child until it ends (`supervisor`), and calls
//! the instance over a socket (`connection`, `remote`). The child loads the same library and serves one instance with the
//! same links as an instance in the engine (`child`). Batches go through two regions of shared memory (`region`): the
//! engine copies the bytes of the spans in, and copies new bytes out. Bytes of the input that a filter keeps are mapped
//! back to the original.
//!
//! The child is not trusted: everything that it sends is checked before use. A fault becomes a
//! [`Fault`](crate::factory::Fault), which `restart` handles as for every other instance.

mod child;
mod child_process;
mod connection;
mod frame;
mod message;
mod region;
mod remote;
mod spawner;
mod supervisor;

pub use child::serve::serve;
pub(crate) use child_process::ChildProcess;
pub(crate) use spawner::Spawner;
