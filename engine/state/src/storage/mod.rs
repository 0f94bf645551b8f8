//! Files of the data folder: locked, private to their owner, durable.

pub mod lock;
pub mod private;
pub mod sync;
