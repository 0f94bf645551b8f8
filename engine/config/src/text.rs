//! The text of a pipeline file.

/// A pipeline file: its path as messages show it, and its content.
#[derive(Clone, Debug)]
pub struct Text {
    /// The path, as it was given.
    pub path: String,
    /// The content of the file.
    pub text: String,
}
