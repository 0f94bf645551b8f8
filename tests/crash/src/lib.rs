//! Kills the engine, its server and its connections while events flow, and counts lost, duplicated, reordered and torn
//! events.
//!
//! Uses the engine as a black box: starts the binary, reads the destination, and compares. Read [`Lane`] and
//! [`campaign`] first.

mod campaign;
mod lane;
mod libraries;
mod oracle;
mod random;
mod trial;
mod world;

pub use campaign::campaign;
pub use campaign::outcome::Outcome;
pub use lane::{Fault, Guarantee, LANES, Lane};
pub use libraries::{Isolation, Libraries};
pub use oracle::Tally;
pub use trial::Trial;
