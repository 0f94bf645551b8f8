//! Threads of the components.

use tokio::runtime::Runtime;

use crate::exit::Failure;

/// Builds a tokio runtime for components.
pub(crate) fn multi_thread() -> Result<Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Failure::failed(format!("threads cannot be started: {error}")))
}
