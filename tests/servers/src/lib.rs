//! Servers for tests: a real Redis server, and an HTTP server with scripted responses.
//!
//! Each server listens on a free port of the loopback interface and ends when its value is dropped. This crate is a
//! development dependency only: no part of it is in the `tidegate` program.

pub mod http;
pub mod redis;
