//! From a shared library to plugins that the engine runs like its own.
//!
//! The only crate that loads code, and the only one that calls it. It never trusts what comes back: tables are read by
//! their size, batches are checked before anybody looks at them, and a library that crashes, hangs or breaks the contract
//! costs its component a new start and nobody an event. It knows nothing of pipelines.
//!
//! Read [`Loader`] first, the front door; then `instance`, how a call is made; then `recover`, what happens when it goes
//! wrong; then `process`, an instance in a process of its own. The other side of the border is `tidegate_export`, and the ABI itself `tidegate_abi`.

#![allow(unsafe_code, reason = "calling a library is what this crate is for")]

mod adopt;
mod bisect;
mod describe;
mod file;
mod filter;
mod handshake;
mod home;
mod hub;
mod instance;
mod lend;
mod link;
mod loader;
mod process;
mod recover;
mod sink;
mod source;
mod state;
mod tables;
mod thread;

pub use describe::{Described, Description, death, describe};
pub use file::Refusal;
pub use loader::{Loader, Wanted};
pub use process::serve;
