//! The source `redis_stream`: payloads, groups, and consumers that die.

/// Opens a source and reads from it, as the engine does.
mod reader;

/// Several consumers, one of which dies.
mod groups;
/// Groups, entries and servers that disappear.
mod outages;
/// Payloads, attributes, rejections.
mod payloads;
