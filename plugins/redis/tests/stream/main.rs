//! The source `redis_stream` against real servers: what is read, and what becomes of it when consumers die.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

/// Opening a source and reading from it, as the engine does.
mod reader;

/// Several consumers, one of which dies.
mod groups;
/// Groups, entries and servers that go away.
mod outages;
/// Payloads, attributes, rejections.
mod payloads;
