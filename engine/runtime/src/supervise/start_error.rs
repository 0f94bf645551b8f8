//! Error of a pipeline that cannot be started.

/// Error of a pipeline that cannot be started.
#[derive(Debug)]
pub struct StartError {
    /// The pipeline's name.
    pub pipeline: String,
    /// The problem, with the path.
    pub message: String,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "pipeline `{}`: {}", self.pipeline, self.message)
    }
}

impl std::error::Error for StartError {}
