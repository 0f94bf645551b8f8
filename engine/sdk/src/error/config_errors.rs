//! Several errors of one configuration.

use crate::ConfigError;

/// Collects the errors of a build, so that the user sees all of them at once.
///
/// ```
/// use tidegate_sdk::{ConfigError, ConfigErrors};
///
/// fn build(size: u32, name: &str) -> Result<(u32, usize), ConfigError> {
///     let mut errors = ConfigErrors::default();
///     errors.check(size > 0, || ConfigError::at("/size", "the size is 0"));
///     let count = errors.keep(name.parse().map_err(|_| ConfigError::at("/count", "this is not a number")));
///     match count {
///         Some(count) => errors.finish((size, count)),
///         None => Err(errors.into_error()),
///     }
/// }
///
/// let error = build(0, "x").unwrap_err();
/// let pointers: Vec<_> = error.each().map(|one| one.pointer.as_str()).collect();
/// assert_eq!(pointers, ["/size", "/count"]);
/// ```
#[derive(Debug, Default)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Adds an error.
    pub fn push(&mut self, error: ConfigError) {
        self.0.extend(error.split());
    }

    /// Adds an error unless the condition holds.
    pub fn check(&mut self, holds: bool, error: impl FnOnce() -> ConfigError) {
        if !holds {
            self.push(error());
        }
    }

    /// Returns the value of a result, or adds its error.
    pub fn keep<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.push(error);
                None
            }
        }
    }

    /// Returns `value` if there is no error.
    ///
    /// # Errors
    /// All errors in one, in the order in which they were added.
    pub fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.0.is_empty() { Ok(value) } else { Err(self.into_error()) }
    }

    /// All errors in one, for a build in which a value is missing because of them.
    pub fn into_error(self) -> ConfigError {
        let mut errors = self.0.into_iter();
        let first = errors.next().unwrap_or_else(|| ConfigError::at("", "the options cannot be used"));
        ConfigError { more: errors.collect(), ..first }
    }
}
