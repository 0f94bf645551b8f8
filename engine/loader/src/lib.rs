//! Loads shared libraries and runs their plugins like built-in ones.
//!
//! The only crate that loads code, and the only one that calls it through the C ABI. It does not trust a library: it reads
//! tables by their size, checks batches before use, and restarts a component whose instance crashes, hangs or breaks the
//! contract, without losing events. It knows nothing of pipelines.
//!
//! Start with [`Loader`], then read `instance` (calls), `restart` (failures) and `process` (child processes). The library
//! side of the C ABI is the crate `tidegate-export`, the ABI itself `tidegate-abi`.

#![allow(unsafe_code, reason = "calls libraries through the C ABI")]
#![warn(clippy::match_bool, clippy::undocumented_unsafe_blocks)]

/// Batches across the C ABI, in both directions.
mod boundary;
mod exit_status;
mod factory;
mod host_table;
mod instance;
/// The file of a library, and what is in it.
mod library;
mod loader;
mod process;
mod restart;

pub use exit_status::death;
pub use library::describe::{Described, Description, describe};
pub use library::file::Refusal;
pub use loader::{Loader, Wanted};
pub use process::serve;
