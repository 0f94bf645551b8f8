//! Commands as sources and filters
