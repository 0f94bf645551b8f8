//! Kills the engine, its server and its connections while events flow, and counts what that did to them.
//!
//! Never looks inside the engine: it runs the binary, reads what arrived, and compares. Nothing of the product
//! depends on it. Read [`Lane`] and [`campaign`] first.

mod calls;
mod campaign;
mod chance;
mod crew;
mod destination;
mod engine;
mod faults;
mod feeder;
mod lane;
mod libraries;
mod oracle;
mod proxy;
mod publisher;
mod world;

pub use campaign::{Outcome, campaign};
pub use lane::{Fault, Guarantee, LANES, Lane};
pub use libraries::{Isolation, Libraries};
pub use oracle::Tally;
pub use world::Trial;
