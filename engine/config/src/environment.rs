//! Access to everything outside of the pipeline file, which the caller provides.

use tidegate_sdk::Plugin;

/// The caller's access to environment variables, secret files and shared libraries.
pub struct Environment<'a> {
    /// Returns the value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Returns the content of a secret file, or the reason why it cannot be read (a sentence without the path).
    pub secret_file: &'a dyn Fn(&str) -> Result<String, String>,
    /// Finds the plugins of a shared library.
    pub library: &'a FindLibrary<'a>,
}

/// Finds the plugins of a library by its path and the SHA-256 that the file must have, or returns the reason why the
/// library is refused, in a sentence.
pub type FindLibrary<'a> = dyn Fn(&str, Option<&str>) -> Result<Vec<Plugin>, String> + 'a;
