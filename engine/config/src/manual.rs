//! The options of plugins and of the engine, described for people and editors.

pub(crate) mod editor;
pub(crate) mod options;
