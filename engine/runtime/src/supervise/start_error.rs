//! Error of a pipeline that cannot be started.

/// Why pipelines could not be started.
#[derive(Debug)]
pub struct StartError {
    /// The pipeline's name.
    pub pipeline: String,
    /// What went wrong, with the path.
    pub message: String,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "pipeline `{}`: {}", self.pipeline, self.message)
    }
}

impl std::error::Error for StartError {}
