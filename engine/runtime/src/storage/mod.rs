//! Files of the data folder: locked, private to their owner, durable.

pub(crate) mod lock;
pub(crate) mod private;
pub(crate) mod sync;
