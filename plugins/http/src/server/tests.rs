//! Tests of the server over real sockets, with a small engine around it.

mod client;
mod driver;
mod life;
mod limits;
mod refusals;
mod results;
mod settings;
