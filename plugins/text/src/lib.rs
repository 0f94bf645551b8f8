//! Text to JSON
