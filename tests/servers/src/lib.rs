//! Servers for tests, and requirements of tests on the machine: a real Redis server, an HTTP server with scripted
//! responses, and [`require!`].
//!
//! Each server listens on a free port of the loopback interface and ends when its value is dropped. This crate is a
//! development dependency only: no part of it is in the `tidegate` program.

pub mod http;
pub mod machine;
mod ports;
pub mod redis;

pub use ports::free_port;
