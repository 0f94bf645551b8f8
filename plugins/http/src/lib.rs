//! HTTP, both ways
